"""The suite, one folder per layer."""

import sys
from pathlib import Path

if sys.dont_write_bytecode:
    # Each worker of each run, and each process that it starts, would compile all that it imports.
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(Path(__file__).parent.parent / ".pytest_cache" / "bytecode")
