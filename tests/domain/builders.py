"""Small values to test the rules with, a keeper that folds changes into books, and an auditor of the result."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final
from uuid import UUID

from domain import decisions, funds, ledger, reservations, subscriptions
from domain.adjustments import AdjustWallet
from domain.admission import Wish
from domain.attribution import NOBODY, Attribution
from domain.books import Books, Changes, Decision, Event, EventType, Operation, Request, Used
from domain.budgets import (
    Budget,
    BudgetBook,
    BudgetKey,
    BudgetPeriod,
    Counter,
    CounterKey,
    Scope,
    ScopeKey,
    ScopeKind,
    ScopeStatus,
)
from domain.budgets import counter_keys as counters_of
from domain.catalog import Catalog
from domain.controls import DeactivateScope, NameScope, PauseScope, RemoveBudget, ResumeScope, SetBudget
from domain.cycles import Allocation
from domain.decisions import Answer, Command
from domain.holds import Estimate, Hold, ModelName, Reservation, TaskKey
from domain.ids import public, uuid7
from domain.ledger import Entry, EntryType, Posting, Voucher
from domain.money import Money, format_amount, parse_amount
from domain.payments import AutoRecharge, Outcome, PaymentFacts, TopUp
from domain.periods import Cycle, month_key
from domain.plans import Plan
from domain.prices import Price, PriceList, Tokens
from domain.rates import RateCards
from domain.recharges import Due, Recharge, RechargeState, SetAutoRecharge
from domain.recordings import Record, Recording, Reported
from domain.refusals import BudgetScope, Refusal, ReservationState
from domain.rerating import REFERENCE, Rerate, Rerated, amended
from domain.reservations import Extend, Granted, Release, Released, Reserve
from domain.settlements import Consume, Consumed
from domain.subscriptions import ChangePlan, SetCycle
from domain.tenancy import CloseTenant, RenameTenant, ResumeTenant, SuspendTenant
from domain.tenants import Tenant, TenantStatus, cycle_is_due, running_cycle
from domain.topups import Ordered, SettleTopUp, StartTopUp
from domain.usage import Amendment, Usage, UsageEvent, UsageKind
from domain.versions import Versions
from domain.wallets import GENESIS_HASH, BucketType, Lot, LotSource, Wallet, WalletKind, new_wallet
from infra import catalog
from tests.model.commands import Step

CATALOG: Final = catalog.load()
NO_CARD: Final = replace(CATALOG, rate_cards=RateCards(()))
NO_PRICES: Final = replace(CATALOG, prices=PriceList(()))
NOW: Final = datetime(2026, 11, 21, 3, tzinfo=UTC)
CYCLE_END: Final = datetime(2026, 12, 1, tzinfo=UTC)
BEFORE: Final = datetime(2020, 1, 1, tzinfo=UTC)
MONTH: Final = "2026-11"
TENANT_ID: Final = UUID(int=0x7E4A47)
GPT_4O: Final = ModelName("openai", "gpt-4o")  # 2.50 and 10 dollars a million tokens
LLAMA: Final = ModelName("ollama", "llama3.2")  # local: free
BLOG_WRITER: Final = Attribution(campaign="spring", agent_role="blog-writer")


def nano(text: str) -> int:
    """An amount from its plain decimal."""
    return parse_amount(text)


def number(value: int, at: datetime = NOW) -> UUID:
    """An identifier that a test can name; of two of one moment the higher is newer."""
    return uuid7(int(at.timestamp()) * 1_000, value << 62)


def cycle_lot(at: datetime) -> UUID:
    """The first lot of a cycle that is granted at this moment."""
    return uuid7(int(at.timestamp() * 1_000), 1 << 30)


def later(seconds: float = 0, *, days: int = 0) -> datetime:
    """A moment after NOW."""
    return NOW + timedelta(seconds=seconds, days=days)


def tenant(
    *,
    status: TenantStatus = TenantStatus.ACTIVE,
    zone: tzinfo = UTC,
    unlimited: bool = False,
    own_keys: Iterable[str] = (),
    anchor_day: int = 1,
    plan: str = "professional",
    cycle: Cycle | None = None,
) -> Tenant:
    return Tenant(
        TENANT_ID, "acme", "Acme", status, zone, anchor_day, "india", plan, unlimited, frozenset(own_keys), cycle
    )


def sold(
    key: str, price: int, *, agents: int = 25, since: datetime = BEFORE, withdrawn: bool = False, **allocations: str
) -> Plan:
    """A plan for India; `allocations` by wallet key."""
    granted = tuple((wallet_key, nano(amount)) for wallet_key, amount in allocations.items())
    return Plan(key, key, "india", "INR", price, granted, 5, agents, since, since, withdrawn=withdrawn)


def selling(*plans: Plan) -> Catalog:
    """The catalog with these plans instead of its own."""
    return replace(CATALOG, plans=Versions(plans))


def empty_wallet(key: str = "credits") -> Wallet:
    """A wallet of the tenant with nothing in it; its key says what it is."""
    return new_wallet(TENANT_ID, UUID(int=int.from_bytes(key.encode()[:16].ljust(16, b"\0"))), key)


def voucher(at: datetime = NOW, reservation_id: UUID | None = None) -> Voucher:
    return Voucher("tester", at, reservation_id)


def granted_lot(
    wallet: Wallet,
    amount: str,
    lot_id: UUID,
    source: LotSource = LotSource.PLAN,
    *,
    at: datetime = NOW,
    expires_at: datetime | None = None,
) -> Posting:
    """A lot of this source put into the wallet."""
    types = {
        LotSource.PLAN: EntryType.ALLOCATED,
        LotSource.TOP_UP: EntryType.TOPPED_UP,
        LotSource.ADJUSTMENT: EntryType.ADJUSTED,
    }
    lot = ledger.new_lot(lot_id, source, at, expires_at)
    return ledger.grant(wallet, types[source], lot, nano(amount), voucher(at))


def wallet_with(key: str, amount: str, *, expires_at: datetime | None = None) -> Posting:
    """A wallet with one lot: credits of the plan until the end of the cycle, capacity, or prepaid dollars."""
    wallet = empty_wallet(key)
    metered = wallet.kind is WalletKind.METERED
    if expires_at is None and not metered and wallet.bucket_type is BucketType.CONSUMABLE:
        expires_at = CYCLE_END
    lot_id = uuid7(1_700_000_000_000, wallet.id.int >> 64)
    source = LotSource.TOP_UP if metered else LotSource.PLAN
    return granted_lot(wallet, amount, lot_id, source, at=NOW - timedelta(days=1), expires_at=expires_at)


def acme() -> tuple[Posting, ...]:
    """The demo tenant's wallets."""
    amounts = {
        "credits": "300",
        "metered": "50",
        "email_sends": "10000",
        "lead_storage": "25000",
        "email_accounts": "50",
        "enrich_leads": "5000",
        "copy_leads": "2500",
    }
    return tuple(wallet_with(key, amount) for key, amount in amounts.items())


def tenant_month() -> BudgetKey:
    return BudgetKey(BudgetScope.TENANT, "", BudgetPeriod.MONTH)


def agent_month(role: str = "blog-writer") -> BudgetKey:
    return BudgetKey(BudgetScope.AGENT, role, BudgetPeriod.MONTH)


def task_cap(role: str = "") -> BudgetKey:
    return BudgetKey(BudgetScope.AGENT, role, BudgetPeriod.TASK)


def campaign_total(campaign: str = "spring") -> BudgetKey:
    return BudgetKey(BudgetScope.CAMPAIGN, campaign, BudgetPeriod.TOTAL)


def campaign_month(campaign: str = "spring") -> BudgetKey:
    return BudgetKey(BudgetScope.CAMPAIGN, campaign, BudgetPeriod.MONTH)


def tag_month(tag: str) -> BudgetKey:
    return BudgetKey(BudgetScope.TAG, tag, BudgetPeriod.MONTH)


def tag_total(tag: str) -> BudgetKey:
    return BudgetKey(BudgetScope.TAG, tag, BudgetPeriod.TOTAL)


def counter_key(budget: BudgetKey, month: str = MONTH) -> CounterKey:
    """The counter that a budget looks at."""
    period_key = "TOTAL" if budget.period is BudgetPeriod.TOTAL else month
    return CounterKey(budget.scope, budget.scope_id, period_key)


def capped(key: BudgetKey, cap: str, *thresholds: int) -> Budget:
    return Budget(key, nano(cap), thresholds or (8_000, 10_000))


def request(operation: Operation, key: str, request_hash: bytes = b"same") -> Request:
    return Request(TENANT_ID, "tester", operation, key, request_hash)


def spent(cost: str, *, source: str | None = None, event_id: str | None = None, results: int | None = None) -> Usage:
    """A call whose cost the provider reported."""
    return Usage(cost=nano(cost), source=source, event_id=event_id, results=results)


def tokens_of(model: ModelName, input_tokens: int, output_tokens: int = 0) -> Usage:
    """A call that the price list prices."""
    return Usage(provider=model.provider, model=model.model, tokens=Tokens(input_tokens, output_tokens))


def unpriced(provider: str = "openai", model: str = "gpt-99") -> Usage:
    """A call of a model that the price list does not know."""
    return Usage(UsageKind.LLM, provider, model, tokens=Tokens(1_000, 1_000))


class Auditor:
    """Follows the ledger from its entries alone: balances by entry type, lots by draws and repayments, hashes."""

    MOVES: Final = {
        EntryType.ALLOCATED: {"granted": 1, "available": 1},
        EntryType.TOPPED_UP: {"granted": 1, "available": 1},
        EntryType.ADJUSTED: {"granted": 1, "available": 1},
        EntryType.RESERVED: {"available": -1, "reserved": 1},
        EntryType.RELEASED: {"reserved": -1, "available": 1},
        EntryType.CONSUMED: {"reserved": -1, "consumed": 1},
        EntryType.EXPIRED: {"available": -1, "expired": 1},
    }

    def __init__(self) -> None:
        self.balances: defaultdict[UUID, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.lots: defaultdict[UUID, defaultdict[UUID, defaultdict[str, int]]] = defaultdict(
            lambda: defaultdict(lambda: defaultdict(int))
        )
        self.heads: dict[UUID, tuple[int, bytes]] = {}

    def take(self, entry: Entry) -> None:
        """Check one entry against all that came before it."""
        sequence, head = self.heads.get(entry.wallet_id, (0, GENESIS_HASH))
        assert entry.sequence == sequence + 1
        assert entry.previous_hash == head
        assert entry.hash == ledger.chain_hash(head, ledger.entry_bytes(entry))
        assert entry.amount > 0 or entry.type is EntryType.ADJUSTED
        assert sum(draw.amount for draw in entry.draws) == entry.amount
        assert len({draw.lot_id for draw in entry.draws}) == len(entry.draws)
        self.heads[entry.wallet_id] = (entry.sequence, entry.hash)
        balance, lots = self.balances[entry.wallet_id], self.lots[entry.wallet_id]
        for compartment, sign in self.MOVES[entry.type].items():
            balance[compartment] += sign * entry.amount
            for draw in entry.draws:
                lots[draw.lot_id][compartment] += sign * draw.amount
        for repayment in entry.repayments:
            assert min(repayment.consumed, repayment.granted) >= 0 < repayment.consumed + repayment.granted
            for lot_id, sign in ((repayment.lot_id, 1), (entry.wallet_id, -1)):
                lots[lot_id]["available"] -= sign * (repayment.consumed + repayment.granted)
                lots[lot_id]["consumed"] += sign * repayment.consumed
                lots[lot_id]["granted"] -= sign * repayment.granted
        after = (
            entry.granted_after,
            entry.available_after,
            entry.reserved_after,
            entry.consumed_after,
            entry.expired_after,
        )
        assert after == figures(balance)
        assert conserved(after)
        assert entry.available_after >= 0 or lots[entry.wallet_id]["available"] == entry.available_after


# What was charged by an entry; what re-rating gives back is an adjustment.
TAKEN: Final = {EntryType.CONSUMED: 1, EntryType.ADJUSTED: -1}
COMPARTMENTS: Final = ("granted", "available", "reserved", "consumed", "expired")


def figures(amounts: "defaultdict[str, int] | Lot | Wallet") -> tuple[int, int, int, int, int]:
    """Granted, available, reserved, consumed, expired."""
    if isinstance(amounts, Lot | Wallet):
        return amounts.granted, amounts.available, amounts.reserved, amounts.consumed, amounts.expired
    granted, available, reserved, consumed, expired = (amounts[name] for name in COMPARTMENTS)
    return granted, available, reserved, consumed, expired


def conserved(amounts: tuple[int, int, int, int, int]) -> bool:
    granted, available, reserved, consumed, expired = amounts
    return granted == available + reserved + consumed + expired and min(reserved, consumed, expired) >= 0


class Bookkeeper:
    """Keeps one tenant's books over many commands, as the group commit does: what a decision changes is part of the
    books that the next one sees. Has a verb for each command with short arguments."""

    def __init__(
        self,
        postings: Iterable[Posting] = (),
        *,
        of: Tenant | None = None,
        budgets: Iterable[Budget] = (),
        defaults: Iterable[Budget] = (),
        own_keys_allowed: bool = False,
        catalog: Catalog = CATALOG,
    ) -> None:
        self.tenant = of or tenant()
        self.catalog = catalog
        self.own_keys_allowed = own_keys_allowed
        self.wallets: dict[str, Wallet] = {}
        self.lots: dict[UUID, dict[UUID, Lot]] = defaultdict(dict)
        self.reservations: dict[UUID, Reservation] = {}
        self.tasks: dict[TaskKey, UUID] = {}
        self.used_keys: dict[tuple[Operation, str], Used] = {}
        self.budgets = {budget.key: budget for budget in budgets}
        self.defaults = {budget.key: budget for budget in defaults}
        self.counters: dict[CounterKey, Counter] = {}
        self.scopes: dict[ScopeKey, Scope] = {}
        self.seen: set[ScopeKey] = set()
        self.recorded: set[tuple[str, str]] = set()
        self.allocations: dict[str, Allocation] = {}
        self.top_ups: dict[UUID, TopUp] = {}
        self.recharges: dict[str, AutoRecharge] = {}
        self.entries: list[Entry] = []
        self.usage: list[UsageEvent] = []
        self.amended: dict[UUID, UsageEvent] = {}
        self.amendments: list[Amendment] = []
        self.events: list[Event] = []
        self.auditor = Auditor()
        self._numbers = 0
        for posting in postings:
            self.apply(Changes(wallets=(posting.wallet,), entries=posting.entries))

    def books(self, now: datetime = NOW) -> Books:
        """The books as a decision at this moment looks at them."""
        month = month_key(now, self.tenant.zone)
        book = BudgetBook(month, self.budgets, self.defaults, self.counters, self.registered())
        return Books(
            self.tenant,
            self.catalog,
            self.own_keys_allowed,
            self.wallets,
            book,
            self.reservations,
            self.tasks,
            self.used_keys,
            self.recorded,
            self.agents(),
            self.allocations,
            self.top_ups,
            self.recharges,
            self.amended,
        )

    def registered(self) -> dict[ScopeKey, Scope]:
        """Every scope: those that were only seen, and those that something was decided about (`scopes`)."""
        return {key: Scope(key) for key in sorted(self.seen)} | self.scopes

    def agents(self) -> set[str]:
        """The agent roles that count towards the plan."""
        return {
            key.id
            for key, scope in self.registered().items()
            if key.kind is ScopeKind.AGENT and scope.status is not ScopeStatus.INACTIVE
        }

    def campaigns(self) -> list[Scope]:
        """The campaigns that are registered."""
        return [scope for key, scope in self.registered().items() if key.kind is ScopeKind.CAMPAIGN]

    def open(self, now: datetime, command: Command | None = None) -> None:
        """What a batch does before it decides: a cycle that has begun is granted, wallets of a new plan are made."""
        if cycle_is_due(self.tenant, now):
            self.start_cycle(now)
        if isinstance(command, ChangePlan):
            self._open_plan(command.plan, now)

    def apply(self, changes: Changes) -> None:
        """Fold what was decided into the books, with what follows from it at once."""
        self._apply_account(changes)
        for wallet in changes.wallets:
            self.wallets[wallet.key] = wallet
            self.lots[wallet.id].update({lot.id: lot for lot in wallet.lots})
        for reservation in changes.reservations:
            self.reservations[reservation.id] = reservation
        for task, reservation_id in changes.tasks:
            if reservation_id is None:
                self.tasks.pop(task, None)
            else:
                self.tasks[task] = reservation_id
        self.counters.update({counter.key: counter for counter in changes.counters})
        self.seen.update(seen.key for seen in changes.seen)
        self.scopes.update({scope.key: scope for scope in changes.scopes})
        for renamed in changes.names:
            scope = self.scopes.get(renamed.key) or Scope(renamed.key)
            self.scopes[renamed.key] = replace(scope, name=renamed.name)
        for key, budget in changes.budgets:
            if budget is None:
                self.budgets.pop(key, None)
            else:
                self.budgets[key] = budget
        self.used_keys.update({(operation, key): used for operation, key, used in changes.used_keys})
        self.entries.extend(changes.entries)
        for entry in changes.entries:
            self.auditor.take(entry)
        named = [(event.usage.source, event.usage.event_id) for event in changes.usage]
        self.recorded.update((source, event_id) for source, event_id in named if source and event_id)
        self.usage.extend(changes.usage)
        self._amend(changes)
        self.events.extend(changes.events)
        if any(event.type is EventType.BALANCE_EMPTY for event in changes.events):
            self.apply(funds.deactivate(self.campaigns()))

    def _amend(self, changes: Changes) -> None:
        self.amendments.extend(changes.amendments)
        self.amended.update({event.id: event for event in changes.usage})
        for amendment in changes.amendments:
            if amendment.event_id is not None:
                self.amended[amendment.event_id] = amended(self.amended[amendment.event_id], amendment)

    def _apply_account(self, changes: Changes) -> None:
        self.tenant = changes.tenant or self.tenant
        self.allocations.update({allocation.wallet_key: allocation for allocation in changes.allocations})
        self.top_ups.update({top_up.id: top_up for top_up in changes.top_ups})
        self.recharges.update({recharge.wallet_key: recharge for recharge in changes.recharges})

    def decide(self, command: Command, now: datetime = NOW) -> Decision[Answer]:
        """Decide one command and keep what it changes."""
        self.open(now, command)
        decision = decisions.decide(self.books(now), command, now)
        self.apply(decision.changes)
        return decision

    def submit(self, command: Command, now: datetime) -> Decision[Answer]:
        """Decide as a batch does: before work is refused for lack of room, what is overdue goes back."""
        self.open(now, command)
        decision = decisions.decide(self.books(now), command, now)
        if reservations.lacks_room(decision.answer) and self.expire_overdue(now, command):
            decision = decisions.decide(self.books(now), command, now)
        self.apply(decision.changes)
        return decision

    def play(self, step: Step) -> Answer | None:
        """One step of a random history; None: the job that books what is overdue."""
        if step.command is None:
            self.open(step.at)
            self.expire_overdue(step.at)
            return None
        return self.submit(step.command, step.at).answer

    def forget_closed_lots(self) -> None:
        """What a fresh read from the database does: only open lots are loaded."""
        for key, wallet in self.wallets.items():
            self.wallets[key] = wallet._replace(lots=tuple(lot for lot in wallet.lots if lot.is_open))

    def overdue(self, now: datetime, command: Command | None = None) -> list[Reservation]:
        """The held reservations that have run out and give way to a command, the first to run out first."""
        due = [
            (found.expires_at, found.id, found)
            for found in self.reservations.values()
            if reservations.gives_way(found, command, now)
        ]
        return [found for _, _, found in sorted(due, key=lambda item: item[:2])]

    def expire_overdue(self, now: datetime, command: Command | None = None) -> list[Reservation]:
        """The job that books overdue reservations; answers them as they ended."""
        ended: list[Reservation] = []
        for found in self.overdue(now, command):
            changes = reservations.expire(self.books(now), found, "system", now)
            self.apply(changes)
            ended.extend(changes.reservations)
        return ended

    def book_expired_lots(self, now: datetime) -> None:
        """The job that books what has expired in every wallet."""
        for wallet in list(self.wallets.values()):
            posting = ledger.expire_due(wallet, Voucher("system", now))
            self.apply(Changes(wallets=(posting.wallet,), entries=posting.entries))

    def start_cycle(self, now: datetime = NOW) -> Changes:
        """Grant the running cycle, the first one too, unless it was."""
        self._open_plan(self.tenant.next_plan or self.tenant.plan, now)
        changes = subscriptions.start_cycle(self.books(now), cycle_lot(now), "system", now)
        self.apply(changes)
        return changes

    def _open_plan(self, key: str, now: datetime) -> None:
        for at in (running_cycle(self.tenant, now).start, now):
            plan = self.catalog.plan(self.tenant.region, key, at)
            for wallet_key, _ in () if plan is None else plan.allocations:
                self.wallets.setdefault(wallet_key, empty_wallet(wallet_key))

    # Verbs, for tests that tell a story.

    def key(self) -> str:
        """A fresh idempotency key."""
        self._numbers += 1
        return f"key-{self._numbers}"

    def reserve(
        self,
        feature: str,
        quantity: str = "1",
        *,
        model: ModelName | None = None,
        cost: str | None = None,
        tokens: Tokens | None = None,
        attribution: Attribution = NOBODY,
        task: str | None = None,
        key: str | None = None,
        ttl: int = 900,
        at: datetime = NOW,
    ) -> Reservation | Refusal:
        estimate = Estimate(tokens, None if cost is None else nano(cost))
        wish = Wish(feature, nano(quantity), model, estimate, attribution)
        identifier = self.fresh_id(at)
        key = key or self.key()
        answer = self.decide(Reserve(request(Operation.RESERVE, key), identifier, wish, task, ttl), at).answer
        assert isinstance(answer, Granted | Refusal)
        return answer.reservation if isinstance(answer, Granted) else answer

    def fresh_id(self, at: datetime = NOW) -> UUID:
        """The next identifier."""
        self._numbers += 1
        return number(self._numbers, at)

    def consume(
        self,
        held: Reservation,
        *calls: Usage,
        quantity: str | None = None,
        key: str | None = None,
        at: datetime = NOW,
    ) -> Reservation | Refusal:
        events = tuple((self.fresh_id(at), call) for call in calls)
        amount = None if quantity is None else nano(quantity)
        asked = request(Operation.CONSUME, key or self.key())
        answer = self.decide(Consume(asked, held.id, events, amount), at).answer
        assert isinstance(answer, Consumed | Refusal)
        return answer.reservation if isinstance(answer, Consumed) else answer

    def release(self, held: Reservation, *, key: str | None = None, at: datetime = NOW) -> Reservation | Refusal:
        answer = self.decide(Release(request(Operation.RELEASE, key or self.key()), held.id), at).answer
        assert isinstance(answer, Released | Refusal)
        return answer.reservation if isinstance(answer, Released) else answer

    def extend(
        self,
        held: Reservation,
        *,
        ttl: int | None = None,
        cost: str | None = None,
        tokens: Tokens | None = None,
        at: datetime = NOW,
    ) -> Reservation | Refusal:
        estimate = Estimate(tokens, None if cost is None else nano(cost))
        answer = self.decide(Extend(request(Operation.EXTEND, self.key()), held.id, ttl, estimate), at).answer
        assert isinstance(answer, Granted | Refusal)
        return answer.reservation if isinstance(answer, Granted) else answer

    def record(
        self,
        *calls: Usage,
        feature: str | None = None,
        under: Reservation | None = None,
        attribution: Attribution = NOBODY,
        at: datetime = NOW,
    ) -> Recording:
        named = [
            call if call.source is not None else call._replace(source="test", event_id=self.key()) for call in calls
        ]
        events = tuple(
            Reported(self.fresh_id(at), call, feature, None if under is None else under.id, attribution)
            for call in named
        )
        answer = self.decide(Record(request(Operation.RECORD_USAGE, ""), events), at).answer
        assert isinstance(answer, Recording)
        return answer

    def publish(self, model: ModelName, per_million: str, *, since: datetime = BEFORE, at: datetime = NOW) -> None:
        """Another input price of a model, by what is known from this moment on."""
        figure = nano(per_million)
        price = Price(
            model.provider, model.model, None, figure, None, None, None, None, None, None, since, None, published_at=at
        )
        self.catalog = replace(self.catalog, prices=self.catalog.prices.adding([price]))

    def rerate(self, *events: UUID, at: datetime = NOW) -> Rerated:
        """Re-rate these events, else all there are."""
        asked = request(Operation.RERATE_USAGE, "")
        pairs = tuple((self.fresh_id(at), identifier) for identifier in events or tuple(self.amended))
        self._numbers += 1_000
        answer = self.decide(Rerate(asked, pairs, self.fresh_id(at)), at).answer
        assert isinstance(answer, Rerated)
        return answer

    def adjust(self, wallet_key: str, amount: str, *, at: datetime = NOW) -> Answer:
        asked = request(Operation.ADJUST_WALLET, self.key())
        return self.decide(AdjustWallet(asked, wallet_key, nano(amount), "a reason", self.fresh_id(at)), at).answer

    def set_budget(self, key: BudgetKey, cap: str, *, at: datetime = NOW) -> Answer:
        return self.decide(SetBudget(request(Operation.SET_BUDGET, self.key()), capped(key, cap)), at).answer

    def remove_budget(self, key: BudgetKey, *, at: datetime = NOW) -> Answer:
        return self.decide(RemoveBudget(request(Operation.REMOVE_BUDGET, self.key()), key), at).answer

    def pause(
        self, kind: ScopeKind, identifier: str = "", *, reason: str = "manual_pause", at: datetime = NOW
    ) -> Answer:
        asked = request(Operation.PAUSE_SCOPE, self.key())
        return self.decide(PauseScope(asked, ScopeKey(kind, identifier), reason), at).answer

    def resume(self, kind: ScopeKind, identifier: str = "", *, at: datetime = NOW) -> Answer:
        return self.decide(
            ResumeScope(request(Operation.RESUME_SCOPE, self.key()), ScopeKey(kind, identifier)), at
        ).answer

    def deactivate(self, kind: ScopeKind, identifier: str, *, at: datetime = NOW) -> Answer:
        asked = request(Operation.DEACTIVATE_SCOPE, self.key())
        return self.decide(DeactivateScope(asked, ScopeKey(kind, identifier)), at).answer

    def name(self, key: ScopeKey, name: str | None, client: str | None = None, *, at: datetime = NOW) -> Answer:
        return self.decide(NameScope(request(Operation.NAME_SCOPE, self.key()), key, name, client), at).answer

    def change_plan(self, plan: str, *, at: datetime = NOW) -> Answer:
        asked = request(Operation.CHANGE_PLAN, self.key())
        return self.decide(ChangePlan(asked, plan, self.fresh_id(at)), at).answer

    def set_cycle(self, anchor_day: int | None = None, zone: tzinfo | None = None, *, at: datetime = NOW) -> Answer:
        asked = request(Operation.SET_CYCLE, self.key())
        return self.decide(SetCycle(asked, anchor_day, zone), at).answer

    def rename_tenant(self, name: str, *, at: datetime = NOW) -> Answer:
        return self.decide(RenameTenant(request(Operation.RENAME_TENANT, self.key()), name), at).answer

    def suspend_tenant(self, *, at: datetime = NOW) -> Answer:
        return self.decide(SuspendTenant(request(Operation.SUSPEND_TENANT, self.key())), at).answer

    def resume_tenant(self, *, at: datetime = NOW) -> Answer:
        return self.decide(ResumeTenant(request(Operation.RESUME_TENANT, self.key())), at).answer

    def close_tenant(self, *, at: datetime = NOW) -> Answer:
        return self.decide(CloseTenant(request(Operation.CLOSE_TENANT, self.key())), at).answer

    def start_top_up(
        self,
        wallet_key: str = "metered",
        *,
        amount: str | None = None,
        bundle: str | None = None,
        key: str | None = None,
        at: datetime = NOW,
    ) -> TopUp | Refusal:
        asked = request(Operation.START_TOP_UP, key or self.key())
        bought = None if amount is None else nano(amount)
        answer = self.decide(StartTopUp(asked, self.fresh_id(at), wallet_key, bundle, bought), at).answer
        assert isinstance(answer, Ordered | Refusal)
        return answer.top_up if isinstance(answer, Ordered) else answer

    def settle_top_up(
        self, top_up: TopUp, facts: PaymentFacts, *, checkout_url: str | None = None, at: datetime = NOW
    ) -> TopUp:
        asked = request(Operation.SETTLE_TOP_UP, "")
        answer = self.decide(SettleTopUp(asked, top_up.id, facts, self.fresh_id(at), checkout_url), at).answer
        assert isinstance(answer, Ordered), answer
        return answer.top_up

    def set_auto_recharge(
        self,
        *,
        enabled: bool = True,
        threshold: str | None = None,
        amount: str | None = None,
        monthly_limit: str | None = None,
        keeps_limit: bool = False,
        has_card: bool = True,
        wallet_key: str = "metered",
        at: datetime = NOW,
    ) -> AutoRecharge | Refusal:
        asked = request(Operation.SET_AUTO_RECHARGE, self.key())
        least, bought, most = (None if text is None else nano(text) for text in (threshold, amount, monthly_limit))
        command = SetAutoRecharge(asked, wallet_key, enabled, least, bought, most, has_card, keeps_limit)
        answer = self.decide(command, at).answer
        assert isinstance(answer, RechargeState | Refusal)
        return answer.recharge if isinstance(answer, RechargeState) else answer

    def recharge(self, wallet_key: str = "metered", *, at: datetime = NOW) -> TopUp | Refusal:
        asked = request(Operation.RECHARGE, "")
        answer = self.decide(Recharge(asked, wallet_key, self.fresh_id(at)), at).answer
        assert isinstance(answer, Due | Refusal)
        return answer.top_up if isinstance(answer, Due) else answer

    # What tests look at.

    def balance(self, wallet_key: str) -> tuple[str, str, str]:
        """Available, reserved, consumed, as decimals."""
        wallet = self.wallets[wallet_key]
        return format_amount(wallet.available), format_amount(wallet.reserved), format_amount(wallet.consumed)

    def counter(self, budget: BudgetKey, month: str = MONTH) -> tuple[str, str]:
        """Spent and held, as decimals; zeros before anything was counted."""
        found = self.counters.get(counter_key(budget, month))
        return ("0", "0") if found is None else (format_amount(found.spent), format_amount(found.held))

    def moves(self, wallet_key: str, since: int = 0) -> list[tuple[str, str]]:
        """Type and amount of the wallet's entries after a number of entries of the whole ledger."""
        wallet_id = self.wallets[wallet_key].id
        return [
            (entry.type.value, format_amount(entry.amount))
            for entry in self.entries[since:]
            if entry.wallet_id == wallet_id
        ]

    def money(self) -> tuple[object, ...]:
        """Everything that a refusal must leave alone."""
        return (
            dict(self.wallets),
            dict(self.reservations),
            dict(self.tasks),
            dict(self.counters),
            dict(self.used_keys),
            dict(self.budgets),
            len(self.entries),
            len(self.usage),
            len(self.amendments),
            self.tenant,
            dict(self.allocations),
            dict(self.top_ups),
            dict(self.recharges),
        )

    def told(self, since: int = 0) -> list[EventType]:
        """What others heard of, after a number of events."""
        return [event.type for event in self.events[since:]]

    def audit(self) -> None:
        """Everything that always holds; raises at the first thing that does not."""
        self._audit_wallets()
        self._audit_holds()
        self._audit_reservations()
        self._audit_top_ups()
        self._audit_usage()

    def _audit_usage(self) -> None:
        """Every credit that was consumed and every dollar that was spent stands on an event or an amendment."""
        charged: defaultdict[str, int] = defaultdict(int)
        for charges in [*(event.charges for event in self.usage), *(fact.charges for fact in self.amendments)]:
            for key, amount, _ in charges:
                charged[key] += amount
        consumed: defaultdict[UUID, int] = defaultdict(int)
        for entry in self.entries:
            if entry.type is EntryType.CONSUMED or entry.voucher.reference == REFERENCE:
                consumed[entry.wallet_id] += TAKEN.get(entry.type, 0) * entry.amount
        assert {key: charged[key] for key in self.wallets} == {
            key: consumed[wallet.id] for key, wallet in self.wallets.items()
        }, "what was charged is attributed"
        spent = sum(event.priced.cost or event.counted or 0 for event in self.usage)
        spent += sum(fact.counted for fact in self.amendments)
        counted = [counter.spent for key, counter in self.counters.items() if key.scope is BudgetScope.TENANT]
        assert sum(counted) == spent, "what was spent is counted"
        self._audit_settled()

    def _audit_settled(self) -> None:
        """What a settled reservation cost and is charged is what its events cost and are charged by now, and what is
        charged beside them."""
        costs: defaultdict[UUID, list[int | None]] = defaultdict(list)
        charged: defaultdict[UUID, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        under = [event for event in self.amended.values() if event.under_reservation]
        parts_of = [(event.reservation_id, event.charges) for event in under]
        parts_of += [(fact.reservation_id, fact.charges) for fact in self.amendments if fact.event_id is None]
        for event in under:
            assert event.reservation_id is not None
            costs[event.reservation_id].append(event.priced.cost)
        for identifier, charges in parts_of:
            assert identifier is not None
            for key, amount, _ in charges:
                charged[identifier][key] += amount
        for found in self.reservations.values():
            parts = costs[found.id]
            assert found.recorded.cost == sum([cost or 0 for cost in parts])
            assert (found.recorded.events, found.recorded.unpriced) == (len(parts), parts.count(None))
            if found.state is ReservationState.CONSUMED:
                assert found.cost_usd == (None if None in parts else found.recorded.cost)
                assert dict(found.charges) == {key: amount for key, amount in charged[found.id].items() if amount}

    def _audit_wallets(self) -> None:
        for wallet in self.wallets.values():
            lots = self.lots[wallet.id]
            assert conserved(figures(wallet)), wallet
            for lot in lots.values():
                assert conserved(figures(lot)), lot
                assert lot.available >= 0 or lot.id == wallet.id, "only the overdraft goes below zero"
            total: defaultdict[str, int] = defaultdict(int)
            for lot in lots.values():
                for name, amount in zip(COMPARTMENTS, figures(lot), strict=True):
                    total[name] += amount
            assert figures(total) == figures(wallet), "a wallet is the sum of its lots"
            rebuilt = self.auditor.lots[wallet.id]
            assert {lot_id: figures(lot) for lot_id, lot in lots.items()} == {
                lot_id: figures(amounts) for lot_id, amounts in rebuilt.items()
            }, "lots can be rebuilt from draws and repayments"
            assert figures(self.auditor.balances[wallet.id]) == figures(wallet)
            if wallet.sequence:
                assert self.auditor.heads[wallet.id] == (wallet.sequence, wallet.head_hash)
            overdraft = lots.get(wallet.id)
            if overdraft is not None:
                assert overdraft.reserved == overdraft.expired == 0
                assert overdraft.available < 0 or figures(overdraft) == (0, 0, 0, 0, 0), "a paid overdraft is empty"
            if wallet.debt:
                assert overdraft is not None
                assert wallet.debt == -overdraft.available, "what comes in pays the debt first"

    def _audit_holds(self) -> None:
        reserved: defaultdict[str, int] = defaultdict(int)
        drawn: defaultdict[UUID, int] = defaultdict(int)
        held: defaultdict[CounterKey, int] = defaultdict(int)
        for found in self.reservations.values():
            if found.state is not ReservationState.HELD:
                continue
            for hold in found.holds:
                assert hold.amount == sum(draw.amount for draw in hold.draws)
                reserved[hold.wallet_key] += hold.amount
                for draw in hold.draws:
                    drawn[draw.lot_id] += draw.amount
            for key in counters_of(found.attribution, found.month):
                held[key] += found.remaining_usd
        for wallet in self.wallets.values():
            assert wallet.reserved == reserved[wallet.key], "reserved is the sum of the open holds"
            for lot in self.lots[wallet.id].values():
                assert lot.reserved == drawn[lot.id]
        for counter in self.counters.values():
            assert counter.spent >= 0
            assert counter.held == held[counter.key], "held is what open reservations have left"
        assert all(key in self.counters for key in held)

    def _audit_reservations(self) -> None:
        for found in self.reservations.values():
            assert 0 <= found.remaining_usd <= found.held_usd
            assert (found.state is ReservationState.HELD) == (found.ended_at is None)
            assert found.state is ReservationState.HELD or found.remaining_usd == 0
        for task, identifier in self.tasks.items():
            found = self.reservations[identifier]
            assert found.task == task
            assert found.state in (ReservationState.HELD, ReservationState.CONSUMED)
        for scope in self.scopes.values():
            assert (scope.status.value == "ACTIVE") == (scope.pause_reason is None)
            assert (scope.pause_period_key is None) == (scope.pause_cap is None)

    def _audit_top_ups(self) -> None:
        moved: defaultdict[str, int] = defaultdict(int)
        for entry in self.entries:
            if entry.voucher.reference.startswith("top_") and entry.type is not EntryType.EXPIRED:
                moved[entry.voucher.reference] += entry.amount
        for top_up in self.top_ups.values():
            assert top_up.credited in (0, top_up.amount)
            assert 0 <= top_up.taken_back <= top_up.credited
            assert moved.pop(public("top_up", top_up.id), 0) == top_up.credited - top_up.taken_back
            assert (top_up.credited_at is None) == (top_up.credited == 0)
            assert top_up.is_open or top_up.checkout_url is None
        assert not moved, "money comes in through orders"
        for recharge in self.recharges.values():
            flying = None if recharge.in_flight is None else self.top_ups[recharge.in_flight]
            assert flying is None or flying.is_open, "what has ended is in flight no more"
            assert recharge.month_amount >= 0


def ordered(answer: TopUp | Refusal) -> TopUp:
    """The order of an answer that must be one."""
    assert isinstance(answer, TopUp), answer
    return answer


def paid(price: Money, **known: Any) -> PaymentFacts:
    """That this much money came in."""
    return PaymentFacts(Outcome.PAID, received=price, **known)


def held(answer: Reservation | Refusal) -> Reservation:
    """The reservation of an answer that must be a grant."""
    assert isinstance(answer, Reservation), answer
    return answer


def draws(entry: Entry | Hold) -> list[tuple[UUID, str]]:
    """Lots and amounts, as decimals."""
    return [(draw.lot_id, format_amount(draw.amount)) for draw in entry.draws]
