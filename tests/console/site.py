"""A server as `purser serve --demo` is, in the tests' own loop: its application is at hand, so that states can be prepared."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from playwright.async_api import BrowserContext

from domain.admission import Wish
from domain.attribution import NOBODY, Attribution
from domain.holds import Estimate
from domain.settlements import Consumed
from graphql_api.app import create_app
from graphql_api.serving import configuration
from infra import demo
from infra.application import Application, open_application
from infra.demo_keys import DEMO_KEYS, demo_tokens
from infra.services import reservations, settlements
from infra.services.callers import Caller, Role
from infra.settings import Settings
from infra.stripe_stand_in.demo import demo_checkout
from tests.domain.builders import nano
from tests.in_process import Listener
from tests.infra.builders import held, new_key, open_tenant, reported

COOKIE: Final = "purser_session"


@dataclass(slots=True)
class Site:
    """Where the server answers, and the application behind it."""

    origin: str
    application: Application
    _tokens: dict[tuple[Role, str | None], str]
    _tenants: int = 0
    _calls: int = 0

    async def tenant(self, **balances: str) -> tuple[str, Caller]:
        """The slug of a new tenant, for a test that changes something, and its administrator. `balances` as of
        open_tenant: credits="300", metered="50"."""
        self._tenants += 1
        slug = f"tenant-{self._tenants}"
        return slug, await open_tenant(self.application, slug, **balances)

    async def call(
        self, caller: Caller, credits_: str, *, cost: str = "0.01", attribution: Attribution = NOBODY
    ) -> None:
        """A call that was held and is charged: so many credits, in tenths, and so many dollars at the provider."""
        self._calls += 1
        key = f"call-{self._calls}"
        wish = Wish("in_editor_action", nano(credits_) * 10, None, Estimate(cost=nano(cost)), attribution)
        reservation = held(await reservations.reserve(self.application, caller, key, wish, None, 60))
        usage = [reported(key, cost, provider="openai", model="gpt-4o-mini")]
        charged = await settlements.consume(self.application, caller, key, reservation.id, None, usage)
        assert isinstance(charged, Consumed), charged

    async def token(self, role: Role, tenant: str | None) -> str:
        """An API key of a role in a tenant (by its slug); for the operator, `tenant` is None."""
        if (role, tenant) not in self._tokens:
            tenant_id = await self.application.across_tenants.fetchval("SELECT id FROM tenant WHERE slug = $1", tenant)
            assert tenant_id is not None, f"there is no tenant {tenant}"
            made = await new_key(self.application, tenant_id, role, f"{role.lower()} in a browser")
            self._tokens[role, tenant] = made.token
        return self._tokens[role, tenant]

    async def sign_in(self, context: BrowserContext, role: Role, tenant: str | None = "acme") -> None:
        """Have the pages of this context signed in from their next request on."""
        token = await self.token(role, None if role is Role.OPERATOR else tenant)
        await context.add_cookies(
            [{"name": COOKIE, "value": token, "url": self.origin, "httpOnly": True, "sameSite": "Lax"}]
        )


@asynccontextmanager
async def running_site(settings: Settings, url: str) -> AsyncIterator[Site]:
    """Seeded with the demo's tenants and with its checkout, on a migrated database. No jobs run by themselves."""
    listener = Listener()
    async with AsyncExitStack() as stack:
        checkout = await stack.enter_async_context(demo_checkout(settings, listener.origin))
        application = await stack.enter_async_context(
            open_application(replace(checkout.settings, public_url=listener.origin), url)
        )
        await demo.seed(application)
        app = create_app(application, demo=True)
        app.mount(checkout.path, checkout.app)
        await stack.enter_async_context(listener.serving(app, configuration(app)))
        tokens = demo_tokens(application.settings)
        known = {(Role(key.role), key.tenant): tokens[key.label] for key in DEMO_KEYS}
        yield Site(listener.origin, application, known)
