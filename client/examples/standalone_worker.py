"""Document 003, pattern B: reserve before the work, release on every failure, consume after the save.

PURSER_KEY=psk_... python standalone_worker.py
"""

import asyncio
import os

from purser_client import Purser


async def audit_page(purser: Purser, site: str, saved: dict[str, str]) -> None:
    """One audit, and what it is charged: as soon as its report is saved, whatever becomes of the mail about it."""
    async with purser.reservation("site_audit", task_key=f"audit-{site}", agent_role="site-auditor") as work:
        if not work.already_done:
            report = ""
            for part in ("speed", "links", "wording"):
                report += f"{part} of {site}: fine. "  # here your model is called
                work.record(provider="openai", model="gpt-4o-mini", input_tokens=900, output_tokens=len(report))
                if not await work.check(output_tokens=len(report)):
                    raise RuntimeError("the budget says no more")  # the hold goes back, what it cost is known
            saved[site] = report
            await work.consume()
        print(site, "is charged", dict(work.charges or ()))
        await send_mail(site)


async def send_mail(site: str) -> None:
    """Fails now and then: the audit was made, and stays charged."""
    if site == "example.org":
        raise ConnectionError("no mail today")


async def main(url: str, key: str, journal: str) -> None:
    """Audit two sites."""
    saved: dict[str, str] = {}
    async with Purser(url, key, journal=journal) as purser:
        for site in ("example.com", "example.org"):
            try:
                await audit_page(purser, site, saved)
            except ConnectionError as error:
                print(site, error)


if __name__ == "__main__":
    asyncio.run(main(os.environ.get("PURSER_URL", "http://127.0.0.1:8000"), os.environ["PURSER_KEY"], "purser.journal"))
