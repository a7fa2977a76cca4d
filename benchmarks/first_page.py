"""The first page: from an address to figures that can be read and used, in a real browser, on the demo.

`purser serve --demo` is a process of its own, and each visit a fresh browser context with nothing cached. The first visit
begins as soon as the server says that it is ready. A page can be used when its cards stand: they are drawn in one turn,
with their forms. Visits of a file of the same server that asks nothing (/console/icon.svg) alternate with them: what is
more than that is what the page takes. The demo makes no calls meanwhile: the credits that the first page shows are those
that the API tells.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Final

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks._figures import Steps, ratio, show
from tests.browsers import installed, options
from tests.servers import Server, demo_keys, serving

FIRST: Final = "/"
NOTHING: Final = "/console/icon.svg"
USABLE: Final = {FIRST: ".balance strong", "/costs": "#main .card", NOTHING: "svg"}
CREDITS: Final = 'query { wallet(key: "credits") { available } }'


def visit(browser: Browser, server: Server, path: str, key: str) -> float:
    """Seconds from the beginning of the navigation to a page that can be used."""
    context = browser.new_context(locale="en-GB")
    page = context.new_page()
    page.goto(f"{server.url}{path}", wait_until="commit")
    page.wait_for_selector(USABLE[path])
    took = float(page.evaluate("performance.now()")) / 1_000
    if path == FIRST:
        assert shown_credits(page) == credits_of(server, key)
    context.close()
    return took


def credits_of(server: Server, key: str) -> Decimal:
    """What the API tells."""
    return Decimal(server.ask(key, CREDITS)["wallet"]["available"])


def shown_credits(page: Page) -> Decimal:
    """What the page shows."""
    exact = page.locator("section.card", has_text="Credits").locator(".balance strong").first.get_attribute("title")
    return Decimal((exact or "").replace(",", ""))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="visits of each page (15)")
    parser.add_argument("--quick", action="store_true", help="two rounds: whether it runs, not how fast")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args(arguments)
    rounds = 2 if given.quick else given.rounds
    program = installed()
    if program is None:
        parser.exit(1, "There is no Chromium here. Install it, or name its program in PURSER_BROWSER.\n")
    steps, took = Steps(rounds + 1), {path: [] for path in USABLE}
    with tempfile.TemporaryDirectory(prefix="purser-first-page-") as folder, sync_playwright() as playwright:
        Path(folder).chmod(0o755)
        browser = playwright.chromium.launch(executable_path=program, args=options())
        data_dir = Path(folder) / "data"
        with serving(data_dir, "--demo", "--no-traffic") as server:
            key = demo_keys(data_dir)["admin"]
            steps.next("the first visit of a server that is just ready")
            first = visit(browser, server, FIRST, key)
            for number in range(rounds):
                steps.next(f"round {number + 1}")
                for path in USABLE if number % 2 else reversed(USABLE):
                    took[path].append(visit(browser, server, path, key))
        browser.close()
    steps.done()
    pages = {
        path: {"median_seconds": median(seconds), "most_seconds": max(seconds), "ratio": ratio(seconds, took[NOTHING])}
        for path, seconds in took.items()
    }
    if given.json:
        print(json.dumps({"first_visit_seconds": first, "pages": pages}))
        return
    rows = [
        [path, f"{side['median_seconds']:.3f}", f"{side['most_seconds']:.3f}", f"{side['ratio']:.1f} x"]
        for path, side in pages.items()
    ]
    title = f"Seconds until a page can be used; the very first visit took {first:.3f}"
    show(title, ["page", "median", "most", "a file that asks nothing"], rows)


if __name__ == "__main__":
    main()
