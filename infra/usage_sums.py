"""What usage is summed up by and to: shared by the roll-up and by the questions that read its sums."""

from typing import Final

# Rollups by hour and day know these together; what stands alone (accounts, research, tags) knows the first six beside.
TOGETHER_COLUMNS: Final = (
    "kind",
    "route",
    "provider",
    "model",
    "operation",
    "feature",
    "agent_role",
    "campaign",
    "client",
    "project",
)
ALONE_COLUMNS: Final = TOGETHER_COLUMNS[:6]
# In the order of domain.breakdowns.UsageTotals.
MEASURES: Final = (
    "events",
    "calls",
    "failures",
    "unpriced",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "duration_ms",
    "cost",
    "credits_charged",
    "usd_charged",
)
# One row of usage as the measures see it.
EVENT_MEASURES: Final = """1 AS events, calls, (NOT success)::int AS failures, (cost IS NULL)::int AS unpriced,
    input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens,
    coalesce(duration_ms, 0) AS duration_ms, coalesce(cost, 0) AS cost, credits_charged, usd_charged"""
AMENDMENT_MEASURES: Final = """0 AS events, 0 AS calls, 0 AS failures, unpriced,
    0 AS input_tokens, 0 AS output_tokens, 0 AS cache_read_tokens, 0 AS cache_write_tokens, 0 AS reasoning_tokens,
    0 AS duration_ms, cost, credits_charged, usd_charged"""
# Skips from one quarter to the next: its cost does not grow with how many marks are alike.
MARKED_QUARTERS: Final = """
WITH RECURSIVE marked AS (
    (SELECT quarter FROM usage_mark WHERE tenant_id = $1 AND quarter >= $2 AND quarter < $3 ORDER BY quarter LIMIT 1)
    UNION ALL
    SELECT (SELECT quarter FROM usage_mark WHERE tenant_id = $1 AND quarter > marked.quarter AND quarter < $3
            ORDER BY quarter LIMIT 1)
    FROM marked WHERE marked.quarter IS NOT NULL
)
SELECT quarter FROM marked WHERE quarter IS NOT NULL"""
