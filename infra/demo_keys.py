"""Keys of the demo tenants: derived from a secret, so that they can be shown again although only hashes are stored.

The secret is PURSER_DEMO_SECRET, else a random one in the data folder that only its owner can read. Whoever
knows the secret knows every key. Nothing here needs the database.
"""

import fcntl
import hmac
import os
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from infra.settings import Settings, SettingsError

FILE: Final = "demo-secret"


@dataclass(frozen=True, slots=True)
class DemoKey:
    """`label` is what `purser demo-keys` calls it, `name` what the ledger does; an operator's key has no tenant."""

    label: str
    tenant: str | None
    role: str
    name: str


DEMO_KEYS: Final = (
    DemoKey("operator", None, "OPERATOR", "demo-operator"),
    DemoKey("admin", "acme", "ADMIN", "demo-admin"),
    DemoKey("member", "acme", "MEMBER", "demo-member"),
    DemoKey("service", "acme", "SERVICE", "demo-service"),
    DemoKey("other_service", "globex", "SERVICE", "demo-other-service"),
)


def demo_tokens(settings: Settings) -> dict[str, str]:
    """Each demo key by its label; makes the secret if there is none yet."""
    secret = settings.demo_secret or _kept_secret(settings.data_dir)
    return {key.label: _token(secret, key) for key in DEMO_KEYS}


def _token(secret: str, key: DemoKey) -> str:
    digest = hmac.digest(secret.encode(), f"purser demo key {key.name}".encode(), sha256)
    return f"psk_{urlsafe_b64encode(digest).decode().rstrip('=')}"


def _kept_secret(data_dir: Path) -> str:
    path = data_dir / FILE
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
        message = f"{error}: set PURSER_DATA_DIR to a folder of yours, or set PURSER_DEMO_SECRET."
        raise SettingsError(message) from error
    return secret
