"""Piccolo's configuration. `DB` is set by `infra.schema` once the database's address is known: making an engine
without one would try to connect to nowhere."""

from piccolo.conf.apps import AppRegistry
from piccolo.engine.postgres import PostgresEngine

DB: PostgresEngine | None = None
APP_REGISTRY = AppRegistry(apps=["infra.piccolo_app"])
