"""Plans: what a tenant of a region subscribes to, and what it can buy on top (documents 002, 004).

Both have versions with dates (`domain.versions`): a tenant's next cycle is granted by the version of that day. What is
no longer sold is withdrawn by a version of its own; who has the plan keeps it. Amounts in wallets are nano-units; prices
are integer minor units of their ISO 4217 currency (34,999 rupees: 3_499_900 paise).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.money import NANO
from domain.wallets import CAPACITY_KEYS, METERED_KEY


@dataclass(frozen=True, slots=True)
class Plan:
    """What a tenant of a region subscribes to, per month.

    allocations: (wallet key, nano-units) granted each cycle; for capacity wallets, the ceiling, in whole units. The
    metered wallet is prepaid (document 002), so no plan fills it.
    unlimited: own keys may serve enrichment too (document 002). withdrawn: no tenant may subscribe to it any more.
    """

    key: str
    name: str
    region: str
    currency: str
    price: int
    allocations: tuple[tuple[str, int], ...]
    seats: int
    agents: int
    effective_from: datetime
    published_at: datetime
    unlimited: bool = False
    note: str = ""
    withdrawn: bool = False

    def __post_init__(self) -> None:
        assert min(self.price, self.seats, self.agents) > 0, f"{self.key}: price, seats and agents must be above 0"
        wallets = [wallet_key for wallet_key, _ in self.allocations]
        assert len(set(wallets)) == len(wallets), f"{self.key}: a wallet is allocated twice"
        assert METERED_KEY not in wallets, f"{self.key}: metered is prepaid: a plan does not fill it"
        assert all(amount >= 0 for _, amount in self.allocations), f"{self.key}: an allocation must be 0 or more"
        capacity = [amount for wallet_key, amount in self.allocations if wallet_key in CAPACITY_KEYS]
        assert all(amount % NANO == 0 for amount in capacity), f"{self.key}: capacity must be a whole number"
        _in_utc(self.effective_from, self.published_at)

    @property
    def identity(self) -> tuple[str, str]:
        """Plans of two regions may share a key."""
        return self.region, self.key

    def allocation(self, wallet_key: str) -> int:
        """Nano-units that a cycle grants to a wallet; 0: the plan does not fill it."""
        return dict(self.allocations).get(wallet_key, 0)


@dataclass(frozen=True, slots=True)
class Bundle:
    """Credits that a tenant of a region can buy on top of the plan (document 004). `amount`: nano-units. Metered dollars
    are sold by the amount, and capacity comes with the plan: there are no bundles of either."""

    key: str
    region: str
    wallet_key: str
    amount: int
    price: int
    currency: str
    effective_from: datetime
    published_at: datetime
    note: str = ""
    withdrawn: bool = False

    def __post_init__(self) -> None:
        assert min(self.amount, self.price) > 0, f"{self.key}: amount and price must be above 0"
        assert self.wallet_key != METERED_KEY, f"{self.key}: metered dollars are sold by the amount"
        assert self.wallet_key not in CAPACITY_KEYS, f"{self.key}: capacity comes with the plan"
        _in_utc(self.effective_from, self.published_at)

    @property
    def identity(self) -> tuple[str, str]:
        """Bundles of two regions may share a key."""
        return self.region, self.key


def _in_utc(*moments: datetime) -> None:
    assert all(moment.utcoffset() == timedelta(0) for moment in moments), "moments are aware and in UTC"
