"""Tests of the GraphQL face: over HTTP, as clients use it."""
