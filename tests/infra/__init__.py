"""Tests of infra on a real PostgreSQL."""
