"""Top-ups: from an order to the checkout, and from what is told of a payment to the wallet.

The order is committed before the payment rail hears of it, and every call to the rail is keyed by the order's id: whatever
is interrupted can be done again. Webhooks and the reconcile job settle orders by the same command.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from domain import topups
from domain.books import Operation
from domain.ids import NIL
from domain.money import format_amount
from domain.payments import Outcome, PaymentFacts, TopUp, TopUpOrigin
from domain.recharges import WITHDRAWN
from domain.refusals import NotFound
from domain.topups import Ordered, SettleTopUp, StartTopUp
from domain.wallets import METERED_KEY
from infra.application import Application
from infra.deciding import SYSTEM
from infra.group_commit import Overloaded
from infra.identifiers import new_id
from infra.payments import (
    BadSignatureError,
    MalformedEventError,
    OrderReference,
    PaymentEvent,
    PaymentGateway,
    PaymentsNotSetUpError,
    PaymentsRefusedError,
    PaymentsUnavailableError,
)
from infra.services.callers import Caller, Refused, Role
from infra.services.commands import request_of, start
from infra.services.progress import Progress
from infra.top_up_rows import TOP_UP_COLUMNS, top_up_of

MOST_BYTES: Final = 256 * 1024
# Young orders are left to their webhooks; an order that never got its checkout cannot be paid after Stripe's day.
PENDING_FOR: Final = timedelta(minutes=5)
MOST_UNANSWERED: Final = 3
LONGEST_CHECKOUT: Final = timedelta(days=1, hours=1)

_CUSTOMER: Final = "SELECT customer_id FROM payment_customer WHERE tenant_id = $1"
_KEEP_CUSTOMER: Final = """
INSERT INTO payment_customer (tenant_id, customer_id, created_at) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id) DO UPDATE SET customer_id = payment_customer.customer_id RETURNING customer_id"""
_CARD: Final = "SELECT customer_id, card_id FROM payment_customer WHERE tenant_id = $1 AND card_id IS NOT NULL"
_NAME: Final = "SELECT name FROM tenant WHERE id = $1"
_OF_PAYMENT: Final = "SELECT tenant_id, id FROM top_up WHERE payment_id = $1"
_STILL_WANTED: Final = """
SELECT r.enabled AND t.status = 'ACTIVE' AND w.available < r.threshold
FROM auto_recharge r JOIN tenant t ON t.id = r.tenant_id
JOIN wallet w ON w.tenant_id = r.tenant_id AND w.key = r.wallet_key
WHERE r.tenant_id = $1 AND r.wallet_key = $2"""
_PENDING: Final = f"""
SELECT {TOP_UP_COLUMNS} FROM top_up WHERE state = 'PENDING' AND created_at <= $1 AND (created_at, id) > ($2, $3)
ORDER BY created_at, id LIMIT 100"""

_log: Final = logging.getLogger(__name__)


class _UnfitOrderError(Exception):
    """A message names another order than that of its payment."""


@dataclass(frozen=True, slots=True)
class WebhookAnswer:
    """What the rail is told: 2xx, it need not send this again; 4xx, it cannot be taken; 5xx, send it again."""

    status: int
    message: str


async def start_top_up(
    application: Application,
    caller: Caller,
    idempotency_key: str,
    wallet_key: str,
    bundle: str | None = None,
    amount: int | None = None,
) -> Ordered | Refused:
    """Order a bundle, or an amount (nano-dollars) of metered balance, and open the page on which it is paid.

    Sent again with the same key, it answers the order as it stands, and opens the page if that failed. Raises
    PaymentsUnavailableError where the rail does not answer, PaymentsNotSetUpError where there is none.
    """
    gateway = gateway_of(application)
    request = request_of(caller, Operation.START_TOP_UP, idempotency_key, (wallet_key, bundle, amount))
    command = StartTopUp(request, new_id(application.clock()), wallet_key, bundle, amount)
    answer = await start(application, Ordered, command, topups.problems(command))
    if isinstance(answer, Refused) or not answer.top_up.is_open or answer.top_up.facts.session_id is not None:
        return answer
    return Ordered(await open_checkout(application, gateway, caller.tenant_id, answer.top_up))


async def open_checkout(application: Application, gateway: PaymentGateway, tenant_id: UUID, top_up: TopUp) -> TopUp:
    """Open the page on which an order is paid, and keep where it is."""
    customer_id = await customer_of(application, gateway, tenant_id)
    checkout = await gateway.open_checkout(tenant_id, top_up, customer_id, description_of(top_up))
    facts = PaymentFacts(session_id=checkout.session_id)
    settled = await settle(application, tenant_id, top_up.id, facts, checkout.url)
    assert settled is not None, "an order stays"
    return settled


async def settle(
    application: Application, tenant_id: UUID, top_up_id: UUID, facts: PaymentFacts, checkout_url: str | None = None
) -> TopUp | None:
    """Bring an order in line with what is told of its payment; None: the tenant has no such order."""
    system = Caller(tenant_id, Role.OPERATOR, SYSTEM)
    request = request_of(system, Operation.SETTLE_TOP_UP, top_up_id.hex, ())
    command = SettleTopUp(request, top_up_id, facts, new_id(application.clock()), checkout_url)
    answer, _ = await application.group_commit.submit(command)
    if isinstance(answer, NotFound):
        return None
    assert isinstance(answer, Ordered), answer
    return answer.top_up


async def receive(application: Application, payload: bytes, signature: str) -> WebhookAnswer:
    """Take a message of the payment rail, whoever brings it: the web server or a Lambda. Nothing that is not signed is
    looked at, and no answer tells more than what to do."""
    if application.gateway is None:
        return WebhookAnswer(503, "payments are not set up here")
    if len(payload) > MOST_BYTES:
        return WebhookAnswer(413, "the message is too large")
    try:
        event = application.gateway.read_event(payload, signature, application.clock())
    except BadSignatureError:
        return WebhookAnswer(400, "the signature does not fit, or is too old")
    except MalformedEventError as error:
        _log.warning("a signed payment message cannot be read: %s", error)
        return WebhookAnswer(400, "the message cannot be read")
    if event is None:
        return WebhookAnswer(200, "nothing to do")
    try:
        order = await _order_of(application, application.gateway, event)
        if order is None:
            return WebhookAnswer(200, "nothing to do")
        fits = await settle(application, order.tenant_id, order.top_up_id, event.facts) is not None
    except _UnfitOrderError:
        fits = False
    except (PaymentsUnavailableError, PaymentsRefusedError, Overloaded) as error:
        _log.warning("payment message %s is left for later: %s", event.id, error)
        return WebhookAnswer(503, "send it again")
    if not fits:
        _log.warning("payment message %s names an order that is not its own", event.id)
        return WebhookAnswer(400, "the message fits no order")
    return WebhookAnswer(200, "done")


async def reconcile(application: Application, at: datetime, *, stop_at: datetime | None = None) -> Progress:
    """Ask the rail about every order that is left pending, and settle it by what is true now."""
    gateway = gateway_of(application)
    done = unanswered = 0
    place = (datetime.min.replace(tzinfo=at.tzinfo), NIL)
    while rows := await application.across_tenants.fetch(_PENDING, at - PENDING_FOR, *place):
        for tenant_id, top_up in map(top_up_of, rows):
            if stop_at is not None and application.clock() >= stop_at:
                return Progress(done, complete=False)
            place = (top_up.created_at, top_up.id)
            try:
                await ask(application, gateway, tenant_id, top_up, at)
                done += 1
                unanswered = 0
            except PaymentsRefusedError as error:
                _log.warning("order %s cannot be asked about: %s", top_up.id, error)
            except PaymentsUnavailableError as error:
                # One order that gets no answer must not stand in the way of the others.
                unanswered += 1
                if unanswered == MOST_UNANSWERED:
                    raise
                _log.warning("order %s got no answer: %s", top_up.id, error)
    return Progress(done)


async def ask(application: Application, gateway: PaymentGateway, tenant_id: UUID, top_up: TopUp, at: datetime) -> None:
    """Settle one pending order by what the rail says of it now."""
    facts = top_up.facts
    if facts.session_id is not None:
        await settle(application, tenant_id, top_up.id, await gateway.facts_of(facts.session_id, None))
    elif top_up.origin is TopUpOrigin.AUTO_RECHARGE:
        if await application.readers.of(tenant_id).fetchval(_STILL_WANTED, tenant_id, top_up.wallet_key):
            await charge(application, gateway, tenant_id, top_up)
        else:
            await _withdraw(application, gateway, tenant_id, top_up)
    elif at - top_up.created_at >= LONGEST_CHECKOUT:
        # Nobody was ever shown a page for it. Should money come all the same, it outweighs this.
        await settle(application, tenant_id, top_up.id, PaymentFacts(Outcome.EXPIRED))


async def charge(application: Application, gateway: PaymentGateway, tenant_id: UUID, top_up: TopUp) -> TopUp:
    """Take a recharge's money from the kept card, going on from wherever an earlier attempt was interrupted.

    The payment is made and remembered before it is confirmed, and one payment is confirmed once: no retry, however
    late, makes a second charge. What the rail does not take at all (a card that it no longer has) is a decline.
    """
    try:
        if top_up.facts.payment_id is None:
            customer_id, card_id = await _card_of(application, tenant_id)
            made = await gateway.prepare_charge(tenant_id, top_up, customer_id, card_id, description_of(top_up))
            top_up = await _settled(application, tenant_id, top_up, PaymentFacts(payment_id=made))
        payment_id = top_up.facts.payment_id
        assert payment_id is not None
        if top_up.facts.outcome is not Outcome.REQUIRES_ACTION:
            top_up = await _settled(application, tenant_id, top_up, await gateway.charge(payment_id))
        if top_up.is_open and top_up.facts.outcome is Outcome.REQUIRES_ACTION:
            return await _ask_owner(application, gateway, tenant_id, top_up, payment_id)
    except PaymentsRefusedError as error:
        _log.warning("the charge of order %s is not taken: %s", top_up.id, error)
        return await _settled(application, tenant_id, top_up, PaymentFacts(Outcome.FAILED, failure="refused"))
    return top_up


async def _withdraw(application: Application, gateway: PaymentGateway, tenant_id: UUID, top_up: TopUp) -> None:
    """Give up a recharge that was interrupted and is no longer wanted, unless its money has come in."""
    payment_id = top_up.facts.payment_id
    facts = PaymentFacts(Outcome.FAILED) if payment_id is None else await gateway.cancel(payment_id)
    if facts.outcome is Outcome.FAILED:
        facts = PaymentFacts(Outcome.EXPIRED, failure=WITHDRAWN)
    await _settled(application, tenant_id, top_up, facts)


async def _ask_owner(
    application: Application, gateway: PaymentGateway, tenant_id: UUID, top_up: TopUp, payment_id: str
) -> TopUp:
    """Where the bank wants the card's owner, the payment is given up for a page on which the same order is paid."""
    given_up = await gateway.cancel(payment_id)
    if given_up.outcome is Outcome.PAID:
        return await _settled(application, tenant_id, top_up, given_up)
    return await open_checkout(application, gateway, tenant_id, top_up)


async def customer_of(application: Application, gateway: PaymentGateway, tenant_id: UUID) -> str:
    """Whom the rail knows the tenant as; made at the first need."""
    found: str | None = await application.readers.of(tenant_id).fetchval(_CUSTOMER, tenant_id)
    if found is None:
        name = await application.readers.of(tenant_id).fetchval(_NAME, tenant_id)
        customer_id = await gateway.open_customer(tenant_id, name)
        found = await application.writers.fetchval(_KEEP_CUSTOMER, tenant_id, customer_id, application.clock())
        assert found is not None
    return found


def gateway_of(application: Application) -> PaymentGateway:
    """The payment rail; raises PaymentsNotSetUpError where there is none."""
    if application.gateway is None:
        raise PaymentsNotSetUpError
    return application.gateway


def description_of(top_up: TopUp) -> str:
    """What the payer reads."""
    unit = "USD of metered balance" if top_up.wallet_key == METERED_KEY else top_up.wallet_key
    return f"{format_amount(top_up.amount)} {unit}"


async def _order_of(application: Application, gateway: PaymentGateway, event: PaymentEvent) -> OrderReference | None:
    """The order that a message is about; None: none of ours."""
    payment_id = event.facts.payment_id
    known = None
    if payment_id is not None:
        row = await application.across_tenants.fetchrow(_OF_PAYMENT, payment_id)
        known = None if row is None else OrderReference(*row)
    if event.order is not None:
        if known is not None and known != event.order:
            raise _UnfitOrderError
        return event.order
    if known is not None or payment_id is None:
        return known
    return await gateway.order_of(payment_id)


async def _settled(application: Application, tenant_id: UUID, top_up: TopUp, facts: PaymentFacts) -> TopUp:
    settled = await settle(application, tenant_id, top_up.id, facts)
    assert settled is not None, "an order stays"
    return settled


async def _card_of(application: Application, tenant_id: UUID) -> tuple[str, str]:
    row = await application.readers.of(tenant_id).fetchrow(_CARD, tenant_id)
    assert row is not None, "recharges are only ordered where a card is kept, and kept cards are only replaced"
    return row[0], row[1]
