"""Attribution: for whom and for what a call is made. All ids are the customer's own."""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from domain.refusals import FieldProblem

MOST_TAGS: Final = 10
LONGEST_ID: Final = 200


class Attribution(NamedTuple):
    """Every field is optional; `tags` are (key, value) pairs sorted by key, each key once."""

    project: str | None = None
    research: str | None = None
    campaign: str | None = None
    account: str | None = None
    client: str | None = None
    agent_role: str | None = None
    session: str | None = None
    task_run: str | None = None
    tags: tuple[tuple[str, str], ...] = ()


NOBODY: Final = Attribution()
_NAMES: Final = tuple(name for name in Attribution._fields if name != "tags")


def problems(attribution: Attribution, path: str) -> tuple[FieldProblem, ...]:
    """What is wrong with an attribution: empty or over-long ids, too many tags, a tag key twice."""
    if attribution is NOBODY:
        return ()
    found: list[FieldProblem] = []
    names = attribution[:8]
    if not all(map(_is_known, filter(None, names))) or "" in names:
        wrong = [
            name for name, value in zip(_NAMES, names, strict=True) if value is not None and not is_identifier(value)
        ]
        found.extend(FieldProblem(f"{path}.{camel(name)}", IDENTIFIER_RULE) for name in wrong)
    if not attribution.tags:
        return tuple(found)
    if len(attribution.tags) > MOST_TAGS:
        found.append(FieldProblem(f"{path}.tags", f"at most {MOST_TAGS} tags"))
    keys = [key for key, _ in attribution.tags]
    if len(set(keys)) < len(keys):
        found.append(FieldProblem(f"{path}.tags", "a tag key may stand only once"))
    for key, value in attribution.tags:
        if not _is_known(key) or "=" in key or not _is_known(value):
            found.append(FieldProblem(f"{path}.tags", f"a tag's key (without '=') and value: {IDENTIFIER_RULE}"))
    return tuple(found)


IDENTIFIER_RULE: Final = f"must be 1 to {LONGEST_ID} characters without control characters or blanks at the ends"


_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")


def is_identifier(text: str) -> bool:
    """Whether a client's own id can be stored and shown: PostgreSQL takes no NUL, people no hidden blanks."""
    return 0 < len(text) <= LONGEST_ID and text.isprintable() and text == text.strip()


# Attributions name the same ids again and again.
_is_known: Final = lru_cache(maxsize=8_192)(is_identifier)


def is_text(text: str, longest: int) -> bool:
    """Whether free text can be stored and hashed: neither NUL nor half of a surrogate pair."""
    return len(text) <= longest and _UNSTORABLE.search(text) is None


def camel(name: str) -> str:
    """A field's name as clients write it."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
