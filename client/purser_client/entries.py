"""Entries of the journal: what is known of a piece of work until it is settled."""

from dataclasses import dataclass, field

from purser_client.facts import Wire


@dataclass(slots=True)
class Entry:
    """One piece of work, or usage without one (`request` None).

    `id` makes its idempotency keys. `request` is the input of its reserve, `reservation` the id that it got, `usage` the
    recorded calls by name, `ending` how it is to be settled (None while it runs), `refusal` why it is kept aside.
    """

    id: str
    request: Wire | None = None
    reservation: str | None = None
    ending: Wire | None = None
    refusal: str | None = None
    usage: dict[str, Wire] = field(default_factory=dict)

    @property
    def task(self) -> tuple[str, str] | None:
        """The task that it stands for: a retry of it is the same piece of work."""
        key = self.request and self.request.get("taskKey")
        return (self.request["feature"], key) if self.request and key else None
