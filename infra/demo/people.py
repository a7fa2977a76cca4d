"""Who and what the demo is about: tenants, the names of Acme's things, its budgets, and what its people decided."""

from dataclasses import dataclass
from typing import Final

from domain.budgets import Budget, BudgetKey, BudgetPeriod, ScopeKey, ScopeKind
from domain.money import NANO
from domain.refusals import BudgetScope


@dataclass(frozen=True, slots=True)
class DemoTenant:
    """A tenant on a plan of its region. `metered`: dollars topped up at first; None: no metered wallet. `monthly`: dollars
    topped up each month. `suspended`: by an operator, once it has worked for a while."""

    slug: str
    name: str
    region: str
    plan: str
    metered: int | None
    monthly: int = 0
    suspended: bool = False


DEMO_TENANTS: Final = (
    DemoTenant("acme", "Acme", "india", "professional", 125 * NANO, 40 * NANO),
    DemoTenant("globex", "Globex", "middle_east", "growth", None),
    DemoTenant("initech", "Initech", "india", "starter", 180 * NANO, 60 * NANO),
    DemoTenant("vandelay", "Vandelay Imports", "global", "unlimited", 300 * NANO, 80 * NANO),
    DemoTenant("hooli", "Hooli", "middle_east", "professional", None, suspended=True),
)

CLIENTS: Final = {
    "northwind-bikes": "Northwind Bikes",
    "harbor-hotels": "Harbor Hotels",
    "lumen-clinics": "Lumen Clinics",
    "orbit-energy": "Orbit Energy",
}
# By campaign: its name, its client, and what its work researches.
CAMPAIGNS: Final = {
    "spring": ("Spring launch", "northwind-bikes", "bike-trends"),
    "winter-clearance": ("Winter clearance", "northwind-bikes", None),
    "summer-trial": ("Summer trial offer", "harbor-hotels", None),
    "trade-fair": ("Trade fair Lyon", "harbor-hotels", "hotel-market"),
    "partner-webinar": ("Partner webinar", "lumen-clinics", "clinic-reviews"),
    "newsletter": ("Monthly newsletter", "lumen-clinics", None),
    "win-back": ("Win back old customers", "orbit-energy", None),
}
AGENTS: Final = {
    "blog-writer": "Blog writer",
    "social-post-writer": "Social posts",
    "email-writer": "Newsletters and e-mails",
    "strategy-writer": "Strategy",
    "competitor-researcher": "Competitor research",
    "topic-researcher": "Topic research",
    "keyword-researcher": "Keyword research",
    "ads-analyst": "Ads analysis",
    "review-response-writer": "Review answers (local models)",
    "content-scorer": "Content scores",
    "content-repurposer": "Repurposing",
    "blog-image-generator": "Hero images",
    "lead-scout": "Lead scout",
    "landing-page-writer": "Landing pages",
}
PROJECTS: Final = {"site-relaunch": "Site relaunch", "content-plan": "Content plan", "lead-engine": "Lead engine"}
# None: an account that nobody has named.
ACCOUNTS: Final = {
    "acct-1001": "Hotel Bellevue",
    "acct-1002": "Lindner Coffee",
    "acct-1003": "Nordic Outdoor",
    "acct-1004": "Dr. Weber Dental",
    "acct-1005": None,
    "acct-1006": None,
}

NAMES: Final = (
    *[(ScopeKey(ScopeKind.CLIENT, client), name, None) for client, name in CLIENTS.items()],
    *[(ScopeKey(ScopeKind.CAMPAIGN, campaign), name, client) for campaign, (name, client, _) in CAMPAIGNS.items()],
    *[(ScopeKey(ScopeKind.AGENT, role), name, None) for role, name in AGENTS.items()],
    *[(ScopeKey(ScopeKind.PROJECT, project), name, None) for project, name in PROJECTS.items()],
    *[(ScopeKey(ScopeKind.ACCOUNT, account), name, None) for account, name in ACCOUNTS.items() if name is not None],
)


def _budget(scope: BudgetScope, scope_id: str, period: BudgetPeriod, dollars: int) -> Budget:
    return Budget(BudgetKey(scope, scope_id, period), dollars * NANO)


BUDGETS: Final = (
    _budget(BudgetScope.TENANT, "", BudgetPeriod.MONTH, 150),
    _budget(BudgetScope.AGENT, "blog-writer", BudgetPeriod.MONTH, 25),
    _budget(BudgetScope.AGENT, "social-post-writer", BudgetPeriod.MONTH, 10),
    _budget(BudgetScope.AGENT, "email-writer", BudgetPeriod.MONTH, 15),
    _budget(BudgetScope.AGENT, "keyword-researcher", BudgetPeriod.MONTH, 12),
    _budget(BudgetScope.AGENT, "ads-analyst", BudgetPeriod.MONTH, 8),
    _budget(BudgetScope.AGENT, "lead-scout", BudgetPeriod.MONTH, 60),
    _budget(BudgetScope.AGENT, "", BudgetPeriod.TASK, 5),
    _budget(BudgetScope.CAMPAIGN, "spring", BudgetPeriod.TOTAL, 200),
    _budget(BudgetScope.CAMPAIGN, "summer-trial", BudgetPeriod.TOTAL, 20),
    _budget(BudgetScope.CAMPAIGN, "winter-clearance", BudgetPeriod.TOTAL, 10),
    _budget(BudgetScope.CAMPAIGN, "win-back", BudgetPeriod.MONTH, 40),
)
PAUSED_BY_HAND: Final = (ScopeKey(ScopeKind.AGENT, "landing-page-writer"), "waits for the new brand guide")
# No key of anybody.
OWN_KEY: Final = ("anthropic", "sk-ant-demo-this-is-no-key-0000")
