"""Random histories of one tenant: what may be asked, in which order, at which times, made up from seeds.

A `Historian` never looks at an answer: it names reservations by the ids that it gave them, whether they were
granted or not. So the same seed makes the same history for the rules alone, for services on PostgreSQL, one
by one or in batches. The wallets start empty; `opening` grants what is in them. Balances and caps are small,
so that refusals, pauses, debts and expiry happen all the time.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from random import Random
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from domain.adjustments import AdjustWallet, Grant
from domain.admission import Wish
from domain.attribution import NOBODY, Attribution
from domain.books import Operation, Request
from domain.budgets import Budget, BudgetKey, BudgetPeriod, ScopeKey, ScopeKind
from domain.controls import DeactivateScope, PauseScope, RemoveBudget, ResumeScope, SetBudget
from domain.decisions import Command, KeyedCommand
from domain.holds import NO_ESTIMATE, Estimate, ModelName
from domain.ids import uuid7
from domain.money import NANO, Money, parse_amount
from domain.payments import Dispute, DisputeStatus, Outcome, PaymentFacts, Refund, RefundStatus
from domain.periods import Cycle
from domain.prices import NO_TOKENS, Tokens
from domain.recharges import Recharge, SetAutoRecharge
from domain.recordings import Record, Reported
from domain.refusals import BudgetScope
from domain.rerating import Rerate
from domain.reservations import Extend, Release, Reserve
from domain.settlements import Consume
from domain.subscriptions import ChangePlan, SetCycle
from domain.tenancy import ResumeTenant, SuspendTenant
from domain.topups import SettleTopUp, StartTopUp
from domain.usage import Usage, UsageKind
from domain.wallets import METERED_KEY, LotSource

START: Final = datetime(2026, 11, 29, 22, tzinfo=UTC)
WALLET_KEYS: Final = (
    "credits",
    "metered",
    "email_sends",
    "lead_storage",
    "enrich_leads",
    "email_accounts",
    "copy_leads",
)
# The one that runs at the start, and that ends soon after.
CYCLE: Final = Cycle(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
BUNDLE_PRICE: Final = Money(210_000, "INR")  # of credits_50 in India

GPT_4O: Final = ModelName("openai", "gpt-4o")
LEADMAGIC: Final = ModelName("leadmagic")
LLAMA: Final = ModelName("ollama", "llama3.2")
UNKNOWN: Final = ModelName("openai", "gpt-99")

# Feature, the models that it is asked for with, and whether it is counted in whole numbers.
_FEATURES: Final[tuple[tuple[str, tuple[ModelName | None, ...], bool], ...]] = (
    ("blog_post", (None, GPT_4O, LLAMA), False),
    ("in_editor_action", (None,), False),
    ("brand_voice_score", (None,), False),
    ("ai_search_visibility_score", (None,), False),
    ("profile_draft", (None, GPT_4O), False),
    ("llm_call", (None, GPT_4O, GPT_4O, LLAMA, UNKNOWN), False),
    ("email_send", (None, GPT_4O), False),
    ("email_find", (None, LEADMAGIC), True),
    ("enrich_lead", (None, LEADMAGIC), False),
    ("rag_ingestion", (None,), False),
    ("seo_score", (None,), False),
    ("store_lead", (None,), True),
    ("no_such_feature", (None,), False),
)
_ATTRIBUTIONS: Final = (
    NOBODY,
    Attribution(agent_role="writer"),
    Attribution(campaign="spring", agent_role="writer"),
    Attribution(campaign="spring", client="umbrella", agent_role="seller"),
    Attribution(campaign="autumn", project="site", tags=(("team", "red"),)),
    Attribution(agent_role="seller", account="a-1", tags=(("team", "blue"), ("tier", "gold"))),
)
_BUDGETS: Final = (
    BudgetKey(BudgetScope.TENANT, "", BudgetPeriod.MONTH),
    BudgetKey(BudgetScope.AGENT, "writer", BudgetPeriod.MONTH),
    BudgetKey(BudgetScope.AGENT, "seller", BudgetPeriod.MONTH),
    BudgetKey(BudgetScope.AGENT, "writer", BudgetPeriod.TASK),
    BudgetKey(BudgetScope.AGENT, "", BudgetPeriod.TASK),
    BudgetKey(BudgetScope.CAMPAIGN, "spring", BudgetPeriod.TOTAL),
    BudgetKey(BudgetScope.CAMPAIGN, "spring", BudgetPeriod.MONTH),
    BudgetKey(BudgetScope.TAG, "team=red", BudgetPeriod.MONTH),
    BudgetKey(BudgetScope.TAG, "tier=gold", BudgetPeriod.TOTAL),
)
_SCOPES: Final = (
    ScopeKey(ScopeKind.TENANT, ""),
    ScopeKey(ScopeKind.AGENT, "writer"),
    ScopeKey(ScopeKind.CAMPAIGN, "spring"),
)
_COSTS: Final = ("0", "0.000000001", "0.25", "0.8", "1.5", "3", "7")


@dataclass(frozen=True, slots=True)
class Step:
    """What happens at a moment: a command, or (None) the job that books overdue reservations."""

    at: datetime
    command: Command | None


class Historian:
    """Makes up one tenant's history, step by step. `kinds` are the names of what can happen, with their weights."""

    def __init__(self, tenant_id: UUID, start: datetime = START) -> None:
        self.tenant_id = tenant_id
        self.now = start
        self._numbers = 0
        self._reserved: list[UUID] = []
        self._sent: list[KeyedCommand] = []
        self._calls: list[UUID] = []
        self._named: list[tuple[str, str]] = []
        self._ordered: list[tuple[UUID, Money]] = []
        self._recharged: list[tuple[UUID, Money]] = []
        self._makers: dict[str, tuple[int, Callable[[Random], Command | None]]] = {
            "reserve": (30, self._reserve),
            "consume": (18, self._consume),
            "record": (10, self._record),
            "rerate": (5, self._rerate),
            "release": (8, self._release),
            "extend": (6, self._extend),
            "adjust": (5, self._adjust),
            "grant": (3, self._grant),
            "set_budget": (5, self._set_budget),
            "remove_budget": (2, self._remove_budget),
            "pause": (2, self._pause),
            "resume": (8, self._resume),
            "send_again": (6, self._send_again),
            "expire_overdue": (2, lambda _: None),
            "deactivate": (1, self._deactivate),
            "start_top_up": (5, self._start_top_up),
            "settle_top_up": (9, self._settle_top_up),
            "set_auto_recharge": (4, self._set_auto_recharge),
            "recharge": (5, self._recharge),
            "change_plan": (2, self._change_plan),
            "set_cycle": (1, self._set_cycle),
            "suspend_tenant": (1, self._suspend_tenant),
            "resume_tenant": (9, self._resume_tenant),
        }

    @property
    def kinds(self) -> tuple[str, ...]:
        """What can happen."""
        return tuple(self._makers)

    def opening(self) -> list[Step]:
        """Grants that put something into every wallet."""
        month_end = datetime(self.now.year + self.now.month // 12, self.now.month % 12 + 1, 1, tzinfo=UTC)
        grants = (
            ("credits", "12", LotSource.PLAN, month_end),
            ("credits", "5", LotSource.TOP_UP, month_end + timedelta(days=31)),
            ("credits", "4", LotSource.TOP_UP, month_end),
            ("metered", "1", LotSource.TOP_UP, None),
            ("metered", "4", LotSource.TOP_UP, None),
            ("email_sends", "6", LotSource.PLAN, month_end),
            ("lead_storage", "3", LotSource.PLAN, None),
            ("enrich_leads", "5", LotSource.PLAN, month_end),
        )
        return [
            Step(self.now, self._granted(wallet, parse_amount(amount), source, expires_at))
            for wallet, amount, source, expires_at in grants
        ]

    def history(self, seed: int, length: int) -> list[Step]:
        """The opening and `length` steps after it."""
        random = Random(seed)
        kinds, weights = zip(*((kind, weight) for kind, (weight, _) in self._makers.items()), strict=True)
        return self.opening() + [self.step(kind, random) for kind in random.choices(kinds, weights=weights, k=length)]

    def step(self, kind: str, random: Random) -> Step:
        """Some time passes, and then something of this kind happens."""
        self.now += self._passing(random)
        return Step(self.now, self._makers[kind][1](random))

    def _passing(self, random: Random) -> timedelta:
        """Mostly moments, sometimes minutes (reservations become due), rarely days (months end, lots expire)."""
        chance = random.random()
        if chance < 0.5:
            return timedelta(milliseconds=random.randrange(3) * 250)
        if chance < 0.9:
            return timedelta(seconds=random.randrange(120))
        if chance < 0.98:
            return timedelta(minutes=random.randrange(90))
        return timedelta(hours=random.randrange(400))

    def _next_id(self, at: datetime | None = None) -> UUID:
        """Of this moment, else of now: an event's id carries when it happened."""
        self._numbers += 1
        return uuid7(int((at or self.now).timestamp() * 1_000), self._numbers << 40)

    def _request(self, operation: Operation, *asked: object) -> Request:
        """A fresh key; the hash covers what is asked for, without the ids that the asked side gives."""
        self._numbers += 1
        return Request(
            self.tenant_id, "model", operation, f"{operation}-{self._numbers}", sha256(repr(asked).encode()).digest()
        )

    def _sending(self, command: KeyedCommand) -> KeyedCommand:
        self._sent.append(command)
        return command

    def _any_reservation(self, random: Random) -> UUID:
        if not self._reserved or random.random() < 0.03:
            return UUID(int=random.randrange(2**32))
        return random.choice(self._reserved[-8:])

    def _reserve(self, random: Random) -> Command:
        feature, models, whole = random.choice(_FEATURES)
        model = random.choice(models)
        quantity = random.choice((1, 1, 1, 2, 3, 6)) * NANO
        if not whole and random.random() < 0.1:
            quantity += random.randrange(NANO)
        attribution = random.choice(_ATTRIBUTIONS)
        task = random.choice((None, None, None, "task-1", "task-2", "task-3"))
        ttl = random.choice((1, 60, 900, 7_200))
        wish = Wish(feature, quantity, model, self._estimate(random, model), attribution)
        request = self._request(Operation.RESERVE, wish, task, ttl)
        identifier = self._next_id()
        self._reserved.append(identifier)
        return self._sending(Reserve(request, identifier, wish, task, ttl))

    def _estimate(self, random: Random, model: ModelName | None) -> Estimate:
        chance = random.random()
        if chance < 0.4:
            return NO_ESTIMATE
        if model is not None and chance < 0.7:
            return Estimate(tokens=Tokens(random.randrange(200_000), random.randrange(50_000)))
        return Estimate(cost=parse_amount(random.choice(_COSTS)))

    def _consume(self, random: Random) -> Command:
        identifier = self._any_reservation(random)
        calls = tuple(self._call(random) for _ in range(random.choice((0, 1, 1, 1, 2, 3))))
        quantity = random.choice((None, None, None, 0, 1, 2, 5))
        amount = None if quantity is None else quantity * NANO
        request = self._request(Operation.CONSUME, identifier, calls, amount)
        events = tuple((self._next_id(call.occurred_at), call) for call in calls)
        self._calls.extend(called for called, _ in events)
        return self._sending(Consume(request, identifier, events, amount))

    def _call(self, random: Random) -> Usage:
        source, event_id = self._name(random) if random.random() < 0.6 else (None, None)
        results = random.choice((None, None, 0, 1, 4))
        chance = random.random()
        if chance < 0.5:
            call = Usage(cost=parse_amount(random.choice(_COSTS)))
        elif chance < 0.9:
            model = random.choice((GPT_4O, LLAMA))
            tokens = Tokens(random.randrange(300_000), random.randrange(60_000), cache_read=random.randrange(9_000))
            call = Usage(provider=model.provider, model=model.model, tokens=tokens)
        elif chance < 0.95:
            call = Usage(random.choice(tuple(UsageKind)), tokens=random.choice((NO_TOKENS, Tokens(9_000))))
        else:
            call = Usage(provider=UNKNOWN.provider, model=UNKNOWN.model, tokens=Tokens(1_000))
        occurred_at = self.now - timedelta(hours=random.randrange(900)) if random.random() < 0.2 else None
        return call._replace(source=source, event_id=event_id, results=results, occurred_at=occurred_at)

    def _name(self, random: Random) -> tuple[str, str]:
        """A new (source, event id), or one that was sent before."""
        if self._named and random.random() < 0.15:
            return random.choice(self._named)
        self._numbers += 1
        self._named.append(("worker", f"event-{self._numbers}"))
        return self._named[-1]

    def _record(self, random: Random) -> Command:
        events: list[Reported] = []
        for _ in range(random.choice((1, 1, 2, 4))):
            source, event_id = self._name(random)
            call = self._call(random)._replace(
                source=source, event_id=event_id, own_key=random.choice((None, None, True))
            )
            feature = random.choice((None, *[feature for feature, _, _ in _FEATURES]))
            under = self._any_reservation(random) if random.random() < 0.6 else None
            events.append(
                Reported(self._next_id(call.occurred_at), call, feature, under, random.choice((NOBODY, *_ATTRIBUTIONS)))
            )
        self._calls.extend(event.id for event in events)
        return Record(self._request(Operation.RECORD_USAGE), tuple(events))

    def _rerate(self, random: Random) -> Command:
        """Some of the last calls, or all there were; many were never taken."""
        calls = self._calls if random.random() < 0.2 else self._calls[-20:]
        chosen = random.sample(calls, random.randint(0, len(calls)))
        pairs = tuple((self._next_id(), called) for called in chosen)
        return Rerate(self._request(Operation.RERATE_USAGE), pairs, self._next_id())

    def _release(self, random: Random) -> Command:
        identifier = self._any_reservation(random)
        return self._sending(Release(self._request(Operation.RELEASE, identifier), identifier, "not needed"))

    def _extend(self, random: Random) -> Command:
        identifier = self._any_reservation(random)
        ttl = random.choice((None, 60, 900))
        estimate = self._estimate(random, random.choice((None, GPT_4O)))
        request = self._request(Operation.EXTEND, identifier, ttl, estimate)
        return self._sending(Extend(request, identifier, ttl, estimate))

    def _adjust(self, random: Random) -> Command:
        wallet = random.choice((*WALLET_KEYS, "metered", "credits", "no_such_wallet"))
        amount = parse_amount(random.choice(("-4", "-1.5", "-0.000000001", "0.3", "2", "6")))
        request = self._request(Operation.ADJUST_WALLET, wallet, amount)
        return self._sending(AdjustWallet(request, wallet, amount, "a correction", self._next_id()))

    def _grant(self, random: Random) -> Command:
        wallet = random.choice(WALLET_KEYS)
        expires_at = random.choice((None, self.now + timedelta(minutes=30), self.now + timedelta(days=20)))
        expires_at = None if wallet == METERED_KEY else expires_at
        amount = parse_amount(random.choice(("0.5", "3", "8")))
        return self._granted(wallet, amount, random.choice(tuple(LotSource)), expires_at)

    def _granted(self, wallet: str, amount: int, source: LotSource, expires_at: datetime | None) -> Command:
        request = self._request(Operation.GRANT, wallet, amount, source, expires_at)
        return self._sending(Grant(request, wallet, amount, source, expires_at, "payment", self._next_id()))

    def _set_budget(self, random: Random) -> Command:
        cap = parse_amount(random.choice(("0", "0.5", "2", "4", "9", "1000")))
        budget = Budget(random.choice(_BUDGETS), cap, random.choice(((8_000, 10_000), (5_000,))))
        return self._sending(SetBudget(self._request(Operation.SET_BUDGET, budget), budget))

    def _remove_budget(self, random: Random) -> Command:
        key = random.choice(_BUDGETS)
        return self._sending(RemoveBudget(self._request(Operation.REMOVE_BUDGET, key), key))

    def _pause(self, random: Random) -> Command:
        key = random.choice(_SCOPES)
        return self._sending(PauseScope(self._request(Operation.PAUSE_SCOPE, key), key, "approval_pending"))

    def _resume(self, random: Random) -> Command:
        key = random.choice(_SCOPES)
        return self._sending(ResumeScope(self._request(Operation.RESUME_SCOPE, key), key))

    def _deactivate(self, random: Random) -> Command:
        key = random.choice(_SCOPES[1:])
        return self._sending(DeactivateScope(self._request(Operation.DEACTIVATE_SCOPE, key), key))

    def _start_top_up(self, random: Random) -> Command:
        wallet, bundle, cents = random.choice(
            (
                ("metered", None, 100),
                ("metered", None, 400),
                ("credits", "credits_50", None),
                ("credits", "no_such_bundle", None),
                ("credits", None, 500),
            )
        )
        request = self._request(Operation.START_TOP_UP, wallet, bundle, cents)
        identifier = self._next_id()
        self._ordered.append((identifier, BUNDLE_PRICE if cents is None else Money(cents, "USD")))
        return self._sending(
            StartTopUp(request, identifier, wallet, bundle, None if cents is None else cents * NANO // 100)
        )

    def _settle_top_up(self, random: Random) -> Command:
        """Something is told of an order: of its payment mostly, or of refunds and disputes."""
        identifier, price = self._any_order(random)
        told = random.choice((self._paid, self._paid, self._failed, self._refunded, self._disputed))(random, price)
        return SettleTopUp(self._request(Operation.SETTLE_TOP_UP), identifier, told, self._next_id())

    def _any_order(self, random: Random) -> tuple[UUID, Money]:
        if not self._ordered or random.random() < 0.03:
            return UUID(int=random.randrange(2**32)), Money(100, "USD")
        recharged = self._recharged and random.random() < 0.4
        return random.choice(self._recharged[-3:] if recharged else self._ordered[-3:])

    def _paid(self, random: Random, price: Money) -> PaymentFacts:
        received = price if random.random() < 0.9 else Money(price.minor + 1, price.currency)
        return PaymentFacts(Outcome.PAID, random.choice((None, "cs_1")), random.choice((None, "pi_1")), received)

    def _failed(self, random: Random, _: Money) -> PaymentFacts:
        outcome = random.choice((Outcome.UNKNOWN, Outcome.REQUIRES_ACTION, Outcome.FAILED, Outcome.EXPIRED))
        return PaymentFacts(outcome, failure=random.choice((None, "card_declined")))

    def _refunded(self, random: Random, price: Money) -> PaymentFacts:
        if random.random() < 0.3:
            return PaymentFacts(refunded_at_least=price.minor // random.randint(1, 3))
        place, status = random.randint(1, 3), random.choice(tuple(RefundStatus))
        return PaymentFacts(refunds=(Refund(f"re_{place}", price.minor // place, status),))

    def _disputed(self, random: Random, price: Money) -> PaymentFacts:
        return PaymentFacts(disputes=(Dispute("dp_1", price.minor, random.choice(tuple(DisputeStatus))),))

    def _set_auto_recharge(self, random: Random) -> Command:
        figures = (
            random.random() < 0.8,
            parse_amount(random.choice(("0", "3", "30"))),
            3 * NANO,
            random.choice((None, 3 * NANO, 8 * NANO)),
            random.random() < 0.9,
        )
        wallet = random.choice(("metered", "metered", "metered", "credits"))
        request = self._request(Operation.SET_AUTO_RECHARGE, wallet, figures)
        return self._sending(SetAutoRecharge(request, wallet, *figures))

    def _recharge(self, _: Random) -> Command:
        identifier = self._next_id()
        self._recharged.append((identifier, Money(300, "USD")))
        return Recharge(self._request(Operation.RECHARGE), "metered", identifier)

    def _change_plan(self, random: Random) -> Command:
        plan = random.choice(("starter", "professional", "professional", "no_such_plan"))
        return self._sending(ChangePlan(self._request(Operation.CHANGE_PLAN, plan), plan, self._next_id()))

    def _set_cycle(self, random: Random) -> Command:
        day = random.choice((None, 1, 5, 31))
        zone = random.choice((None, *(ZoneInfo(name) for name in ("UTC", "Asia/Kolkata", "Pacific/Kiritimati"))))
        return self._sending(SetCycle(self._request(Operation.SET_CYCLE, day, zone), day, zone))

    def _suspend_tenant(self, _: Random) -> Command:
        return self._sending(SuspendTenant(self._request(Operation.SUSPEND_TENANT)))

    def _resume_tenant(self, _: Random) -> Command:
        return self._sending(ResumeTenant(self._request(Operation.RESUME_TENANT)))

    def _send_again(self, random: Random) -> Command:
        """An earlier command with its key once more: the same request mostly, sometimes another."""
        command = random.choice(self._sent[-15:])
        if isinstance(command, Reserve):
            command = replace(command, reservation_id=self._next_id())
            self._reserved.append(command.reservation_id)
        if isinstance(command, Consume):
            command = replace(
                command, events=tuple((self._next_id(call.occurred_at), call) for _, call in command.events)
            )
        if isinstance(command, AdjustWallet | Grant | ChangePlan):
            command = replace(command, lot_id=self._next_id())
        if isinstance(command, StartTopUp):
            command = replace(command, top_up_id=self._next_id())
        if random.random() < 0.2:
            return replace(command, request=command.request._replace(hash=bytes(32)))
        return command
