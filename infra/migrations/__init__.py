"""Piccolo migrations: plain SQL, because keys of two columns, partitions and partial indexes are beyond its builder."""
