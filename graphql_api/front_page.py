"""The front page: what a browser finds here, and where a payer comes back to from the checkout."""

from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse

_PAGE: Final = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Purser</title></head>
<body>
<h1>Purser</h1>
<p>{text}</p>
</body>
</html>
"""
_TEXTS: Final = {
    "1": "Thank you. Your payment is credited as soon as it is confirmed, usually within seconds. You may close this page.",
    "0": "Nothing was paid. The order stays open for a day. You may close this page.",
}
_GREETING: Final = "The API answers at <code>/graphql</code>."
_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def front_page(request: Request) -> HTMLResponse:
    """Says what is here, or to a payer what comes next; nothing of the request is shown."""
    text = _TEXTS.get(request.query_params.get("paid", ""), _GREETING)
    return HTMLResponse(_PAGE.format(text=text), headers=_HEADERS)
