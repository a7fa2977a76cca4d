"""Tests of the client for workers, against a running server."""
