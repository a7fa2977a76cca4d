"""Costs of campaigns and accounts: what people entered, the customers won, and beside it what was tracked.

Each question here is answered for any number of campaigns by as many statements as for one. Tracked US dollars are exact
sums of usage (`infra.queries.usage_breakdowns`) over the same days, in the tenant's time zone.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from domain.breakdowns import Dimension, UsageFilter
from domain.money import Money
from domain.rollups import day_named
from domain.usage import UsageKind
from infra.application import Application
from infra.expense_rows import EXPENSE_COLUMNS, ExpenseView, expense_of
from infra.queries.tenants import zone_of
from infra.queries.usage_breakdowns import BreakdownRow, usage_breakdown

MOST_GROUPS: Final = 4_500

_ENTERED: Final = """
SELECT campaign, currency, sum(minor)::numeric, count(*) FROM expense
WHERE tenant_id = $1 AND campaign = ANY($2::text[]) AND deleted_at IS NULL
    AND ($3::date IS NULL OR incurred_on >= $3) AND ($4::date IS NULL OR incurred_on <= $4)
GROUP BY campaign, currency ORDER BY campaign, currency"""
_WON: Final = """
SELECT campaign, sum(count)::bigint FROM customers_won
WHERE tenant_id = $1 AND campaign = ANY($2::text[])
    AND ($3::date IS NULL OR won_on >= $3) AND ($4::date IS NULL OR won_on <= $4)
GROUP BY campaign"""
_NEWEST: Final = f"""
SELECT {", ".join(f"e.{column}" for column in EXPENSE_COLUMNS.split(", "))}
FROM unnest($2::text[]) AS asked (campaign) CROSS JOIN LATERAL (
    SELECT * FROM expense WHERE tenant_id = $1 AND campaign = asked.campaign AND deleted_at IS NULL
        AND ($3::date IS NULL OR incurred_on >= $3) AND ($4::date IS NULL OR incurred_on <= $4)
    ORDER BY incurred_on DESC, id DESC LIMIT $5
) e ORDER BY e.campaign, e.incurred_on DESC, e.id DESC"""
_CAMPAIGNS: Final = """
SELECT id FROM scope WHERE tenant_id = $1 AND kind = 'CAMPAIGN' AND id > $2 ORDER BY id LIMIT $3"""
_FIRST_USAGE: Final = """
SELECT least((SELECT min(occurred_at) FROM usage_event WHERE tenant_id = $1),
             (SELECT min(occurred_at) FROM usage_amendment WHERE tenant_id = $1))"""


class Days(NamedTuple):
    """From one day to another, both included; None: from the beginning, to the end."""

    start: date | None = None
    end: date | None = None


class CostsKey(NamedTuple):
    """Whose costs, of which days: a campaign's, or an account's."""

    id: str
    days: Days = Days()


class NewestKey(NamedTuple):
    """The newest `most` expenses of a campaign."""

    of: CostsKey
    most: int


class ModelsKey(NamedTuple):
    """The `top` models by cost."""

    of: CostsKey
    top: int


@dataclass(frozen=True, slots=True)
class Entered:
    """What people entered: a sum for each currency that was used, and how many expenses that were."""

    totals: tuple[Money, ...] = ()
    expenses: int = 0


@dataclass(frozen=True, slots=True)
class Tracked:
    """What usage has cost, in nano-dollars; `llm` is the part of language models. `unpriced`: events whose cost is not
    known yet, and is in neither."""

    cost: int = 0
    llm: int = 0
    unpriced: int = 0


@dataclass(frozen=True, slots=True)
class ModelSpend:
    """What the calls of one model have cost, in nano-dollars."""

    provider: str
    model: str
    cost: int
    calls: int


@dataclass(frozen=True, slots=True)
class CampaignPage:
    """Some campaigns by id, and whether there are others after them (next) and before them (previous)."""

    campaigns: tuple[str, ...]
    has_next: bool
    has_previous: bool


async def campaigns(application: Application, tenant_id: UUID, first: int, after: str | None) -> CampaignPage:
    """The tenant's campaigns, whether usage, an expense or a person named them first."""
    rows = await application.readers.of(tenant_id).fetch(_CAMPAIGNS, tenant_id, after or "", first + 1)
    return CampaignPage(tuple([row[0] for row in rows[:first]]), len(rows) > first, after is not None)


async def entered(application: Application, tenant_id: UUID, keys: Sequence[CostsKey]) -> list[Entered]:
    """The sums of each campaign's expenses, by currency."""
    found: dict[CostsKey, Entered] = {}
    for days, ids in _by_days(keys).items():
        for campaign, currency, minor, expenses in await application.readers.of(tenant_id).fetch(
            _ENTERED, tenant_id, ids, *days
        ):
            key = CostsKey(campaign, days)
            before = found.get(key, Entered())
            found[key] = Entered((*before.totals, Money(int(minor), currency)), before.expenses + expenses)
    return [found.get(key, Entered()) for key in keys]


async def customers_won(application: Application, tenant_id: UUID, keys: Sequence[CostsKey]) -> list[int]:
    """How many customers each campaign won, corrections taken off."""
    found: dict[CostsKey, int] = {}
    for days, ids in _by_days(keys).items():
        for campaign, count in await application.readers.of(tenant_id).fetch(_WON, tenant_id, ids, *days):
            found[CostsKey(campaign, days)] = count
    return [found.get(key, 0) for key in keys]


async def newest(application: Application, tenant_id: UUID, keys: Sequence[NewestKey]) -> list[tuple[ExpenseView, ...]]:
    """The newest expenses of each campaign."""
    found: defaultdict[NewestKey, list[ExpenseView]] = defaultdict(list)
    for most in {key.most for key in keys}:
        for days, ids in _by_days([key.of for key in keys if key.most == most]).items():
            for row in await application.readers.of(tenant_id).fetch(_NEWEST, tenant_id, ids, *days, most):
                view = expense_of(tuple(row))
                found[NewestKey(CostsKey(view.facts.campaign, days), most)].append(view)
    return [tuple(found[key]) for key in keys]


async def tracked_of_campaigns(application: Application, tenant_id: UUID, keys: Sequence[CostsKey]) -> list[Tracked]:
    """What the usage of each campaign has cost."""
    return await _tracked(application, tenant_id, keys, Dimension.CAMPAIGN)


async def tracked_of_accounts(application: Application, tenant_id: UUID, keys: Sequence[CostsKey]) -> list[Tracked]:
    """What the usage of each account has cost."""
    return await _tracked(application, tenant_id, keys, Dimension.ACCOUNT)


async def models_of_campaigns(
    application: Application, tenant_id: UUID, keys: Sequence[ModelsKey]
) -> list[tuple[ModelSpend, ...]]:
    """The language models on which each campaign spent most."""
    return await _models(application, tenant_id, keys, Dimension.CAMPAIGN)


async def models_of_accounts(
    application: Application, tenant_id: UUID, keys: Sequence[ModelsKey]
) -> list[tuple[ModelSpend, ...]]:
    """The language models on which each account spent most."""
    return await _models(application, tenant_id, keys, Dimension.ACCOUNT)


async def _tracked(
    application: Application, tenant_id: UUID, keys: Sequence[CostsKey], dimension: Dimension
) -> list[Tracked]:
    found: defaultdict[CostsKey, Tracked] = defaultdict(Tracked)
    for days, ids in _by_days(keys).items():
        wanted = await _filter(application, tenant_id, days, dimension, ids)
        if wanted is None:
            continue
        group_by = [dimension, Dimension.KIND]
        breakdown = await usage_breakdown(application, tenant_id, wanted, group_by, top=MOST_GROUPS)
        for row in breakdown.rows:
            name, kind = row.keys
            key, cost = CostsKey(name.value or "", days), row.totals.cost
            before = found[key]
            found[key] = Tracked(
                before.cost + cost,
                before.llm + (cost if kind.value == UsageKind.LLM.value else 0),
                before.unpriced + row.totals.unpriced,
            )
    return [found[key] for key in keys]


async def _models(
    application: Application, tenant_id: UUID, keys: Sequence[ModelsKey], dimension: Dimension
) -> list[tuple[ModelSpend, ...]]:
    found: defaultdict[CostsKey, list[ModelSpend]] = defaultdict(list)
    for days, ids in _by_days([key.of for key in keys]).items():
        # The most expensive groups come first, so those of each campaign do, too.
        for row in await _model_rows(application, tenant_id, days, dimension, ids):
            name, provider, model = (key.value for key in row.keys)
            if provider is not None and model is not None:
                spend = ModelSpend(provider, model, row.totals.cost, row.totals.calls)
                found[CostsKey(name or "", days)].append(spend)
    return [tuple(found[key.of][: key.top]) for key in keys]


async def _model_rows(
    application: Application, tenant_id: UUID, days: Days, dimension: Dimension, ids: Sequence[str]
) -> list[BreakdownRow]:
    """What each spent on each model. Where an answer does not hold all of it, the halves are asked for, so that none goes
    without its models because others spent more."""
    wanted = await _filter(application, tenant_id, days, dimension, ids, kind=(UsageKind.LLM,))
    if wanted is None:
        return []
    group_by = [dimension, Dimension.PROVIDER, Dimension.MODEL]
    rows = (await usage_breakdown(application, tenant_id, wanted, group_by, top=MOST_GROUPS)).rows
    if len(rows) < MOST_GROUPS or len(ids) == 1:
        return list(rows)
    half = len(ids) // 2
    return [
        row
        for part in (ids[:half], ids[half:])
        for row in await _model_rows(application, tenant_id, days, dimension, part)
    ]


async def _filter(
    application: Application, tenant_id: UUID, days: Days, dimension: Dimension, ids: Sequence[str], **others: Any
) -> UsageFilter | None:
    """The usage of these days; None where there was none yet."""
    zone = await zone_of(application, tenant_id)
    if days.start is None:
        start: datetime | None = await application.readers.of(tenant_id).fetchval(_FIRST_USAGE, tenant_id)
        if start is None:
            return None
    else:
        start = day_named(days.start, zone).start
    # Nothing is recorded of a moment that is more than minutes ahead.
    ahead = application.clock() + timedelta(days=1)
    end = ahead if days.end is None else day_named(days.end, zone).end
    if start >= end:
        return None
    named = {dimension.value.lower(): tuple(ids)} | others
    return UsageFilter(start.astimezone(UTC), end, **named)


def _by_days(keys: Sequence[CostsKey]) -> dict[Days, list[str]]:
    """The ids that are asked for of the same days, each once."""
    found: defaultdict[Days, dict[str, None]] = defaultdict(dict)
    for key in keys:
        found[key.days][key.id] = None
    return {days: list(ids) for days, ids in found.items()}
