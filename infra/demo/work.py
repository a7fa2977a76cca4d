"""What the demo's agents do all day: plain tables, of which `infra.demo.schedule` makes days and months.

Routines are work of every day. A stint is a fixed number of calls of one month, spread over what has passed of it when they
are booked: by it a budget is nearly used up, or quite, on whatever day somebody looks.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from domain.holds import ModelName
from domain.usage import UsageKind

LLM, TOOL, API, DATA = UsageKind.LLM, UsageKind.TOOL, UsageKind.API, UsageKind.DATA_QUERY


class Call(NamedTuple):
    """One provider call. Tokens are those of a typical one (`read` is the input, `written` the output), which a schedule varies; `results`: at most so many."""

    kind: UsageKind
    provider: str
    model: str | None = None
    operation: str | None = None
    read: int = 0
    written: int = 0
    cache_read: int = 0
    calls: int = 1
    results: int | None = None


def llm(name: str, read: int, written: int = 0, cache_read: int = 0) -> Call:
    """A call of a model, named as provider/model."""
    provider, _, model = name.partition("/")
    return Call(LLM, provider, model, None, read, written, cache_read)


class Paid(Enum):
    """RESERVED: held before and settled after, as the rate card wants it of deliverables. RECORDED: told afterwards."""

    RESERVED = 1
    RECORDED = 2


@dataclass(frozen=True, slots=True)
class Routine:
    """A piece of work that comes `a_day` times on a working day. `model`: what is reserved for, where that decides the
    route. The work is for one of `campaigns` (None: for no campaign)."""

    feature: str
    role: str
    a_day: float
    calls: tuple[Call, ...]
    campaigns: tuple[str | None, ...] = (None,)
    project: str | None = None
    paid: Paid = Paid.RESERVED
    model: ModelName | None = None
    with_account: bool = False


MAPS: Final = Call(API, "google_maps", None, "places_search")
PLACE: Final = Call(API, "google_maps", None, "details", calls=3)
SEARCH: Final = Call(TOOL, "tavily", None, "search", calls=2)
SCRAPE: Final = Call(API, "firecrawl", calls=5)
PERMITS: Final = Call(DATA, "socrata", None, "permits")

ROUTINES: Final = (
    Routine(
        "blog_post",
        "blog-writer",
        2,
        (
            SEARCH,
            llm("anthropic/claude-sonnet-5", 14_000, 4_200, 30_000),
            llm("openai/gpt-4o", 18_000, 5_600),
            llm("openai/gpt-4o-mini", 12_000, 2_400),
        ),
        ("spring", "partner-webinar", "newsletter", "win-back"),
        "content-plan",
    ),
    Routine(
        "social_post",
        "social-post-writer",
        2,
        (llm("google/gemini-3.1-flash-lite", 9_000, 1_900), llm("openai/gpt-5.4-mini", 7_000, 1_400)),
        ("spring", "trade-fair", "win-back"),
        "content-plan",
    ),
    Routine(
        "email_newsletter",
        "email-writer",
        0.4,
        (llm("openai/gpt-5-mini", 22_000, 6_800), llm("google/gemini-3.5-flash", 16_000, 4_200)),
        ("newsletter",),
        "content-plan",
    ),
    Routine(
        "strategy",
        "strategy-writer",
        0.12,
        (
            Call(TOOL, "tavily", None, "search", calls=6),
            llm("anthropic/claude-opus-4-6", 32_000, 9_000),
            llm("anthropic/claude-opus-4-6", 14_000, 6_000),
        ),
        ("trade-fair", "spring"),
        "site-relaunch",
    ),
    Routine(
        "competitor_analysis",
        "competitor-researcher",
        0.4,
        (SEARCH, SCRAPE, SEARCH, llm("google/gemini-2.5-pro", 60_000, 7_000)),
        ("partner-webinar", "trade-fair"),
        "site-relaunch",
    ),
    Routine(
        "topic_research",
        "topic-researcher",
        0.7,
        (SEARCH, llm("google/gemini-3.5-flash", 9_000, 1_600), llm("ollama/mistral", 4_000, 700)),
        ("spring", "newsletter"),
        "content-plan",
    ),
    Routine(
        "blog_hero_image",
        "blog-image-generator",
        0.4,
        (llm("openai/gpt-image-1", 400, 7_600),),
        ("spring", "partner-webinar"),
        "content-plan",
    ),
    Routine(
        "content_repurpose_social",
        "content-repurposer",
        1,
        (llm("openrouter/meta-llama/llama-3.3-70b-instruct", 3_000, 700),),
        ("spring", "win-back"),
        "content-plan",
    ),
    Routine(
        "brand_voice_score",
        "content-scorer",
        1,
        (llm("ollama/llama3.2", 2_600, 120), llm("openai/gpt-5-nano", 2_600, 180)),
        ("newsletter", "win-back"),
    ),
    Routine("in_editor_action", "blog-writer", 4, (llm("openai/gpt-4o-mini", 900, 260),), (None, "spring")),
    Routine(
        "review_response",
        "review-response-writer",
        1,
        (llm("ollama/gemma3:4b", 800, 220), llm("ollama/llama3.2", 700, 190)),
        (None, "win-back"),
        with_account=True,
    ),
    Routine("rag_ingestion", "rag-ingestion", 1, (llm("openai/text-embedding-3-small", 24_000),)),
    # On Acme's own key at Anthropic: no metered dollars, where the deployment lets own keys count.
    Routine(
        "llm_call",
        "email-writer",
        1.5,
        (llm("anthropic/claude-sonnet-5-5", 12_000, 2_600),),
        ("win-back", "newsletter"),
        model=ModelName("anthropic", "claude-sonnet-5-5"),
        with_account=True,
    ),
    Routine(
        "llm_call",
        "lead-scout",
        2,
        (llm("openai/gpt-4o", 2_200, 500), llm("openrouter/deepseek/deepseek-v3.2", 2_000, 400)),
        ("trade-fair", "win-back"),
        "lead-engine",
        Paid.RECORDED,
        with_account=True,
    ),
    Routine(
        "lead_signal_fetch",
        "lead-scout",
        2,
        (MAPS, PLACE),
        ("trade-fair",),
        "lead-engine",
        Paid.RECORDED,
        with_account=True,
    ),
    Routine(
        "lead_enrichment",
        "lead-scout",
        2,
        (Call(API, "apollo"), Call(API, "zerobounce", calls=4)),
        ("trade-fair", "win-back"),
        "lead-engine",
        Paid.RECORDED,
        with_account=True,
    ),
    Routine(
        "email_find",
        "lead-scout",
        3,
        (Call(API, "leadmagic", results=1), Call(API, "prospeo", results=1)),
        ("trade-fair", "win-back"),
        "lead-engine",
        Paid.RECORDED,
        with_account=True,
    ),
    Routine("public_data_query", "lead-scout", 1, (PERMITS,), ("trade-fair",), "lead-engine", Paid.RECORDED),
)


class Stint(NamedTuple):
    """`times` calls of a month that cost `dollars` in all, as their provider reports them. `units`: what a bucket is
    charged for them in all. `every_month`: False: in the demo's first month alone."""

    name: str
    tenant: str
    dollars: str
    times: int
    feature: str
    call: Call
    role: str | None = None
    campaign: str | None = None
    units: int | None = None
    every_month: bool = True


STINTS: Final = (
    # 88 % of its budget.
    Stint(
        "keywords", "acme", "10.56", 24, "llm_call", llm("google/gemini-2.5-pro", 52_000, 9_000), "keyword-researcher"
    ),
    # Over its budget, and so paused.
    Stint("ads", "acme", "8.24", 16, "llm_call", llm("openai/gpt-5.4", 96_000, 18_000), "ads-analyst"),
    # 86 % of its campaign's budget.
    Stint(
        "summer-trial",
        "acme",
        "17.2",
        18,
        "llm_call",
        llm("anthropic/claude-opus-4-6", 38_000, 5_200),
        "landing-page-writer",
        "summer-trial",
        every_month=False,
    ),
    # More than its campaign's budget, and so paused.
    Stint(
        "winter-clearance",
        "acme",
        "10.08",
        14,
        "llm_call",
        llm("openai/gpt-4o", 98_000, 47_000),
        "landing-page-writer",
        "winter-clearance",
        every_month=False,
    ),
    Stint(
        "enrich",
        "acme",
        "9.2",
        20,
        "enrich_lead",
        Call(API, "icypeas", calls=230),
        "lead-scout",
        "trade-fair",
        units=4_600,
    ),
    Stint(
        "copy", "acme", "3.1", 10, "copy_lead", llm("openai/gpt-4o-mini", 900_000, 290_000), "lead-scout", units=2_500
    ),
    Stint("sends", "acme", "0", 12, "email_send", Call(TOOL, "mailer", None, "send"), "email-writer", units=3_900),
    Stint("copy", "globex", "14.6", 8, "copy_lead", llm("openai/gpt-4o", 300_000, 107_000), "copywriter", units=1_450),
    Stint("enrich", "globex", "6.3", 6, "enrich_lead", Call(API, "apollo", calls=21), "lead-scout", units=2_100),
    Stint(
        "drafts", "initech", "31.5", 8, "llm_call", llm("anthropic/claude-sonnet-5", 900_000, 213_000), "blog-writer"
    ),
    Stint(
        "research", "initech", "12.4", 6, "llm_call", llm("google/gemini-2.5-pro", 800_000, 107_000), "topic-researcher"
    ),
    Stint("drafts", "vandelay", "58.2", 8, "llm_call", llm("openai/gpt-5.4", 1_000_000, 318_000), "blog-writer"),
    Stint("profiles", "vandelay", "4.4", 4, "lead_qualify", llm("openai/gpt-5-mini", 900_000, 438_000), "lead-scout"),
    Stint(
        "drafts",
        "hooli",
        "3.9",
        4,
        "copy_lead",
        llm("openai/gpt-4o-mini", 900_000, 1_400_000),
        "copywriter",
        units=300,
        every_month=False,
    ),
)
