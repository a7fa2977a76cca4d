"""FOCUS: what a month's usage says in the columns of the FinOps Open Cost and Usage Specification, version 1.2.

A day's usage with the same attribution gives up to three rows, told apart by their pricing currency, so that each amount
stands in the file once:

- `USD`: what the providers' calls cost. BilledCost, EffectiveCost, ListCost and ContractedCost are that cost, which also
  is what the unit of one dollar, priced at one dollar, comes to: several dated prices by class have no unit price in common.
- `Credits` and `Prepaid USD`: what was charged for it, in the wallets' own units. FOCUS calls them virtual currencies. They
  cost nothing once more, since a wallet is filled with money that was paid before; what a credit is worth in dollars is
  not said (docs/decisions/0023).

Where our own key was used we sell the call (ProviderName, InvoiceIssuerName), and the one who made it is its publisher; on
a tenant's own key the provider does both. Corrections change the day that they correct: no invoice was written for it, so
FOCUS's Correction, which is about invoiced periods, does not apply.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from domain.breakdowns import UsageTotals
from domain.money import NANO, format_amount
from domain.usage import Route, UsageKind

USD: Final = "USD"
CREDITS: Final = "Credits"
PREPAID: Final = "Prepaid USD"
# Who sells what runs on our own keys, and keeps the wallets.
SELLER: Final = "Purser"
UNNAMED: Final = "Unnamed provider"

COLUMNS: Final = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingAccountType",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "CommitmentDiscountStatus",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceId",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingCurrency",
    "PricingCurrencyContractedUnitPrice",
    "PricingCurrencyEffectiveCost",
    "PricingCurrencyListUnitPrice",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceDetails",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "SubAccountType",
    "Tags",
    "x_AgentName",
    "x_AgentRole",
    "x_CacheReadTokens",
    "x_CacheWriteTokens",
    "x_Calls",
    "x_CampaignId",
    "x_CampaignName",
    "x_Events",
    "x_FailedEvents",
    "x_Feature",
    "x_InputTokens",
    "x_Model",
    "x_Operation",
    "x_OutputTokens",
    "x_ProjectId",
    "x_ProjectName",
    "x_ReasoningTokens",
    "x_Route",
    "x_UnpricedEvents",
    "x_UsageKind",
)


class Account(NamedTuple):
    """Whose usage it is: the tenant's public id and name."""

    id: str
    name: str


class Period(NamedTuple):
    """A day and the month that it lies in: [start, end) of both in UTC, as the tenant's time zone has them."""

    month_start: datetime
    month_end: datetime
    start: datetime
    end: datetime


class Named(NamedTuple):
    """One of the customer's own ids, and the name that it was given; both None: the usage named none."""

    id: str | None = None
    name: str | None = None


NONE: Final = Named()


@dataclass(frozen=True, slots=True)
class DayOfUsage:
    """What happened on a day with the same attribution, and its sums (UsageTotals: nano-units)."""

    totals: UsageTotals
    kind: UsageKind | None = None
    route: Route = Route.MANAGED
    provider: str | None = None
    model: str | None = None
    operation: str | None = None
    feature: str | None = None
    agent_role: Named = NONE
    campaign: Named = NONE
    client: Named = NONE
    project: Named = NONE


class _Service(NamedTuple):
    noun: str
    category: str
    subcategory: str


_SERVICES: Final = {
    UsageKind.LLM: _Service("models", "AI and Machine Learning", "Generative AI"),
    UsageKind.TOOL: _Service("tool", "AI and Machine Learning", "Other (AI and Machine Learning)"),
    UsageKind.API: _Service("API", "Integration", "Other (Integration)"),
    UsageKind.DATA_QUERY: _Service("data", "Analytics", "Other (Analytics)"),
    # What is corrected or charged without a call.
    None: _Service("usage", "Other", "Other (Other)"),
}
_CHARGES: Final = _Service("", "Business Applications", "Other (Business Applications)")
_ONE: Final = "1.0"
_NOTHING: Final = "0.0"


def rows(
    account: Account, period: Period, usage: DayOfUsage, providers: Mapping[str, str]
) -> Iterator[tuple[str, ...]]:
    """The rows of a day's usage, in the order of COLUMNS; the empty text is FOCUS's null. `providers`: names by slug."""
    shared = _shared(account, period, usage)
    totals = usage.totals
    if totals._replace(credits_charged=0, usd_charged=0) != UsageTotals():
        yield _in_order(shared | _cost(usage, providers))
    for currency, amount in ((CREDITS, totals.credits_charged), (PREPAID, totals.usd_charged)):
        if amount:
            yield _in_order(shared | _charge(usage, currency, amount))


def _in_order(values: Mapping[str, str]) -> tuple[str, ...]:
    return tuple([values.get(column, "") for column in COLUMNS])


def _shared(account: Account, period: Period, usage: DayOfUsage) -> dict[str, str]:
    """What every row of a day's usage says."""
    client = usage.client
    return {
        "BillingAccountId": account.id,
        "BillingAccountName": account.name,
        "BillingAccountType": "Tenant",
        "BillingCurrency": USD,
        "BillingPeriodEnd": _moment(period.month_end),
        "BillingPeriodStart": _moment(period.month_start),
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": _moment(period.end),
        "ChargePeriodStart": _moment(period.start),
        "PricingCategory": "Standard",
        "PricingCurrencyContractedUnitPrice": _ONE,
        "PricingCurrencyListUnitPrice": _ONE,
        "SubAccountId": client.id or "",
        "SubAccountName": client.name or client.id or "",
        "SubAccountType": "Client" if client.id else "",
        "x_AgentName": usage.agent_role.name or "",
        "x_AgentRole": usage.agent_role.id or "",
        "x_CampaignId": usage.campaign.id or "",
        "x_CampaignName": usage.campaign.name or "",
        "x_Feature": usage.feature or "",
        "x_Model": usage.model or "",
        "x_Operation": usage.operation or "",
        "x_ProjectId": usage.project.id or "",
        "x_ProjectName": usage.project.name or "",
        "x_Route": usage.route,
        "x_UsageKind": usage.kind or "",
    }


def _cost(usage: DayOfUsage, providers: Mapping[str, str]) -> dict[str, str]:
    """What the calls cost at their provider. Quantities and units of it, and the counts."""
    totals = usage.totals
    cost = _decimal(totals.cost)
    publisher = UNNAMED if usage.provider is None else providers.get(usage.provider, usage.provider)
    seller = publisher if usage.route is Route.BYOK else SELLER
    service = _SERVICES[usage.kind]
    kind = service.noun if usage.kind is None else usage.kind.lower()
    sku = "/".join(filter(None, (kind, usage.provider, usage.model, usage.operation)))
    said = ", ".join(filter(None, (usage.model, usage.operation)))
    tokens = sum(totals[UsageTotals._fields.index("input_tokens") : UsageTotals._fields.index("duration_ms")])
    return {
        "BilledCost": cost,
        "ChargeDescription": f"{publisher} {service.noun}" + (f": {said}" if said else ""),
        "ConsumedQuantity": _decimal((tokens or totals.calls) * NANO),
        "ConsumedUnit": "Tokens" if tokens else "Requests",
        "ContractedCost": cost,
        "ContractedUnitPrice": _ONE,
        "EffectiveCost": cost,
        "InvoiceIssuerName": seller,
        "ListCost": cost,
        "ListUnitPrice": _ONE,
        "PricingCurrency": USD,
        "PricingCurrencyEffectiveCost": cost,
        "PricingQuantity": cost,
        "PricingUnit": USD,
        "ProviderName": seller,
        "PublisherName": publisher,
        "ServiceCategory": service.category,
        "ServiceName": f"{publisher} {service.noun}",
        "ServiceSubcategory": service.subcategory,
        "SkuId": sku,
        "SkuMeter": "Provider cost",
        "SkuPriceId": sku,
        "x_CacheReadTokens": str(totals.cache_read_tokens),
        "x_CacheWriteTokens": str(totals.cache_write_tokens),
        "x_Calls": str(totals.calls),
        "x_Events": str(totals.events),
        "x_FailedEvents": str(totals.failures),
        "x_InputTokens": str(totals.input_tokens),
        "x_OutputTokens": str(totals.output_tokens),
        "x_ReasoningTokens": str(totals.reasoning_tokens),
        "x_UnpricedEvents": str(totals.unpriced),
    }


def _charge(usage: DayOfUsage, currency: str, amount: int) -> dict[str, str]:
    """What a wallet paid for it (nano-units of the currency)."""
    quantity = _decimal(amount)
    what = usage.feature or "usage without a feature"
    sku = f"{currency}/{what}"
    return {
        "BilledCost": _NOTHING,
        "ChargeDescription": f"{currency} charged for {what}",
        "ConsumedQuantity": quantity,
        "ConsumedUnit": currency,
        "ContractedCost": _NOTHING,
        "ContractedUnitPrice": _NOTHING,
        "EffectiveCost": _NOTHING,
        "InvoiceIssuerName": SELLER,
        "ListCost": _NOTHING,
        "ListUnitPrice": _NOTHING,
        "PricingCurrency": currency,
        "PricingCurrencyEffectiveCost": quantity,
        "PricingQuantity": quantity,
        "PricingUnit": currency,
        "ProviderName": SELLER,
        "PublisherName": SELLER,
        "ServiceCategory": _CHARGES.category,
        "ServiceName": what,
        "ServiceSubcategory": _CHARGES.subcategory,
        "SkuId": sku,
        "SkuMeter": currency,
        "SkuPriceId": sku,
    }


def _decimal(nano: int) -> str:
    """An exact decimal that stands with a point always: readers that guess a column's type take it for no integer."""
    text = format_amount(nano)
    return text if "." in text else f"{text}.0"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
