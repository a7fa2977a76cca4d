"""Subscriptions: another plan, another anchor day, another time zone."""

from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from domain import subscriptions
from domain.books import Operation
from domain.refusals import FieldProblem
from domain.subscriptions import ChangePlan, SetCycle, Subscribed
from infra.application import Application
from infra.identifiers import new_id
from infra.services.callers import Caller, Refused
from infra.services.commands import request_of, start


async def change_plan(
    application: Application, caller: Caller, idempotency_key: str, plan: str
) -> Subscribed | Refused:
    """Subscribe to another plan of the tenant's region: an upgrade at once, a downgrade from the next cycle."""
    request = request_of(caller, Operation.CHANGE_PLAN, idempotency_key, plan)
    command = ChangePlan(request, plan, new_id(application.clock()))
    return await start(application, Subscribed, command, ())


async def set_cycle(
    application: Application,
    caller: Caller,
    idempotency_key: str,
    anchor_day: int | None = None,
    time_zone: str | None = None,
) -> Subscribed | Refused:
    """Move the day on which cycles start, or the time zone (an IANA name), from the next cycle on."""
    request = request_of(caller, Operation.SET_CYCLE, idempotency_key, (anchor_day, time_zone))
    problems = list(subscriptions.cycle_problems(anchor_day))
    zone = None if time_zone is None else zone_of(time_zone)
    if time_zone is not None and zone is None:
        problems.append(FieldProblem("timeZone", "must be an IANA name such as Asia/Kolkata"))
    if anchor_day is None and time_zone is None:
        problems.append(FieldProblem("anchorDay", "give anchorDay, timeZone, or both"))
    return await start(application, Subscribed, SetCycle(request, anchor_day, zone), problems)


def zone_of(time_zone: str) -> ZoneInfo | None:
    """The time zone of an IANA name; None where there is none of that name."""
    return ZoneInfo(time_zone) if time_zone in _zone_names() else None


@cache
def _zone_names() -> frozenset[str]:
    # What the machine calls its own time is another zone on the next one.
    return frozenset(available_timezones() - {"localtime", "posixrules"})
