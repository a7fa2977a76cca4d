"""Context: what a resolver works with: the application, who asks, and the loaders of this request."""

from functools import cached_property

import strawberry

from graphql_api.loaders import Loaders
from infra.application import Application
from infra.services.callers import Caller


class Context:
    """One per request."""

    def __init__(self, application: Application, caller: Caller) -> None:
        self.application = application
        self.caller = caller

    @cached_property
    def loaders(self) -> Loaders:
        return Loaders(self.application, self.caller.tenant_id)


Info = strawberry.Info[Context, None]
