"""Circumstances: what changes around the work while a month is played: money that comes in, caps, pauses, the plan.

What is assumed stays as it is assumed, whatever was really decided about it in the month.
"""

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from domain import budgets, funds, ids, ledger, subscriptions
from domain.back_tests import Assumptions
from domain.books import Changes
from domain.budgets import Budget, BudgetKey, Scope, counter_keys
from domain.controls import RemoveBudget, SetBudget
from domain.ledger import EntryType, Voucher
from domain.outcomes import Tally
from domain.rerating import REFERENCE as CORRECTION
from domain.wallets import new_wallet
from infra.back_test.facts import Corrected, CycleBegan, Decided, DefaultCap, Moved, OwnKey, PlanChosen, Stopped
from infra.back_test.played_books import PlayedBooks
from infra.deciding import SYSTEM
from infra.identifiers import new_id


class Circumstances:
    """Changes one scenario's books by what is no work."""

    def __init__(self, books: PlayedBooks, tally: Tally, assumptions: Assumptions) -> None:
        self._books = books
        self._tally = tally
        self._caps = dict(assumptions.caps)
        self._plan_is_assumed = assumptions.plan is not None

    def change(
        self, what: Moved | Corrected | Stopped | Decided | DefaultCap | PlanChosen | CycleBegan | OwnKey, at: datetime
    ) -> None:
        """Let it happen, unless something else is assumed."""
        match what:
            case Moved():
                self._move(what, at)
            case Corrected():
                self._correct(what, at)
            case Stopped(scope):
                self._stop(scope, at)
            case Decided(command):
                if not (isinstance(command, SetBudget | RemoveBudget) and _capped_by(command) in self._caps):
                    request = self._books.request(command.request.operation)
                    self._books.decide(replace(command, request=request), at)
            case DefaultCap(key, cap):
                if key not in self._caps:
                    self._set_default(key, cap)
            case PlanChosen() | CycleBegan():
                self._subscribe(what, at)
            case OwnKey():
                self._use_key(what)
            case _ as never:
                assert_never(never)

    def _move(self, what: Moved, at: datetime) -> None:
        entry, open_books = what.entry, self._books.open
        if self._plan_is_assumed and subscriptions.granted_for(entry.voucher.reference) is not None:
            return  # `_start_cycle` grants
        wallet = open_books.wallets.get(what.wallet_key)
        if wallet is None:
            wallet = new_wallet(open_books.tenant.id, entry.wallet_id, what.wallet_key)
        voucher = Voucher(SYSTEM, at, None, entry.voucher.reference)
        posting = ledger.expire_due(wallet, voucher)
        wallet, first = posting.wallet, entry.draws[0].lot_id
        if entry.type is EntryType.CONSUMED:
            posting = posting.then(ledger.settle(wallet, (), entry.amount, voucher))
        elif entry.amount < 0:
            posting = posting.then(ledger.take_back(wallet, -entry.amount, voucher, first))
        elif entry.type is EntryType.ADJUSTED and any(lot.id == first for lot in wallet.lots):
            posting = posting.then(ledger.add(wallet, first, entry.amount, voucher))
        elif entry.type is not EntryType.EXPIRED:
            lot = ledger.new_lot(first, what.lot.source, what.lot.granted_at, what.lot.expires_at)
            posting = posting.then(ledger.grant(wallet, entry.type, lot, entry.amount, voucher))
        self._books.post(posting, at)
        if entry.voucher.reference == CORRECTION:
            amount = entry.amount if entry.type is EntryType.CONSUMED else -entry.amount
            self._tally.charge([(wallet.key, amount)], self._books.catalog.rate_cards.at(at, at))

    def _start_cycle(self, at: datetime) -> None:
        """Where a cycle was really granted the assumed plan grants it."""
        books = self._books.open
        plan = subscriptions.coming_plan(self._books.view, at)
        for index, key in enumerate(sorted({*dict(plan.allocations), *books.allocations} - books.wallets.keys())):
            books.wallets[key] = new_wallet(books.tenant.id, ids.following(new_id(at), index), key)
        self._books.apply(subscriptions.start_cycle(self._books.view, new_id(at), SYSTEM, at), at)

    def _correct(self, what: Corrected, at: datetime) -> None:
        counters = self._books.spend(counter_keys(what.attribution, what.month), what.counted)
        scopes = budgets.pauses_after(self._books.view.book, counters)
        self._books.apply(Changes(counters=counters, scopes=scopes), at)
        self._tally.correct(what.cost, what.unpriced, what.route)

    def _stop(self, scope: Scope, at: datetime) -> None:
        emptied = scope.pause_reason == funds.METERED_EMPTY
        if not emptied or funds.metered_is_empty(self._books.view, at) is not None:
            self._books.apply(Changes(scopes=(scope,)), at)

    def _set_default(self, key: BudgetKey, cap: int | None) -> None:
        if cap is None:
            self._books.open.defaults.pop(key, None)
        else:
            self._books.open.defaults[key] = Budget(key, cap)

    def _subscribe(self, what: PlanChosen | CycleBegan, at: datetime) -> None:
        """An upgrade holds at once (what it grants are facts of their own), a downgrade from the next cycle on."""
        tenant, catalog = self._books.open.tenant, self._books.catalog
        if self._plan_is_assumed:
            if isinstance(what, CycleBegan):
                self._start_cycle(at)
        elif isinstance(what, CycleBegan):
            plan = subscriptions.granting(catalog, tenant.region, what.plan, what.cycle, at)
            self._books.change_tenant(subscriptions.begun(tenant, plan, what.cycle))
        else:
            chosen, current = (catalog.plan(tenant.region, key, at) for key in (what.plan, tenant.plan))
            if chosen is not None and subscriptions.holds_at_once(chosen, current, tenant.cycle):
                self._books.change_tenant(replace(tenant, plan=chosen.key, unlimited_plan=chosen.unlimited))

    def _use_key(self, key: OwnKey) -> None:
        tenant = self._books.open.tenant
        others = tenant.own_key_providers - {key.provider}
        self._books.change_tenant(replace(tenant, own_key_providers=others | {key.provider} if key.is_set else others))


def _capped_by(command: SetBudget | RemoveBudget) -> BudgetKey:
    return command.budget.key if isinstance(command, SetBudget) else command.key
