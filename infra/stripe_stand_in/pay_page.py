"""The page on which a checkout is paid: plain HTML that works without scripts, and says that no money moves."""

import html
from base64 import b64encode
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

from starlette.responses import HTMLResponse

from domain.money import minor_digits
from infra.stripe_money import from_stripe
from infra.stripe_stand_in.cards import CARDS, SUCCEEDS
from infra.stripe_stand_in.objects import Object

_STYLE: Final = """
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff; }
.mark { background: #fff3cd; border: 2px solid #7a5b00; padding: .5rem 1rem; font-weight: 600; }
.sum { font-size: 2rem; margin: 1rem 0; }
.failed { border-left: .4rem solid #a40000; padding-left: .8rem; color: #a40000; }
input { font: inherit; display: block; width: 100%; box-sizing: border-box; padding: .5rem; margin: .25rem 0 1rem; border: 1px solid #555; }
button { font: inherit; padding: .5rem 1.5rem; margin-right: .5rem; border: 1px solid #1a1a1a; background: #fff; color: #1a1a1a; }
button.pay { background: #0b5d2a; color: #fff; border-color: #0b5d2a; }
:focus-visible { outline: 3px solid #0050b3; outline-offset: 2px; }
"""
_STYLE_HASH: Final = b64encode(sha256(_STYLE.encode()).digest()).decode()


def pay_page(session: Object, product: str, failure: str | None = None) -> HTMLResponse:
    """The page of an open checkout, with why the last attempt failed."""
    failed = "" if failure is None else f'<p class="failed" role="alert" id="failure">{html.escape(failure)}</p>'
    described = "cards" if failure is None else "failure cards"
    cards = "".join(f"<li><code>{number}</code> {html.escape(card.meaning)}</li>" for number, card in CARDS.items())
    body = f"""
<p class="sum">{html.escape(_sum(session))}</p>
<p>{html.escape(product)}</p>
{failed}
<form method="post">
<label for="card">Test card number</label>
<input id="card" name="card" value="{SUCCEEDS}" inputmode="numeric" autocomplete="off" required maxlength="23" aria-describedby="{described}">
<button class="pay" name="action" value="pay">Pay</button>
<button name="action" value="leave" formnovalidate>Leave</button>
</form>
<h2>Test cards</h2>
<ul id="cards">{cards}</ul>"""
    return _page("Demo checkout", body, session, 200 if failure is None else 402)


def ended_page(session: Object | None) -> HTMLResponse:
    """The page of a checkout that cannot be paid, any more or at all."""
    if session is None:
        return _page("Demo checkout", "<p>There is no such checkout.</p>", None, 404)
    paid = "This checkout is paid." if session["status"] == "complete" else "This checkout has expired."
    return _page("Demo checkout", f"<p>{paid}</p>", session, 410)


def _page(title: str, body: str, session: Object | None, status: int) -> HTMLResponse:
    document = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p class="mark">Demo checkout: no real money. Never type a real card number here.</p>{body}
</main>
</body>
</html>
"""
    # Browsers hold a form to this list on the way back to the shop, too.
    back = {_origin(session[name]) for name in ("success_url", "cancel_url") if session[name]} if session else set()
    targets = " ".join(["'self'", *sorted(back)])
    policy = (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action {targets}; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return HTMLResponse(document, status, headers)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _sum(session: Object) -> str:
    money = from_stripe(session["amount_total"], session["currency"])
    digits = minor_digits(money.currency)
    whole, fraction = divmod(money.minor, 10**digits)
    return f"{whole:,}{f'.{fraction:0{digits}d}' if digits else ''} {money.currency}"
