"""The session cookie: how the console's pages name a key, or a token of an identity provider, that they never see.

A browser sends it by itself, also with what other sites make it ask. So it counts only where the request says that it
comes from a page of our own: its Origin is ours and, where the browser tells it, so is Sec-Fetch-Site. Every browser
sends an Origin with POST and with websockets, and no page can choose it.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import cookie_parser

# What browsers keep: 4096 bytes of name and value.
LONGEST_CREDENTIAL: Final = 4_000


class SessionCookie:
    """`public_url`: where people reach this installation. Where that is https, the cookie goes by https alone, and no page
    of another host can have set it."""

    def __init__(self, public_url: str | None) -> None:
        self.public_url = public_url
        self._origin = b"" if public_url is None else "://".join(urlsplit(public_url)[:2]).encode()
        self._by_https_alone = self._origin.startswith(b"https://")
        self.name = self.named("purser_session")

    def named(self, name: str) -> str:
        """The name under which a cookie of ours is kept."""
        return f"__Host-{name}" if self._by_https_alone else name

    def credential_in(self, headers: Mapping[bytes, bytes]) -> str:
        """The key or token of the page that asks; empty where there is none, or the page is not ours."""
        return self.value_in(headers, self.name) if b"cookie" in headers and self.comes_from_our_page(headers) else ""

    def comes_from_our_page(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a request says that a page of this installation sent it. The page is ours where it is at `public_url`, or
        at the host and port that the request itself went to: a proxy that ends TLS leaves those as they are."""
        origin = headers.get(b"origin", b"")
        if headers.get(b"sec-fetch-site", b"same-origin") != b"same-origin":
            return False
        if origin == self._origin != b"":
            return True
        scheme, _, place = origin.partition(b"://")
        schemes = (b"https",) if self._by_https_alone else (b"https", b"http")
        return scheme in schemes and place == headers.get(b"host") and place != b""

    def value_in(self, headers: Mapping[bytes, bytes], name: str) -> str:
        """The value of a cookie; empty where there is none."""
        return cookie_parser(headers.get(b"cookie", b"").decode("latin-1")).get(name, "")

    def given(self, credential: str) -> str:
        """The Set-Cookie that signs a browser in until it is closed."""
        return self.written(self.name, credential)

    def taken_back(self) -> str:
        """The Set-Cookie that signs a browser out."""
        return self.written(self.name, "", 0)

    def written(self, name: str, value: str, seconds: int | None = None) -> str:
        """A Set-Cookie that no script reads. `seconds` None: until the browser is closed."""
        lives = "" if seconds is None else f"; Max-Age={seconds}"
        secure = "; Secure" if self._by_https_alone else ""
        return f"{name}={value}; Path=/{lives}; HttpOnly; SameSite=Lax{secure}"
