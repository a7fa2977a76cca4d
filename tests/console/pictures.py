"""Takes the pictures of the console that the documentation shows, from the demo of a server of its own."""

from pathlib import Path
from typing import Annotated, Final, NamedTuple
from urllib.parse import urlsplit

import typer
from playwright.sync_api import Browser, sync_playwright

from infra.demo.people import ACCOUNTS
from tests import browsers
from tests.console.site import COOKIE
from tests.servers import data_folder, demo_keys, serving

FOLDER: Final = Path("docs/pictures")
# Of a long page the beginning, with its charts: what stands below are mostly lists.
WIDTH: Final = 1280
MOST_HIGH: Final = 1_500
MOST_BYTES: Final = 250_000
MILLISECONDS: Final = 60_000


class Picture(NamedTuple):
    """`key`: of which demo key's owner, as `purser demo-keys` calls it; None: of somebody who is not signed in."""

    name: str
    path: str
    key: str | None


PICTURES: Final = (
    Picture("usage", "/", "admin"),
    Picture("costs", "/costs", "admin"),
    Picture("campaigns", "/campaigns", "admin"),
    Picture("campaign", "/campaigns/spring", "admin"),
    Picture("accounts", "/accounts", "admin"),
    Picture("account", f"/accounts/{next(iter(ACCOUNTS))}", "admin"),
    Picture("plan", "/plan", "admin"),
    Picture("alerts", "/alerts", "admin"),
    Picture("settings", "/settings", "admin"),
    Picture("audit-log", "/audit-log", "admin"),
    Picture("sign-in", "/sign-in", None),
    Picture("operator-tenants", "/operator/tenants", "operator"),
    Picture("operator-tenant", "/operator/tenants/acme", "operator"),
    Picture("operator-margins", "/operator/margins", "operator"),
    Picture("operator-rate-cards", "/operator/rate-cards", "operator"),
    Picture("operator-prices", "/operator/prices", "operator"),
    Picture("operator-jobs", "/operator/jobs", "operator"),
    Picture("operator-tables", "/admin/", "operator"),
)
NAMES: Final = ", ".join(picture.name for picture in PICTURES)


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"Some of: {NAMES}. All, unless named.")] = None,
) -> None:
    """Take pictures of the console with the demo's figures: 1280 points wide, light, in docs/pictures/<name>.png."""
    program = browsers.installed()
    if program is None:
        raise typer.BadParameter(f"{browsers.MISSING}. {browsers.REMEDY}")
    if unknown := {*(names or ())} - {picture.name for picture in PICTURES}:
        raise typer.BadParameter(f"there is no picture {', '.join(sorted(unknown))}; there are {NAMES}")
    wanted = [picture for picture in PICTURES if not names or picture.name in names]
    FOLDER.mkdir(parents=True, exist_ok=True)
    typer.echo("Starting the demo ...")
    with data_folder() as data_dir, serving(data_dir, "--demo") as server, sync_playwright() as playwright:
        keys = demo_keys(data_dir)
        browser = playwright.chromium.launch(executable_path=program, args=browsers.options())
        for number, picture in enumerate(wanted, 1):
            file = take(browser, server.url, picture, None if picture.key is None else keys[picture.key])
            size = file.stat().st_size
            typer.echo(f"{number}/{len(wanted)} {file} ({size // 1000} kB{', large' if size > MOST_BYTES else ''})")
        browser.close()
        server.stop()


def take(browser: Browser, origin: str, picture: Picture, token: str | None) -> Path:
    """One picture, once the page has come to rest."""
    file = FOLDER / f"{picture.name}.png"
    with browser.new_context(
        base_url=origin,
        viewport={"width": WIDTH, "height": 800},
        device_scale_factor=0.75,
        locale="en-GB",
        timezone_id="UTC",
        color_scheme="light",
        reduced_motion="reduce",
    ) as context:
        context.set_default_timeout(MILLISECONDS)
        if token is not None:
            context.add_cookies([{"name": COOKIE, "value": token, "url": origin, "httpOnly": True, "sameSite": "Lax"}])
        page = context.new_page()
        page.goto(picture.path, wait_until="networkidle")
        if urlsplit(page.url).path != picture.path:
            typer.echo(f"{picture.path} is not shown, but {page.url}.", err=True)
            raise typer.Exit(1)
        high = page.evaluate("document.documentElement.scrollHeight")
        # The whole page is laid out, so that nothing waits to be scrolled to.
        page.set_viewport_size({"width": WIDTH, "height": min(high, MOST_HIGH)})
        page.wait_for_load_state("networkidle")
        page.screenshot(path=file)
    return file


if __name__ == "__main__":
    typer.run(main)
