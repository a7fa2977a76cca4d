"""URLs that others name for us to reach: https, without user, password and fragment; which addresses they lead to is checked
when they are used."""

import re
from typing import Final

# Its host is an address in brackets, or a name; a port is 1 to 65535.
_PLACE: Final = (
    r"(?:\[[^/?#@\s\]]+\]|[^/?#@\s:\[\]]+)"
    r"(?::0*(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
    r"(?:[/?][^#\s]*)?"
)
_HTTPS: Final = re.compile(f"https://{_PLACE}", re.ASCII)
_HTTP: Final = re.compile(f"https?://{_PLACE}", re.ASCII)


def form(*, local_allowed: bool) -> re.Pattern[str]:
    """What such a URL looks like. `local_allowed`: it may also be plain http."""
    return _HTTP if local_allowed else _HTTPS
