"""The console: pages for people, over the public GraphQL API alone."""
