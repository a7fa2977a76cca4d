"""How this program was called: so that what it prints can be pasted into a terminal."""

import os
import shlex
import shutil
import sys
from pathlib import Path


def program() -> str:
    """`purser` where that finds us, else our path: from the current folder if we lie under it."""
    called = sys.argv[0]
    here = Path(os.path.abspath(called))  # noqa: PTH100  # drops "..", and keeps the symbolic links of the caller
    if not here.is_file() or not os.access(here, os.X_OK):
        return "purser"
    found = shutil.which(here.name)
    if found is not None and Path(found).samefile(here):
        return shlex.quote(here.name)
    try:
        below = str(here.relative_to(Path.cwd()))
    except ValueError:
        return shlex.quote(called)
    return shlex.quote(below if os.sep in below else os.path.join(os.curdir, below))  # noqa: PTH118  # a Path drops "./"
