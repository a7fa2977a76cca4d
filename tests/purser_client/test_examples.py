"""The worker patterns of document 003, as they are shown to newcomers."""

import re
import runpy
from pathlib import Path
from typing import Final

import pytest

from tests.purser_client.conftest import Ground

pytestmark = pytest.mark.anyio

CLIENT: Final = Path(__file__).parents[2] / "client"


async def test_both_patterns_are_charged_as_the_document_says(
    ground: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("content_workers", "standalone_worker"):
        example = runpy.run_path(str(CLIENT / "examples" / f"{name}.py"))
        await example["main"](ground.url, ground.token, str(ground.journal))
    assert capsys.readouterr().out.splitlines() == [
        "mail-1 Dear reader, the crocus",
        "blog-1 Dear reader, the tulip",
        "mail-1 was done before",
        "example.com is charged {'credits': Decimal('2')}",
        "example.org is charged {'credits': Decimal('2')}",
        "example.org no mail today",
    ]
    assert await ground.proof() == ("8", 8)


@pytest.mark.slow
async def test_the_three_lines_of_the_readme_meter_a_worker(ground: Ground) -> None:
    (lines,) = re.findall(r"```python\n(async with Purser.*?)```", (CLIENT / "README.md").read_text(), re.DOTALL)
    lines = lines.replace('"http://127.0.0.1:8000"', "url").replace('"purser.journal"', "journal")
    program = "async def main():\n" + "".join(f"    {line}\n" for line in lines.splitlines())

    async def call_the_model(prompt: str) -> str:
        return prompt

    names = {"url": ground.url, "key": ground.token, "journal": ground.journal, "call_the_model": call_the_model}
    exec(f"from purser_client import Purser\n{program}", names)  # noqa: S102  # our own file
    await names["main"]()  # type: ignore[operator]
    assert await ground.proof() == ("2", 1)
