"""Cycles as values: what a plan gave each wallet in a tenant's billing month."""

from datetime import datetime
from typing import NamedTuple


class Allocation(NamedTuple):
    """What the plan gave one wallet in one cycle, upgrades included: once per tenant, wallet and cycle start.

    `amount` is nano-units; of a capacity wallet it is the ceiling.
    """

    wallet_key: str
    cycle_start: datetime
    amount: int
