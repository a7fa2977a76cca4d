"""Replay: recorded calls through the real services, and a cost that equals the sum made without them."""

import asyncio
from fractions import Fraction
from math import ceil
from pathlib import Path

import pytest

from domain.holds import ModelName
from domain.money import NANO
from domain.prices import Price
from infra.application import Application
from infra.recorded_calls import RecordedCall, RecordedCallsError, count_calls, read_calls
from infra.replay import Latencies, Recording, Report, Tally, UnpricedModelError, cost_by_hand, play
from tests.domain.builders import NOW, nano
from tests.infra.builders import audit, count

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
GPT_4O_MINI = ModelName("openai", "gpt-4o-mini")
# (input, output) tokens.
CALLS = [(374, 44), (396, 109), (14_050, 1_000), (0, 0), (1, 1), (7, 3)]


def written(folder: Path, calls: list[tuple[int, int]], seconds: int = 1) -> Path:
    """A recording with a call every so many seconds; as the published ones, it ends without a newline."""
    rows = [
        f"2023-11-16 18:{15 + index * seconds // 60:02d}:{index * seconds % 60:02d}.6805900,{read},{made}"
        for index, (read, made) in enumerate(calls)
    ]
    path = folder / "calls.csv"
    path.write_text("\n".join([HEADER, *rows]))
    return path


def recording(path: Path, balance: str = "100", model: ModelName = GPT_4O_MINI, **asked: float) -> Recording:
    return Recording(
        path,
        model,
        nano(balance),
        int(asked.get("max_output_tokens", 1_024)),
        int(asked.get("concurrency", 8)),
        asked.get("speed"),
    )


async def played(application: Application, asked: Recording, stop: asyncio.Event | None = None) -> Report:
    return await play(application, asked, stop or asyncio.Event(), lambda _: None)


def dollars(calls: list[tuple[int, int]], read: Fraction | int, made: Fraction | int) -> int:
    """Nano-dollars of these calls at dollars a million tokens, each call rounded up to a whole one."""
    return sum(ceil((inputs * read + outputs * made) * NANO / 1_000_000) for inputs, outputs in calls)


async def test_every_call_is_admitted_and_costs_what_a_separate_sum_says(
    application: Application, tmp_path: Path
) -> None:
    report = await played(application, recording(written(tmp_path, CALLS * 30)))
    expected = dollars(CALLS * 30, Fraction("0.15"), Fraction("0.6"))
    tally = report.tally
    assert (tally.admitted, tally.refused, tally.not_settled) == (180, {}, {})
    assert tally.cost == tally.cost_by_hand == expected
    assert tally.charged == {
        "metered": sum(ceil(Fraction(13, 10) * dollars([call], Fraction("0.15"), Fraction("0.6"))) for call in CALLS)
        * 30
    }
    assert report.differences == ()
    assert not report.stopped
    assert await count(application, "usage_event", "feature = 'llm_call' AND agent_role = 'replay'") == 180
    await audit(application)


async def test_each_replay_has_a_tenant_of_its_own(application: Application, tmp_path: Path) -> None:
    asked = recording(written(tmp_path, CALLS))
    first, second = await played(application, asked), await played(application, asked)
    assert first.slug.startswith("replay-")
    assert second.slug != first.slug
    assert second.tally.cost == first.tally.cost
    assert (first.differences, second.differences) == ((), ())


async def test_a_small_balance_refuses_and_the_figures_still_agree(application: Application, tmp_path: Path) -> None:
    # Every call holds at least the floor of one cent, so two at a time fit; what is left in the end fits none.
    report = await played(application, recording(written(tmp_path, CALLS * 30), balance="0.02"))
    tally = report.tally
    assert tally.refused.keys() == {"INSUFFICIENT_FUNDS"}
    assert tally.admitted > 0
    assert tally.calls == 180
    assert tally.cost == tally.cost_by_hand > 0
    assert report.differences == ()
    await audit(application)


async def test_without_any_balance_nothing_is_admitted(application: Application, tmp_path: Path) -> None:
    report = await played(application, recording(written(tmp_path, CALLS), balance="0"))
    assert (report.tally.admitted, report.tally.refused) == (0, {"INSUFFICIENT_FUNDS": 6})
    assert report.differences == ()
    assert report.tally.consume.milliseconds(0.5) is None


async def test_an_answer_above_its_limit_is_charged_in_full(application: Application, tmp_path: Path) -> None:
    path = written(tmp_path, [(1_000, 1_000_000)])
    report = await played(application, recording(path, max_output_tokens=0))
    assert report.tally.cost == report.tally.cost_by_hand == nano("0.60015")
    assert report.differences == ()


async def test_long_contexts_cost_what_their_tier_says(application: Application, tmp_path: Path) -> None:
    path = written(tmp_path, [(200_000, 100), (200_001, 100)])
    report = await played(application, recording(path, model=ModelName("google", "gemini-2.5-pro")))
    usual, long = dollars([(200_000, 100)], Fraction("1.25"), 10), dollars([(200_001, 100)], Fraction("2.5"), 15)
    assert report.tally.cost == report.tally.cost_by_hand == usual + long
    assert report.differences == ()


async def test_a_local_model_costs_nothing(application: Application, tmp_path: Path) -> None:
    asked = recording(written(tmp_path, CALLS), balance="0", model=ModelName("ollama", "llama3.2"))
    report = await played(application, asked)
    assert (report.tally.admitted, report.tally.cost, report.tally.charged) == (6, 0, {})
    assert report.differences == ()


def test_the_sum_by_hand_rounds_fractions_of_a_nano_dollar_up_call_by_call() -> None:
    price = Price(
        "openrouter",
        "uneven",
        operation=None,
        input_per_million=93_750_000,
        output_per_million=250_000_001,
        cache_read_per_million=None,
        cache_write_per_million=None,
        reasoning_per_million=None,
        context_above=None,
        per_call=None,
        effective_from=NOW,
        effective_to=None,
        published_at=NOW,
    )
    assert [cost_by_hand(price, *tokens) for tokens in [(0, 0), (1, 0), (16, 0), (1, 1), (0, 10**6)]] == [
        0,
        94,  # 93.75
        1_500,  # 1500 exactly
        344,  # 343.750001
        250_000_001,
    ]


async def test_a_model_without_a_price_is_not_played_at_all(application: Application, tmp_path: Path) -> None:
    asked = recording(written(tmp_path, CALLS), model=ModelName("openai", "gpt-0"))
    with pytest.raises(UnpricedModelError, match="no price for openai/gpt-0"):
        await played(application, asked)
    assert await count(application, "tenant") == 0


async def test_a_replay_that_is_stopped_settles_what_it_began(application: Application, tmp_path: Path) -> None:
    stop = asyncio.Event()

    def watch(tally: Tally) -> None:
        if tally.calls >= 20:
            stop.set()

    report = await play(application, recording(written(tmp_path, CALLS * 2_000)), stop, watch)
    assert report.stopped
    assert 20 <= report.tally.calls < 12_000
    assert report.tally.cost == report.tally.cost_by_hand
    assert report.differences == ()


async def test_the_recorded_pace_can_be_kept(application: Application, tmp_path: Path) -> None:
    # Five seconds of recording, ten times as fast.
    report = await played(application, recording(written(tmp_path, CALLS), speed=10.0))
    assert report.seconds == pytest.approx(0.5, abs=0.4)
    assert report.seconds >= 0.5
    assert report.tally.admitted == 6


async def test_a_replay_at_the_recorded_pace_stops_at_once(application: Application, tmp_path: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.2, stop.set)
    report = await played(application, recording(written(tmp_path, CALLS, seconds=60), speed=1.0), stop)
    assert report.stopped
    assert report.tally.admitted == 1
    assert report.seconds < 10


def test_a_recording_is_read_as_it_stands(tmp_path: Path) -> None:
    path = written(tmp_path, CALLS)
    calls = list(read_calls(path))
    assert [(call.input_tokens, call.output_tokens) for call in calls] == CALLS
    assert [call.line for call in calls] == [2, 3, 4, 5, 6, 7]
    assert count_calls(path) == 6
    assert count_calls(path, 4) == len(list(read_calls(path, 4))) == 4


def test_a_byte_order_mark_crlf_and_other_columns_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    path.write_bytes(
        b'\xef\xbb\xbfGeneratedTokens,note,TIMESTAMP,ContextTokens\r\n44,"a, b",2023-11-16T18:15:46Z,374\r\n\r\n'
    )
    (call,) = read_calls(path)
    assert call == RecordedCall(2, call.at, 374, 44)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["2023-11-16 18:15:46,12,x"], "line 2: GeneratedTokens is 'x', not a whole number"),
        (["2023-11-16 18:15:46,1,2", "", "2023-11-16 18:15:47,-1,2"], "line 4: ContextTokens is '-1'"),
        (["2023-11-16 18:15:46,1.5,2"], "line 2: ContextTokens is '1.5'"),
        (["2023-11-16 18:15:46,1e3,2"], "line 2: ContextTokens is '1e3'"),
        (["2023-11-16 18:15:46,٣,2"], "line 2: ContextTokens is '٣'"),
        (["2023-11-16 18:15:46,9999999999999,2"], "line 2: ContextTokens is '9999999999999'"),
        (["2023-11-16 18:15:46,1,2", "2023-11-16 18:15:47,1"], "line 3: has 2 columns, the header has 3"),
        (["yesterday,1,2"], "line 2: TIMESTAMP is 'yesterday'"),
        (['2023-11-16 18:15:46,1,"2'], "line 2: "),
        ([], "there is no call in it"),
    ],
)
def test_a_row_that_is_no_call_is_named_by_its_line(tmp_path: Path, rows: list[str], message: str) -> None:
    path = tmp_path / "calls.csv"
    path.write_text("\n".join([HEADER, *rows]))
    with pytest.raises(RecordedCallsError) as raised:
        count_calls(path)
    assert message in str(raised.value)
    assert "calls.csv" in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: the header lacks TIMESTAMP, ContextTokens, GeneratedTokens"),
        (b"TIMESTAMP,ContextTokens\n2023-11-16,1\n", "line 1: the header lacks GeneratedTokens"),
        (HEADER.encode("utf-16"), "is not a text file in UTF-8"),
    ],
)
def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "calls.csv"
    path.write_bytes(content)
    with pytest.raises(RecordedCallsError, match=message):
        count_calls(path)


def test_latencies_are_known_to_a_percent() -> None:
    latencies = Latencies()
    for millisecond in range(1, 1_001):
        latencies.add(millisecond / 1000)
    assert latencies.milliseconds(0.50) == pytest.approx(500, rel=0.011)
    assert latencies.milliseconds(0.99) == pytest.approx(990, rel=0.011)
