"""A PostgreSQL of the benchmark's own, with the product's settings, in a temporary folder: nothing of the user's is
touched, and nothing is left behind."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from infra.embedded_postgres import embedded_postgres


@contextmanager
def scratch_postgres(parent: Path | None) -> Iterator[str]:
    """The URL of an empty database. Its folder is made in `parent` (default: the place for temporary files), on whose
    disk the commits wait."""
    folder = Path(tempfile.mkdtemp(prefix="purser-bench-", dir=parent))
    # PostgreSQL runs as another account for root, which has to reach its cluster in there.
    folder.chmod(0o711)
    try:
        with embedded_postgres(folder) as url:
            yield url
    finally:
        with suppress(OSError):
            shutil.rmtree((folder / "postgres").readlink(), ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
