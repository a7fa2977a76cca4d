"""A client as a worker writes it: one POST per request."""

from dataclasses import dataclass
from typing import Any

import httpx
from graphql import GraphQLUnionType, get_named_type

from graphql_api.schema import create_schema

SCHEMA = create_schema()
# `requested` is dollars in one refusal and the wallet's unit in another, so one of them needs another name.
FIGURES = {
    "InsufficientFunds": "walletKey requested available shortBy",
    "BudgetExceeded": "scope scopeId cap spent held requestedUsd: requested retryable",
    "ScopePaused": "scope scopeId reason",
    "UnknownFeature": "feature",
    "UnpricedModel": "provider model operation",
    "PlanLimit": "limit used",
    "IdempotencyKeyReused": "idempotencyKey",
    "ReservationEnded": "state",
    "InvalidInput": "fields { path message }",
}
WALLET_AMOUNT = "{ walletKey unit amount }"
MONEY = "{ amount currency }"
PLAN = f"key name region price {MONEY} allocations {WALLET_AMOUNT} seats agents unlimited"
TENANT = """
  id slug name status region timeZone anchorDay cycleStart cycleEnd plan { key } nextPlan { key }
  nextAnchorDay nextTimeZone agentsUsed seatsUsed
"""
TOP_UP = f"""
  id state walletKey amount price {MONEY} bundle origin checkoutUrl createdAt creditedAt takenBack failure
"""
FACTS = f"campaign kind money {MONEY} hours hourlyRate incurredOn description"
EXPENSE = f"id {FACTS} reference actor createdAt version changedAt deletedAt"
COSTS = f"""
  campaign name client {{ id name }} status pauseReason budgets {{ period periodKey cap spent usedPercent }} expenseTotals {MONEY} expenseCount autoTrackedUsd autoTrackedLlmUsd unpriced
  models {{ provider model costUsd calls }} customersWon cac {MONEY} cacStatus
"""
CHANNEL = "id kind name hint eventTypes actor createdAt"
API_KEY = "id name role hint createdAt createdBy expiresAt lastUsedAt revokedAt requestsPerMinute replacedBy"
IDENTITY_PROVIDER = (
    "id issuer audience jwksUrl roleClaim adminValues serviceValues memberValues clientId signInScope actor createdAt"
)
AUTO_RECHARGE = "enabled threshold amount monthlyLimit monthOrdered retryAt disabledReason inFlight { id state }"
RESERVATION = """
  id state feature taskKey route holds { amount wallet { key } } heldUsd maxCostUsd
  warnings { scope scopeId usedPercent cap spent held } promptNotice createdAt expiresAt
"""
SELECTIONS = {
    "reserve": f"... on Reservation {{ {RESERVATION} }}",
    "reserveMany": f"... on Reservation {{ {RESERVATION} }}",
    "extend": f"... on Reservation {{ {RESERVATION} }}",
    "release": f"... on Released {{ reservation {{ {RESERVATION} }} }}",
    "releaseMany": f"... on Released {{ reservation {{ {RESERVATION} }} }}",
    "consume": """... on Consumed {
        reservation { id state } costUsd charges { amount wallet { key } }
        usageEvents { id kind provider model inputTokens outputTokens costUsd unpriced charges { amount } }
    }""",
    "adjustWallet": "... on Wallet { key available granted debt status }",
    "pauseScope": "... on Scope { id scope scopeId status pauseReason }",
    "resumeScope": "... on Scope { id scope scopeId status pauseReason }",
    "deactivateScope": "... on Scope { id scope scopeId status pauseReason }",
    "nameScope": "... on ScopeName { kind id name client }",
    "startTopUp": f"... on TopUp {{ {TOP_UP} }}",
    "setAutoRecharge": f"... on Wallet {{ key status autoRecharge {{ {AUTO_RECHARGE} }} }}",
    **dict.fromkeys(
        (
            "createTenant",
            "renameTenant",
            "suspendTenant",
            "resumeTenant",
            "closeTenant",
            "changePlan",
            "setCycle",
        ),
        f"... on Tenant {{ {TENANT} }}",
    ),
    "setBudget": "... on Budget { id scope scopeId period periodKey cap thresholds spent held usedPercent paused }",
    "removeBudget": "... on Budget { id scope scopeId period periodKey cap thresholds spent held usedPercent paused }",
    "setDefaultBudget": "... on DefaultBudget { agentRole period cap }",
    "addChannel": f"... on ChannelAdded {{ channel {{ {CHANNEL} }} signingSecret }}",
    "removeChannel": f"... on Channel {{ {CHANNEL} }}",
    "testChannel": "... on ChannelTested { delivered error }",
    "createApiKey": f"... on ApiKeyCreated {{ apiKey {{ {API_KEY} }} token }}",
    "rotateApiKey": f"... on ApiKeyRotated {{ apiKey {{ {API_KEY} }} token replaced {{ {API_KEY} }} }}",
    "revokeApiKey": f"... on ApiKey {{ {API_KEY} }}",
    "setIdentityProvider": f"... on IdentityProvider {{ {IDENTITY_PROVIDER} }}",
    "removeIdentityProvider": f"... on IdentityProvider {{ {IDENTITY_PROVIDER} }}",
    **dict.fromkeys(("addExpense", "changeExpense", "deleteExpense"), f"... on Expense {{ {EXPENSE} }}"),
    "recordCustomersWon": f"... on CampaignCosts {{ {COSTS} }}",
    "setProviderKey": "... on ProviderKey { provider hint createdAt actor used }",
    "removeProviderKey": "... on ProviderKey { provider hint createdAt actor used }",
    "previewReservation": """... on ReservationPreview {
        route holds { amount wallet { key } } estimatedCostUsd maxCostUsd promptNotice warnings { scope }
    }""",
}
RECORDED = "accepted duplicates costUsd rejected { index eventId problems { path message } }"


@dataclass(frozen=True, slots=True)
class Client:
    """Speaks GraphQL with one key. `tenant` is what an operator's key names."""

    http: httpx.AsyncClient
    token: str
    tenant: str | None = None

    async def send(self, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        """The whole response."""
        headers = {"Authorization": f"Bearer {self.token}"}
        if self.tenant is not None:
            headers["Purser-Tenant"] = self.tenant
        response = await self.http.post("/graphql", json={"query": query, "variables": variables}, headers=headers)
        answer: dict[str, Any] = response.json()
        return answer

    async def ask(self, query: str, **variables: Any) -> Any:
        """The data of a request that must succeed."""
        answer = await self.send(query, variables)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    async def do(self, operation: str, **given: Any) -> Any:
        """The result of a mutation with one `input`, whatever it is."""
        return (await self.ask(mutation(operation), input=given))[operation]

    async def refused(self, operation: str, **given: Any) -> dict[str, Any]:
        """The error of a mutation with one `input` that is not even tried."""
        answer = await self.send(mutation(operation), {"input": given})
        (error,) = answer["errors"]
        return dict(error)

    async def reserve(self, key: str, feature: str = "blog_post", **given: Any) -> Any:
        """The result of a reserve."""
        return await self.do("reserve", idempotencyKey=key, feature=feature, **given)

    async def balance(self, key: str = "credits") -> tuple[str, str, str]:
        """Available, reserved and consumed of a wallet."""
        data = await self.ask("query ($key: String!) { wallet(key: $key) { available reserved consumed } }", key=key)
        wallet = data["wallet"]
        return wallet["available"], wallet["reserved"], wallet["consumed"]


def mutation(operation: str) -> str:
    """The text of a mutation with one `input` (for the batches, a list of `inputs`) that selects all there is."""
    assert SCHEMA.mutation_type is not None
    field = SCHEMA.mutation_type.fields[operation]
    ((name, argument),) = field.args.items()
    result = get_named_type(field.type)
    selection = RECORDED
    if isinstance(result, GraphQLUnionType):
        refusals = [
            f"... on {member} {{ {FIGURES[member.name]} }}" for member in result.types if member.name in FIGURES
        ]
        selection = " ".join(["__typename ... on Refusal { code message refusalId }", SELECTIONS[operation], *refusals])
    return f"mutation (${name}: {argument.type}) {{ {operation}({name}: ${name}) {{ {selection} }} }}"
