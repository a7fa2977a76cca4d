"""Keys of the demo tenants: derived from a secret, so that they can be shown again although only hashes are stored.

The secret is PURSER_DEMO_SECRET, else a random one in the data folder that only its owner can read. Whoever
knows the secret knows every key. Nothing here needs the database.
"""

import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from infra.kept_secrets import kept_secret
from infra.settings import Settings

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
    secret = settings.demo_secret or kept_secret(settings.data_dir, FILE, "PURSER_DEMO_SECRET")
    return {key.label: _token(secret, key) for key in DEMO_KEYS}


def _token(secret: str, key: DemoKey) -> str:
    digest = hmac.digest(secret.encode(), f"purser demo key {key.name}".encode(), sha256)
    return f"psk_{urlsafe_b64encode(digest).decode().rstrip('=')}"
