"""What the processes of the jobs find in their environment."""

from pathlib import Path

import pytest


@pytest.fixture
def variables(database_url: str, tmp_path: Path) -> dict[str, str]:
    """The test's own database, and a data folder that is not ours."""
    return {"DATABASE_URL": database_url, "PURSER_DATA_DIR": str(tmp_path)}
