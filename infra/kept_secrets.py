"""Kept secrets: random ones in the data folder, made when they are first asked for, that only their owner can read."""

import fcntl
import os
import secrets
from pathlib import Path

from infra.settings import SettingsError


def kept_secret(data_dir: Path, file_name: str, variable: str) -> str:
    """The secret of this name: 32 random bytes as url-safe base64 without padding. `variable` is what may be set instead
    where there is no folder to keep it in."""
    path = data_dir / file_name
    try:
        # As infra.embedded_postgres makes it: root's is passable, for the server's account to reach its cluster.
        data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "r+") as file:
            # Of several processes at once, one finds it empty; the others wait and read what that one wrote.
            fcntl.flock(file, fcntl.LOCK_EX)
            secret = file.read().strip()
            if not secret:
                secret = secrets.token_urlsafe(32)
                file.write(secret)
                if os.geteuid() == 0:
                    # Root as a guest in somebody's data folder must not lock its owner out.
                    owner = data_dir.stat()
                    os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
    except OSError as error:
        raise SettingsError(f"{error}: set PURSER_DATA_DIR to a folder of yours, or set {variable}.") from error
    return secret
