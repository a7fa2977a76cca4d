"""The GraphQL face: parses, calls one service, matches the result."""
