"""What tests find out about an open page."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, cast

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, ViewportSize

OpenPage = Callable[..., Awaitable[Page]]
SignedIn = Callable[..., Awaitable[None]]

PHONE: Final[ViewportSize] = {"width": 360, "height": 740}
READS: Final = Path(__file__).with_name("reads.js")
SERIOUS: Final = {"serious", "critical"}
DIALOG: Final = "dialog[open]"


async def follow_reads(page: Page) -> None:
    """Have `unread` know what is read. To be called before the page is opened; its code must use response.json()."""
    await page.add_init_script(path=READS)


async def unread(page: Page) -> list[str]:
    """Leaves of the GraphQL answers that the page asked for and never looked at: "invoices[].number"."""
    return cast("list[str]", await page.evaluate("window.unreadLeaves()"))


async def serious_faults(page: Page, within: str | None = None) -> list[str]:
    """What axe-core finds wrong and calls serious or critical, as "rule (impact): the elements". `within`: only in what
    this selector finds. For a dialog over a page in which nothing was found before: the whole takes a second."""
    found = cast("list[dict[str, Any]]", (await Axe().run(page, within)).response["violations"])
    return [
        f"{fault['id']} ({fault['impact']}): {', '.join(str(node['target']) for node in fault['nodes'])}"
        for fault in found
        if fault["impact"] in SERIOUS
    ]


async def fits_its_width(page: Page) -> bool:
    """Whether nobody has to scroll sideways to read the page."""
    return cast("bool", await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))
