"""Statements of breakdowns: which rollups know what is asked, and the rows that one statement adds up."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID

from domain.breakdowns import Dimension, UsageFilter
from domain.rollups import Reading, Span
from infra.reservation_rows import json
from infra.usage_sums import ALONE_COLUMNS, AMENDMENT_MEASURES, EVENT_MEASURES, MEASURES, TOGETHER_COLUMNS

TIMES: Final = {Dimension.DAY, Dimension.WEEK, Dimension.MONTH}
ALONE: Final = {Dimension.ACCOUNT, Dimension.RESEARCH, Dimension.TAG}
_FILTERS: Final = (*TOGETHER_COLUMNS, "research", "account", "session", "task_run")
# The rollups in which most dimensions stand together.
TOGETHER: Final = "TOGETHER"


def known_alone(wanted: UsageFilter, group_by: Sequence[Dimension]) -> str | None:
    """Which rollups know all that is asked: those of most dimensions together, those of one that stands on its own, or
    (None) only the usage itself."""
    named = {column for column in _FILTERS if getattr(wanted, column)}
    named.update(dimension.value.lower() for dimension in group_by if dimension not in TIMES)
    if wanted.tags:
        named.add("tag")
    if named <= set(TOGETHER_COLUMNS):
        return TOGETHER
    own = [dimension for dimension in ALONE if dimension.value.lower() in named]
    if len(own) != 1 or not named - {own[0].value.lower()} <= set(ALONE_COLUMNS) or len(wanted.tags) > 1:
        return None
    if own[0] is Dimension.TAG and wanted.tags and Dimension.TAG in group_by:
        return None  # the other tags of what has this one
    return own[0].value


# Of a rolled up day.
_PERIODS_OF_DAYS: Final = {
    "day": "u.day::text",
    "week": "date_trunc('week', u.day::timestamp)::date::text",
    "month": "to_char(u.day, 'YYYY-MM')",
}


def _label(dimension: Dimension, day: date) -> str:
    """The period that a day lies in, as `_PERIODS_OF_DAYS` name it."""
    if dimension is Dimension.MONTH:
        return f"{day:%Y-%m}"
    return str(day - timedelta(days=day.weekday()) if dimension is Dimension.WEEK else day)


class Statement:
    """One statement: its parameters, and the rows that it adds up."""

    def __init__(self, tenant_id: UUID, wanted: UsageFilter, group_by: Sequence[Dimension]) -> None:
        self.parameters: list[Any] = [tenant_id]
        self._wanted = wanted
        self._group_by = group_by

    def parameter(self, value: object) -> str:
        """The place of a value."""
        self.parameters.append(value)
        return f"${len(self.parameters)}"

    def source(self, reading: Reading, alone: str | None) -> str:
        """The rows to add up, with the keys k0, k1 ... of their groups."""
        parts: list[str] = []
        if reading.days:
            first, last = (self.parameter(list(column)) for column in zip(*reading.days, strict=True))
            days = f"unnest({first}::date[], {last}::date[]) AS span (first, past)"
            if alone == TOGETHER:
                on = "u.tenant_id = $1 AND u.day >= span.first AND u.day < span.past"
                parts.append(self._part(f"{days} JOIN usage_day u ON {on}", {}, MEASURES, known=TOGETHER_COLUMNS))
            else:
                on = (
                    f"u.tenant_id = $1 AND u.dimension = {self.parameter(alone)} "
                    "AND u.day >= span.first AND u.day < span.past"
                )
                parts.append(self._part_alone(f"{days} JOIN usage_day_alone u ON {on}", str(alone)))
        if reading.hours:
            starts = self.parameter([hour.start for hour in reading.hours])
            labels, named = self._labels(reading.hours)
            hours = (
                f"unnest({', '.join([f'{starts}::timestamptz[]', *labels])}) AS span ({', '.join(['hour', *named])})"
            )
            on = "u.tenant_id = $1 AND u.hour = span.hour"
            parts.append(self._part(f"{hours} JOIN usage_hour u ON {on}", named, MEASURES, known=TOGETHER_COLUMNS))
        if reading.raw:
            starts, ends = (self.parameter([span[column] for span in reading.raw]) for column in (0, 1))
            labels, named = self._labels(reading.raw)
            arrays = ", ".join([f"{starts}::timestamptz[]", f"{ends}::timestamptz[]", *labels])
            spans = f"unnest({arrays}) AS span ({', '.join(['start', 'past', *named])})"
            # The whole beside the spans: partitions that lie outside are not even planned for.
            first, last = self.parameter(reading.raw[0].start), self.parameter(reading.raw[-1].end)
            whole = f"u.occurred_at >= {first} AND u.occurred_at < {last}"
            on = f"u.tenant_id = $1 AND {whole} AND u.occurred_at >= span.start AND u.occurred_at < span.past"
            for table, measures in (("usage_event", EVENT_MEASURES), ("usage_amendment", AMENDMENT_MEASURES)):
                rows = self._part(f"{spans} JOIN {table} u ON {on}", named, (measures,), known=_FILTERS)
                parts.append(self._added_up(rows))
        return " UNION ALL ".join(parts) or self._nothing()

    def _labels(self, spans: Sequence[Span]) -> tuple[list[str], dict[str, Dimension]]:
        """The periods of each span as arrays, reckoned here once instead of for every row; and their names in `span`."""
        arrays: list[str] = []
        named: dict[str, Dimension] = {}
        for dimension in self._group_by:
            if dimension in TIMES:
                arrays.append(f"{self.parameter([_label(dimension, span.day) for span in spans])}::text[]")
                named[dimension.value.lower()] = dimension
        return arrays, named

    def _part(
        self, tables: str, labelled: Mapping[str, Dimension], measures: Sequence[str], known: Sequence[str]
    ) -> str:
        if Dimension.TAG in self._group_by:
            tables += " LEFT JOIN LATERAL jsonb_each_text(u.tags) AS tag ON true"
        if self._wanted.client or Dimension.CLIENT in self._group_by:
            # A campaign knows its client.
            tables += " LEFT JOIN scope c ON c.tenant_id = $1 AND c.kind = 'CAMPAIGN' AND c.id = u.campaign"
        columns = {column: f"u.{column}" for column in known} | {
            "client": "coalesce(u.client, c.client)",
            "tag": "tag.key || '=' || tag.value",
        }
        conditions = self._conditions(columns)
        conditions.extend(f"u.tags @> {self.parameter(json(dict([pair])))}::jsonb" for pair in self._wanted.tags)
        columns.update({name: f"span.{name}" for name in labelled})
        return self._select(tables, columns, measures, conditions)

    def _added_up(self, rows: str) -> str:
        """The same rows, added up at once: integers are, while they are no numerics yet, as those of the rollups."""
        keys = [f"k{index}" for index in range(len(self._group_by))]
        group_by = f" GROUP BY {', '.join(keys)}" if keys else ""
        sums = [f"sum({measure}) AS {measure}" for measure in MEASURES]
        return f"SELECT {', '.join([*keys, *sums])} FROM ({rows}) AS raw{group_by}"

    def _part_alone(self, tables: str, alone: str) -> str:
        columns = {column: f"u.{column}" for column in ALONE_COLUMNS} | {alone.lower(): "u.value"}
        conditions = self._conditions(columns)
        if self._wanted.tags:
            ((key, value),) = self._wanted.tags
            conditions.append(f"u.value = {self.parameter(f'{key}={value}')}")
        return self._select(tables, columns, MEASURES, conditions)

    def _conditions(self, columns: dict[str, str]) -> list[str]:
        return [
            f"{columns[column]} = ANY({self.parameter([str(value) for value in values])}::text[])"
            for column in _FILTERS
            if (values := getattr(self._wanted, column))
        ]

    def _select(self, tables: str, columns: dict[str, str], measures: Sequence[str], conditions: Sequence[str]) -> str:
        known = _PERIODS_OF_DAYS | columns
        keys = [f"{known[dimension.value.lower()]} AS k{index}" for index, dimension in enumerate(self._group_by)]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"SELECT {', '.join([*keys, *measures])} FROM {tables}{where}"

    def _nothing(self) -> str:
        keys = [f"NULL::text AS k{index}" for index in range(len(self._group_by))]
        return f"SELECT {', '.join([*keys, *(f'0 AS {measure}' for measure in MEASURES)])} WHERE false"
