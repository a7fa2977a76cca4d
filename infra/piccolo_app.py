"""Piccolo's view of the project: where the tables and the migrations are."""

from pathlib import Path

from piccolo.conf.apps import AppConfig

APP_CONFIG = AppConfig(
    app_name="purser",
    migrations_folder_path=str(Path(__file__).parent / "migrations"),
    table_classes=[],
)
