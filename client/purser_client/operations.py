"""The operations of Purser's GraphQL API that a worker needs."""

from typing import Final

# `requested` is dollars in one refusal and the wallet's unit in another, so one of them needs another name.
_REFUSAL: Final = """... on Refusal { __typename code message refusalId }"""
_ADMISSION: Final = """
... on InsufficientFunds { walletKey requested available shortBy }
... on BudgetExceeded { scope scopeId cap spent held requestedUsd: requested retryable }
... on ScopePaused { scope scopeId reason }
... on InvalidInput { fields { path message } }
"""
_RESERVATION: Final = """... on Reservation {
  id state route maxCostUsd promptNotice expiresAt
  warnings { scope scopeId usedPercent cap spent held }
}"""

RESERVE: Final = f"""mutation Reserve($input: ReserveInput!) {{ reserve(input: $input) {{
{_REFUSAL} {_ADMISSION} {_RESERVATION}
... on UnknownFeature {{ feature }}
... on UnpricedModel {{ provider model operation }}
... on PlanLimit {{ limit used }}
... on IdempotencyKeyReused {{ idempotencyKey }}
}} }}"""

EXTEND: Final = f"""mutation Extend($input: ExtendInput!) {{ extend(input: $input) {{
{_REFUSAL} {_ADMISSION} {_RESERVATION}
... on ReservationEnded {{ state }}
}} }}"""

CONSUME: Final = f"""mutation Consume($input: ConsumeInput!) {{ consume(input: $input) {{
{_REFUSAL}
... on ReservationEnded {{ state }}
... on InvalidInput {{ fields {{ path message }} }}
... on Consumed {{ costUsd charges {{ amount wallet {{ key }} }} }}
}} }}"""

RELEASE: Final = f"""mutation Release($input: ReleaseInput!) {{ release(input: $input) {{
{_REFUSAL}
... on ReservationEnded {{ state }}
... on InvalidInput {{ fields {{ path message }} }}
... on Released {{ reservation {{ state }} }}
}} }}"""

RECORD: Final = """mutation Record($input: RecordUsageInput!) { recordUsage(input: $input) {
accepted duplicates rejected { eventId problems { path message } }
} }"""

CHECK: Final = """query Check($reservation: ID!, $cost: UsdAmount, $input: Int, $output: Int) {
checkTask(reservationId: $reservation, runningCostUsd: $cost, inputTokens: $input, outputTokens: $output)
}"""
