"""Idempotency keys of what is not decided in batches: tenants that are made, and what is published.

What belongs to no tenant has the tenant NIL.
"""

from typing import Final

# $1: any text that names the key; two that come at once wait for each other until the transaction ends.
LOCK_KEY: Final = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
USED_KEY: Final = "SELECT request_hash, result_id FROM idempotency_key WHERE (tenant_id, operation, key) = ($1, $2, $3)"
WRITE_KEY: Final = """
INSERT INTO idempotency_key (tenant_id, operation, key, request_hash, result_id, created_at)
VALUES ($1, $2, $3, $4, $5, $6)"""
