"""Toolbox: the tools that agents are offered, and what each says of its answer.

They are written for agents that never saw this code: when to use each, what its figures mean, and what to do next.
"""

from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from domain.ledger import timestamp
from domain.periods import month_key, month_span
from graphql_api.errors import bad_input
from graphql_api.tools import Arguments, Call, Data, Defaults, Tool

INSTRUCTIONS: Final = """\
Purser keeps the accounts of a product that spends money on every request. These tools read: they change nothing, hold \
nothing and charge nothing.
- How much is left: get_wallet_balance. What things cost: list_rate_cards. May this run, and what would it take: \
preview_reservation. Where the money went: usage_breakdown. Why this was charged or refused: explain_charge.
- Amounts are plain decimals in strings, exact to nine digits ("0.25"): do not turn them into floating point. Those of a \
wallet are in its unit (CREDIT or USD); fields whose name ends in Usd are US dollars.
- A "no" is an answer with its figures (__typename and code say which), not an error. An error says what to change.
- A key of role operator names the tenant in the HTTP header Purser-Tenant."""

_FIGURES: Final = "costUsd calls events inputTokens outputTokens creditsCharged usdCharged unpriced"


def _wallets(data: Data) -> str:
    wallets = data["wallets"]
    if not wallets:
        raise bad_input("there is no such wallet: call this without key for all wallets of the tenant")
    return "\n".join(_wallet(wallet) for wallet in wallets)


def _wallet(wallet: Any) -> str:
    text = f"{wallet['key']}: {wallet['available']} {wallet['unit']} available, {wallet['reserved']} reserved"
    owed = "" if wallet["debt"] == "0" else f", {wallet['debt']} owed"
    return f"{text}{owed} ({wallet['status']})."


def _rate_card(data: Data) -> str:
    card = data["rateCard"]
    return f"Rate card {card['version']} holds since {card['effectiveFrom']}: {len(card['rates'])} rates."


def _breakdown(data: Data) -> str:
    breakdown = data["usageBreakdown"]
    total, rows = breakdown["total"], breakdown["rows"]
    text = (
        f"From {breakdown['from']} to {breakdown['to']}: {total['costUsd']} USD of provider cost over {total['calls']} calls; "
        f"charged {total['creditsCharged']} credits and {total['usdCharged']} USD."
    )
    if total["unpriced"] != "0":
        text += f" {total['unpriced']} events have no price yet: their cost is not in it."
    if rows and rows[0]["keys"]:
        keys = ", ".join(f"{key['dimension']} {key['name'] or key['value'] or '(none)'}" for key in rows[0]["keys"])
        text += f" First of {len(rows)} groups: {keys}, {rows[0]['totals']['costUsd']} USD."
    return text


def _preview(data: Data) -> str:
    decision = data["previewReservation"]
    if decision["__typename"] != "ReservationPreview":
        why = decision["message"].removesuffix(".")
        return f"It would be refused ({decision['code']}): {why}. This was a preview: nothing was held."
    holds = [f"{hold['amount']} {hold['wallet']['unit']} of {hold['wallet']['key']}" for hold in decision["holds"]]
    return (
        f"It would be admitted (route {decision['route']}) and hold {' and '.join(holds) or 'nothing'}. This was a preview: "
        "nothing is held, and another request may take the room first. To hold it, a worker sends the mutation reserve."
    )


def _receipt(data: Data) -> str:
    receipt = data["receipt"]
    if receipt is None:
        raise bad_input(
            "there is nothing of this id: pass the id of a reservation, a usage event, a ledger entry or a refusal "
            "of this tenant"
        )
    charges = [f"{each['amount']} {each['wallet']['unit']} of {each['wallet']['key']}" for each in receipt["charges"]]
    charged = f"Charged {' and '.join(charges)}." if charges else "Nothing was charged."
    return f"{charged} {receipt['rule']}"


async def _running_month(call: Call) -> Arguments:
    """The month that runs in the tenant's time zone."""
    data = await call.ask("{ tenant { timeZone } }", {})
    zone = ZoneInfo(data["tenant"]["timeZone"])
    now: datetime = call.context.application.clock()
    month = month_span(month_key(now, zone), zone)
    return {"from": timestamp(month.start), "to": timestamp(month.end)}


WALLET_BALANCE: Final = Tool(
    name="get_wallet_balance",
    title="Wallet balance",
    description="What is left in the tenant's wallets at this moment: available, reserved by work that is under way, and "
    "consumed, with the share that is used and a status (OK, WARNING from 80 %, EXHAUSTED). Use it before planning paid work, "
    "or when a person asks what is left. Without key it answers all wallets: credits, metered (prepaid US dollars) and "
    "buckets such as email_sends.",
    document="""query ($key: String) { wallets(key: $key) {
  key kind unit available reserved consumed granted expired debt usedPercent status version asOf } }""",
    text=_wallets,
)
RATE_CARDS: Final = Tool(
    name="list_rate_cards",
    title="Rate card",
    description="The rate card in force now, or at another moment: each feature that can be charged, from which wallet, and "
    "how (FIXED credits per deliverable, COST_PLUS by what the provider charges, PER_UNIT, PER_RESULT for what was found, "
    "FREE ...). Use it to find the name of a feature for preview_reservation, or to say what something costs.",
    document="""query ($at: DateTime) { rateCard(at: $at) {
  version effectiveFrom effectiveTo rates { feature name chargeType walletKey credits floor agents note } } }""",
    text=_rate_card,
)
USAGE_BREAKDOWN: Final = Tool(
    name="usage_breakdown",
    title="Usage breakdown",
    description="What usage cost, grouped by up to five dimensions (FEATURE unless said otherwise; DAY, WEEK and MONTH make "
    "a series) over a period, the running month unless from and to say otherwise; exact at this moment. Narrow it by any of "
    "the filters, each a list of values of which one must match. Use it for what did X cost, who spent most, and how it "
    "compares with the period before (comparePrevious). costUsd is what providers charged; creditsCharged and usdCharged are "
    "what the tenant was charged.",
    document=f"""query (
  $from: DateTime!, $to: DateTime!, $groupBy: [UsageDimension!]! = [FEATURE], $top: Int = 20, $comparePrevious: Boolean,
  $provider: [String!], $model: [String!], $operation: [String!], $feature: [String!], $agentRole: [String!],
  $campaign: [String!], $client: [String!], $project: [String!], $research: [String!], $account: [String!],
  $session: [String!], $taskRun: [String!], $kind: [UsageKind!], $route: [Route!], $tags: [TagInput!]
) {{
  usageBreakdown(
    groupBy: $groupBy, top: $top, comparePrevious: $comparePrevious,
    filter: {{
      from: $from, to: $to, provider: $provider, model: $model, operation: $operation, feature: $feature,
      agentRole: $agentRole, campaign: $campaign, client: $client, project: $project, research: $research,
      account: $account, session: $session, taskRun: $taskRun, kind: $kind, route: $route, tags: $tags
    }}
  ) {{
    from to
    rows {{ keys {{ dimension value name }} totals {{ {_FIGURES} }} previous {{ {_FIGURES} }} }}
    total {{ {_FIGURES} }} previous {{ {_FIGURES} }} previousFrom previousTo asOf
  }}
}}""",
    text=_breakdown,
    defaults=Defaults(
        {
            "from": "Unless given, the start of the running month in the tenant's time zone.",
            "to": "Unless given, the end of the running month in the tenant's time zone.",
        },
        _running_month,
    ),
)
PREVIEW_RESERVATION: Final = Tool(
    name="preview_reservation",
    title="Preview a reservation",
    description="Whether a piece of paid work would be admitted now, and what it would hold in each wallet; or which level "
    "would refuse it (wallet, budget, pause, price, plan), with the figures. Nothing is held, written or paused: use it to "
    "plan or to explain, not to admit work. Find the feature's name with list_rate_cards. Give the model and an estimate "
    "where they are known, and the attribution (campaign, agentRole ...) whose budgets would count.",
    document="""query (
  $feature: String!, $quantity: Amount, $model: ModelInput, $estimate: EstimateInput, $attribution: AttributionInput
) {
  previewReservation(
    input: {feature: $feature, quantity: $quantity, model: $model, estimate: $estimate, attribution: $attribution}
  ) {
    __typename
    ... on ReservationPreview {
      route holds { amount wallet { key unit available } } estimatedCostUsd maxCostUsd promptNotice
      warnings { scope scopeId usedPercent cap spent held }
    }
    ... on Refusal { code message }
    ... on InsufficientFunds { walletKey requested available shortBy }
    ... on BudgetExceeded { scope scopeId cap spent held requestedUsd: requested retryable }
    ... on ScopePaused { scope scopeId reason }
    ... on UnknownFeature { feature }
    ... on UnpricedModel { provider model operation }
    ... on PlanLimit { limit used }
    ... on InvalidInput { fields { path message } }
  }
}""",
    text=_preview,
)
EXPLAIN_CHARGE: Final = Tool(
    name="explain_charge",
    title="Explain a charge or a refusal",
    description="Why something was charged or refused: its lines (quantity x price), the lots that paid, each budget before "
    "and after, and the rule that decided. Takes the id of a reservation, a usage event, a ledger entry or a refusal "
    "(refusalId of an answer). Use it when a person asks why they paid this, or why work was stopped.",
    document="""query ($id: ID!) { receipt(id: $id) {
  lines { label quantity unitPrice per priceEffectiveFrom amount unit }
  charges { amount wallet { key unit } }
  lots { amount lot { id source } }
  budgets { scope scopeId period measure before after cap }
  total unit rule } }""",
    text=_receipt,
)
TOOLS: Final = (WALLET_BALANCE, RATE_CARDS, USAGE_BREAKDOWN, PREVIEW_RESERVATION, EXPLAIN_CHARGE)
