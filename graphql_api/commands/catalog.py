"""Commands about prices and margins: prices, rerate, check-margins, back-test."""

import asyncio
from typing import Annotated

import typer

from graphql_api.command_line import Commands, chosen_settings

command = Commands()


@command()
def prices(
    provider: Annotated[str | None, typer.Option(help="Only this provider's models, such as openai.")] = None,
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    apply: Annotated[
        bool, typer.Option("--apply/--diff", help="Publish the differences, or only show them.", show_default="diff")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all/--only-changed", help="Also models that our list does not have.")
    ] = False,
    include_seeds: Annotated[
        bool, typer.Option("--include-seeds", help="Also where our figure is not from the package: document 003's.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Publish without asking.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit with code 1 if something is left to publish.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the differences as JSON.")] = False,
) -> None:
    """Show how our price list differs from the package genai-prices, and publish what changed.

    Examples:
      purser prices --provider openai
      purser prices --apply
      purser prices --check --json

    Old prices stay: what is reserved already is settled by them. Exit codes: 0; 1 with --check if something is left to
    publish; 2 it could not be done.
    """
    from graphql_api.prices_report import Options, compare_prices
    from infra.database import database

    settings = chosen_settings()
    options = Options(provider, model, apply, everything, include_seeds, yes, as_json)
    with database(settings) as url:
        left = asyncio.run(compare_prices(settings, url, options))
    if left and check:
        raise typer.Exit(1)


@command()
def rerate(
    provider: Annotated[str, typer.Option(help="Usage of this provider, such as openai.")],
    start: Annotated[str, typer.Option("--from", metavar="MOMENT", help="Usage from this day or moment on.")],
    end: Annotated[
        str | None, typer.Option("--to", metavar="MOMENT", help="Usage before this day or moment.", show_default="now")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    operation: Annotated[str | None, typer.Option(help="Only this operation.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Slug of a tenant.", show_default="every tenant")] = None,
    only_unpriced: Annotated[
        bool, typer.Option("--only-unpriced", help="Leave usage alone that has a price already.")
    ] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Correct it. Without this, only say what it comes to.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the totals as JSON.")] = False,
) -> None:
    """Correct what happened by the prices published now: the next step after a price was added or corrected.

    Usage without a price gets it. Where a price was corrected, the difference is charged, below zero if need be, or given
    back; budgets count it in the month of the usage. Costs that a provider reported stay. Shows the totals and writes
    nothing unless --apply is given; running it again changes nothing.

    Examples:
      purser rerate --provider openai --model gpt-99 --from 2026-11-01
      purser rerate --provider openai --model gpt-99 --from 2026-11-01 --apply
      purser rerate --provider openai --from 2026-11-01 --to 2026-11-15T12:00:00Z --tenant acme --json

    Days begin at midnight UTC.
    """
    from graphql_api.rerate_report import Order
    from graphql_api.rerate_report import rerate as run
    from infra.database import database

    settings = chosen_settings()
    order = Order(provider, model, operation, start, end, tenant, only_unpriced, apply, as_json)
    with database(settings) as url:
        asyncio.run(run(settings, url, order))


@command("check-margins")
def check_margins(
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="MOMENT", help="Usage from this day or moment on.", show_default="30 days ago"),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="MOMENT", help="Usage before this day or moment.", show_default="now")
    ] = None,
    target: Annotated[
        int, typer.Option(min=0, max=99, help="The gross margin, in percent, under which a line is flagged.")
    ] = 50,
    tenant: Annotated[str | None, typer.Option(help="Slug of a tenant.", show_default="every tenant")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Compare what work brought in with what providers charged for it, and prove that every paid call was metered.

    Revenue is what tenants were charged: a credit at its value on the rate card of then, a metered dollar as it is. Cost is
    what providers charge on our keys, what is free on the card included; calls on tenants' own keys cost us nothing.

    Flagged is, by feature, provider and tenant:
      NEGATIVE      it cost more than it brought in
      BELOW_TARGET  less is left than the target, or, of features that are charged by cost
                    alone, than their markup promises

    Metered is a call that was charged, or was recorded under a reservation that was settled and charged or is still open, or
    that found nothing under a rate per result. All others are listed with the reason: GIVEN_UP (its reservation was released
    or expired, or takes capacity), SETTLED_FOR_NOTHING (its reservation charged nothing), UNPRICED, NO_FEATURE, NO_RATE (no
    rate of its feature charges such a call by itself).

    Examples:
      purser check-margins
      purser check-margins --from 2026-11-01 --to 2026-12-01 --target 55
      purser check-margins --tenant acme --json

    Exit codes: 0 nothing is flagged and every paid call was metered; 1 something is flagged or was not metered; 2 it could
    not be checked. Days begin at midnight UTC. Nothing is written: the daily job check_margins also raises alerts.
    """
    from graphql_api.margin_report import Options, check
    from infra.database import database

    settings = chosen_settings()
    options = Options(start, end, target, tenant, as_json)
    with database(settings) as url:
        sound = asyncio.run(check(settings, url, options))
    if not sound:
        raise typer.Exit(1)


@command("back-test")
def back_test(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Slug of the tenant.")],
    month: Annotated[str, typer.Option(help="A month of the tenant's time zone, such as 2026-10.")],
    cap: Annotated[
        list[str] | None,
        typer.Option(metavar="SCOPE[:ID][:PERIOD]=USD", help="Another cap, or none; as often as you like."),
    ] = None,
    plan: Annotated[str | None, typer.Option(help="Another plan of its region, such as professional.")] = None,
    rate_card: Annotated[int | None, typer.Option(metavar="VERSION", help="Another published rate card.")] = None,
    markup: Annotated[str | None, typer.Option(metavar="FACTOR", help="Another markup, at least 1.")] = None,
    credit_value: Annotated[str | None, typer.Option(metavar="USD", help="What a credit is worth instead.")] = None,
    rate: Annotated[
        list[str] | None,
        typer.Option(metavar="FEATURE:WALLET=AMOUNT", help="Another amount for a feature; as often as you like."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print both outcomes as JSON.")] = False,
) -> None:
    """Play a month again under other caps, another plan or another rate card: what would have been refused, by which level,
    and what would have been left.

    Everything that was asked for in the month is asked for again, in its order and at its moments, by the same rules: once as
    it was, once as you assume it. What really ran costs what it really cost; what was really refused and would have run is
    taken to cost what was estimated for it. Nothing is written, and it may run beside a working server.

    Examples:
      purser back-test acme --month 2026-10
      purser back-test acme --month 2026-10 --cap tenant=500 --cap agent:writer=50
      purser back-test acme --month 2026-10 --cap campaign:spring:TOTAL=none --cap task:writer=2
      purser back-test acme --month 2026-10 --plan professional --json
      purser back-test acme --month 2026-10 --rate-card 3 --markup 1.4 --rate blog_post:credits=3

    Caps, which hold all month (USD is dollars, or none):
      tenant=500              the tenant's month
      agent:writer=50         the month of an agent role
      campaign:spring=20      the month of a campaign; campaign:spring:TOTAL=20 is for ever
      tag:team=red=20         the month of a tag, here team=red; tag:team=red:TOTAL=20 is for ever
      task:writer=2           each reservation of a role; task=2 is that of any role

    What is said of the rate card makes one card, which holds all month; without --rate-card it is the one in force when the
    month began, changed as you say. A plan grants the cycles that begin in the month.

    Exit codes: 0; 1 the month played as it was is not what the books say (each difference is named: something that decided the
    month is not kept, and the figures as assumed may be off by as much); 2 it could not be played.
    """
    from graphql_api.back_test_options import Options, assumptions
    from graphql_api.back_test_report import play
    from infra.database import database

    settings = chosen_settings()
    options = Options(
        tenant, month, tuple(cap or ()), rate_card, markup, credit_value, tuple(rate or ()), plan, as_json
    )
    assumed = assumptions(options)
    with database(settings) as url:
        same = asyncio.run(play(settings, url, options, assumed))
    if not same:
        raise typer.Exit(1)
