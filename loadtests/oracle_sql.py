"""Feature views as SQL over the raw rows, from what their definitions mean, and DuckDB to run it.

Nothing here knows tiles, states or stores: a window is a WHERE clause. What the definitions leave open is settled so:

- An event is a timestamp and the source's record key (without one: the view's join keys); of records of one event the last sent counts.
- Events of one timestamp are ordered by the bytes of their record key in msgpack. In SQL: column after column, text by its length in bytes
  and then by its bytes, for msgpack puts the length first; integers that are not negative by their value.
- Windows are half open. They end at the instant, or at the last whole interval before or at it; null values are not seen.
"""

# ruff: noqa: S608 - names come from our own definitions, values are parameters

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb

from gateway.feature_server.definitions import Aggregation, FeatureView, Source, Workspace
from gateway.features import Kind

NS_PER_S = 1_000_000_000
Key = tuple[int | str | None, ...]
_RAW = """
CREATE TABLE raw AS SELECT * FROM read_csv($path, header = true, all_varchar = true, nullstr = ['NA', '']);
"""
_DERIVED = """
CREATE TABLE flight AS
WITH scheduled AS (
  SELECT rowid AS sent, *, strptime(time_hour, '%Y-%m-%dT%H:%M:%SZ') + to_minutes(minute::BIGINT) AS scheduled_departure FROM raw
)
SELECT sent, epoch_ns(scheduled_departure) AS at_ns, scheduled_departure, carrier, flight::BIGINT AS flight, origin, dest,
  coalesce(tailnum, 'UNASSIGNED') AS tailnum, distance::BIGINT AS distance, dep_delay::DOUBLE AS dep_delay, arr_delay::DOUBLE AS arr_delay,
  air_time::DOUBLE AS air_time, scheduled_departure + to_minutes(dep_delay::BIGINT) AS departed_at, dep_delay IS NULL AS cancelled,
  (distance::BIGINT * 60)::DOUBLE / air_time::DOUBLE AS speed
FROM scheduled;
"""


@dataclass(frozen=True, slots=True)
class Read:
    """One question: a view, its join keys (None: not given), and an instant in nanoseconds; None: as of the view's newest event."""

    view: FeatureView
    key: Key
    at_ns: int | None
    zero_counts: bool = False


class Oracle:
    """The raw rows in DuckDB's memory, and what they say. `close` it."""

    def __init__(self, raw: Path, workspace: Workspace, threads: int = 2) -> None:
        self._duckdb = duckdb.connect(config={"threads": threads})
        self._views: dict[str, _ViewSql] = {}
        self._duckdb.execute(_RAW, {"path": str(raw)})
        self._duckdb.execute(_DERIVED)
        sources = {source.name: source for source in workspace.sources}
        for view in workspace.views:
            sql = self._views[view.name] = _ViewSql(view, sources[view.source])
            self._duckdb.execute(sql.create)

    def close(self) -> None:
        self._duckdb.close()

    def answer(self, read: Read, percentiles: Sequence[float | None] = ()) -> list[Any] | None:
        """What is known of each served value, in served order (see `_ViewSql.evidence`); for attributes the values, None without an event.
        `percentiles`: the values whose ranks are wanted, one for each approximate percentile of the view."""
        parameters: dict[str, object] = {f"key{place}": value for place, value in enumerate(read.key)}
        parameters |= {"at": read.at_ns}
        parameters |= {f"value{place}": value for place, value in enumerate(percentiles)}
        found = self._duckdb.execute(self._views[read.view.name].select, parameters).fetchone()
        return None if found is None else list(found)

    def newest(self, view: FeatureView) -> str | None:
        """The timestamp of the view's newest event."""
        return self._one(f"SELECT {_spelled('max(scheduled_departure)')} FROM {_table(view)}")  # type: ignore[no-any-return]

    def events(self, view: FeatureView, limit: int, seed: int) -> list[tuple[Key, int]]:
        """Events drawn at random, as key and timestamp: a key is as likely as it has events. Hashed, because what several threads draw from
        `random()` differs from run to run."""
        return self._keyed(
            view, f"SELECT {', '.join(view.join_keys)}, at_ns FROM {_table(view)} ORDER BY hash(place, {seed}) LIMIT {limit}"
        )

    def rare(self, view: FeatureView, limit: int) -> list[tuple[Key, int]]:
        """Of keys that have the fewest events, one each."""
        keys = ", ".join(view.join_keys)
        return self._keyed(view, f"SELECT {keys}, max(at_ns) FROM {_table(view)} GROUP BY ALL ORDER BY count(*), {keys} LIMIT {limit}")

    def _keyed(self, view: FeatureView, select: str) -> list[tuple[Key, int]]:
        rows = self._duckdb.execute(select).fetchall()
        return [(row[: len(view.join_keys)], row[-1]) for row in rows]

    def _one(self, select: str) -> Any:
        found = self._duckdb.execute(select).fetchone()
        assert found is not None
        return found[0]


def _table(view: FeatureView) -> str:
    return f"view_{view.name}"


def _spelled(timestamp: str) -> str:
    """RFC 3339, as it is served: the flights' timestamps are whole seconds."""
    return f"strftime({timestamp}, '%Y-%m-%dT%H:%M:%SZ')"


class _ViewSql:
    """One view's statements."""

    def __init__(self, view: FeatureView, source: Source) -> None:
        self._view = view
        self._source = source

    @cached_property
    def create(self) -> str:
        """The view's events, each with its place in their total order."""
        keys = self._source.record_key or self._view.join_keys
        kinds = {key: self._source.dtype(key).kind for key in keys}
        order = ", ".join(f"strlen({key}), {key}" if kinds[key] is Kind.STRING else key for key in keys)
        return (
            f"CREATE TABLE {_table(self._view)} AS"
            f" WITH kept AS (SELECT * FROM flight QUALIFY row_number() OVER (PARTITION BY at_ns, {', '.join(keys)} ORDER BY sent DESC) = 1)"
            f" SELECT *, row_number() OVER (ORDER BY at_ns, {order}) AS place FROM kept ORDER BY {', '.join(self._view.join_keys)}, at_ns"
        )

    @cached_property
    def select(self) -> str:
        return self._attributes() if self._view.attributes else self._windows()

    @property
    def _of_key(self) -> str:
        return " AND ".join(f"{key} = ${f'key{place}'}" for place, key in enumerate(self._view.join_keys))

    def _served(self, column: str, held_in: str | None = None) -> str:
        """A column's value as it is served, from the column itself or from what holds it."""
        held_in = held_in or column
        return _spelled(held_in) if self._source.dtype(column).kind is Kind.TIMESTAMP else held_in

    def _attributes(self) -> str:
        columns = ", ".join(self._served(one.column) for one in self._view.served_attributes)
        at = f"coalesce($at::BIGINT, (SELECT max(at_ns) + 1 FROM {_table(self._view)}))"
        young = "" if self._view.ttl_s is None else f" AND at_ns >= {at} - {self._view.ttl_s * NS_PER_S}"
        return f"SELECT {columns} FROM {_table(self._view)} WHERE {self._of_key} AND at_ns < {at}{young} ORDER BY place DESC LIMIT 1"

    def _windows(self) -> str:
        """One row: the evidence of every aggregation. `w`: the key's events before the end; each window takes its part of them."""
        percentiles = [one for one in self._view.served if one.function == "approx_percentile"]
        values = ", ".join(
            self.evidence(one, f"$value{percentiles.index(one)}::DOUBLE" if one in percentiles else "NULL") for one in self._view.served
        )
        return (
            f"WITH ends AS (SELECT {self._end()} AS end_ns),"
            f" w AS MATERIALIZED (SELECT e.*, end_ns FROM {_table(self._view)} AS e, ends WHERE {self._of_key} AND at_ns < end_ns)"
            f" SELECT {values} FROM w"
        )

    def _end(self) -> str:
        newest = f"(SELECT max(at_ns) FROM {_table(self._view)})"
        if self._view.interval_s is None:
            return f"coalesce($at::BIGINT, {newest} + 1)"
        interval_ns = self._view.interval_s * NS_PER_S
        at = f"coalesce($at::BIGINT, {newest} + {interval_ns})"  # the end of the interval that holds the newest event
        return f"({at} - (({at} % {interval_ns}) + {interval_ns}) % {interval_ns})"

    def evidence(self, one: Aggregation, value: str) -> str:
        """What decides about an aggregation's value. Of most functions the value itself; of means, variances and approximate ones the facts
        that `oracle_verdicts` judges them by. `value`: the parameter that holds the answer whose rank is wanted."""
        seen = f"{one.column} IS NOT NULL" + ("" if one.window_s is None else f" AND at_ns >= end_ns - {one.window_s * NS_PER_S}")
        if one.function in {"first_distinct_n", "last_distinct_n"}:
            return self._distinct_end(one, seen)
        facts = self._facts(one, seen, value)
        of_seen = [fact.replace("#", f"FILTER (WHERE {seen})") for fact in facts]
        return of_seen[0] if len(facts) == 1 else f"struct_pack({', '.join(f'p{place} := {fact}' for place, fact in enumerate(of_seen))})"

    def _distinct_end(self, one: Aggregation, seen: str) -> str:
        end, direction = ("max", "DESC") if one.function == "last_distinct_n" else ("min", "ASC")
        places = f"SELECT {one.column} AS x, {end}(place) AS p FROM w WHERE {seen} GROUP BY x ORDER BY p {direction} LIMIT {one.n}"
        return f"(SELECT list({self._served(one.column, 'x')} ORDER BY p) FROM ({places}))"

    def _facts(self, one: Aggregation, seen: str, value: str) -> tuple[str, ...]:
        """Expressions over `w`; `#` stands for the filter that lets them see the window alone."""
        column, served = one.column, self._served(one.column)
        match one.function:
            case "count":
                return (f"nullif(count({column}) #, 0)",)
            case "count_distinct" | "approx_count_distinct":
                return (f"nullif(count(DISTINCT {column}) #, 0)",)
            case "min" | "max":
                return (f"{one.function}({served}) #",)
            case "first":
                return (f"min_by({served}, place) #",)
            case "last":
                return (f"max_by({served}, place) #",)
            case "first_n":
                return (f"min_by({served}, place, {one.n}) #",)
            case "last_n":
                return (f"list_reverse(max_by({served}, place, {one.n}) #)",)
            case "approx_percentile":
                below, upto = (f"count({column}) FILTER (WHERE {seen} AND {column} {what} {value})" for what in ("<", "<="))
                return f"count({column}) #", below, upto
            case _:
                return self._moments(one, seen)

    def _moments(self, one: Aggregation, seen: str) -> tuple[str, ...]:
        """Integers: count, sum, sum of squares, all exact. Floats: sums compensated, and variances in two passes, mean first."""
        column = one.column
        count = f"count({column}) #"
        if self._source.dtype(column).kind is Kind.INT64:
            return count, f"sum({column}::HUGEINT) #", f"sum({column}::HUGEINT * {column}) #"
        if one.function in {"sum", "mean"}:
            return count, f"fsum({column}) #", f"fsum(abs({column})) #", f"bool_and({column} = trunc({column})) #"
        mean = f"(SELECT fsum({column}) / count(*) FROM w WHERE {seen})"
        return count, mean, f"(SELECT fsum(({column} - {mean}) ** 2) FROM w WHERE {seen})"
