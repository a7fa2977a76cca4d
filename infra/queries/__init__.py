"""Reads: keyset pages and look-ups that return frozen dataclasses, never rows."""
