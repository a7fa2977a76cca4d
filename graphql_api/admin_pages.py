"""Piccolo Admin, made read-only and for callers who have been let in already. Loading this module takes a second."""

import logging
from collections.abc import Sequence

from piccolo.table import Table
from piccolo_admin.endpoints import AdminRouter, TableConfig, create_admin
from piccolo_api.crud.endpoints import OrderBy
from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection
from starlette.routing import Mount
from starlette.types import ASGIApp
from typing_extensions import override

from infra.admin_tables import PLACE, identity_of, key_of
from infra.services.callers import Caller


def create_pages(tables: Sequence[type[Table]], caller_at: str) -> ASGIApp:
    """Piccolo Admin over these tables. `caller_at`: where the scope of a request holds who has been let in."""
    # What fails is raised as well, and logged where it is answered.
    logging.getLogger("piccolo_admin.endpoints").disabled = True
    admin: AdminRouter = create_admin(
        [_shown(table) for table in tables],
        read_only=True,
        site_name="Purser",
        auto_include_related=False,
        sidebar_links={"Purser": "/"},
    )
    (private,) = (
        route.app
        for route in admin.routes
        if isinstance(route, Mount) and isinstance(route.app, AuthenticationMiddleware)
    )
    private.backend = _LetIn(caller_at)
    return admin


def _shown(table: type[Table]) -> TableConfig:
    """Rows in the order of an index, backwards: the newest of a tenant come first, whatever the table's size."""
    name = table._meta.tablename  # noqa: SLF001  # Piccolo has no other way
    key = [table._meta.get_column_by_name(column) for column in key_of(name)]  # noqa: SLF001
    return TableConfig(
        table,
        order_by=[OrderBy(column, ascending=False) for column in key],
        exclude_visible_columns=[table._meta.get_column_by_name(PLACE)] if identity_of(name) is None else None,  # noqa: SLF001
    )


class _LetIn(AuthenticationBackend):
    """Takes the place of Piccolo's sessions."""

    def __init__(self, caller_at: str) -> None:
        self._caller_at = caller_at

    @override
    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser]:
        return AuthCredentials(["authenticated"]), _Operator(conn.scope[self._caller_at])


class _Operator(BaseUser):
    """How the pages name who looks at them."""

    def __init__(self, caller: Caller) -> None:
        self.user_id = caller.actor

    @property
    @override
    def is_authenticated(self) -> bool:
        return True

    @property
    @override
    def display_name(self) -> str:
        return self.user_id
