"""Replies to the cache machine's reads, taken apart and spelled again: what is told of each feature, whichever door told it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.features import ReadOptions
from gateway.serving.doors import Staleness
from tests.serving.cache_world import Row, Service, variant

UNTOLD: Any = object()


class Broken(AssertionError):
    """A promise was."""


@dataclass(slots=True)
class Read:
    """A read, as it was asked and how it went. `told`: what the reply says beside values, in the named door's words. `budget_s`: the time
    that it names. `slo`: with times in it that are nobody's to foretell. `alone`: no other read was under way."""

    door: str
    service: Service
    caller: str
    key: bytes
    rows: Sequence[Row]
    told: frozenset[str]
    options: ReadOptions = ReadOptions()  # noqa: RUF009 - immutable
    selectors: Sequence[str] | None = None
    max_age_s: float | None = None
    budget_s: float | None = None
    slo: bool = False
    begin_seq: int = 0
    begin_s: float = 0.0
    end_seq: int = 0
    end_s: float = 0.0
    alone: bool = True
    body: bytes | None = None
    stale: Staleness | None = None
    error: BaseException | None = None

    def __str__(self) -> str:
        when = f"#{self.begin_seq}-{self.end_seq}, {self.begin_s}-{self.end_s} s"
        return f"{self.door} of {self.service.ref} by {self.caller} for {self.rows} ({when})"

    @property
    def variant(self) -> tuple[object, ...]:
        return variant(self.options)

    @property
    def tecton(self) -> bool:
        return self.door.startswith("tecton")


@dataclass(frozen=True, slots=True)
class Told:
    """One feature of a reply, or of one row. `name` None: the reply has none."""

    name: Any
    value: Any
    status: Any = UNTOLD
    time: Any = UNTOLD
    dtype: Any = UNTOLD
    source: Any = UNTOLD
    age_s: Any = UNTOLD


def features_of(read: Read, document: Any) -> Iterator[list[Told] | Mapping[str, Any]]:
    """Per row: its features in served order; or its error."""
    if read.tecton:
        batch = read.door == "tecton_batch"
        items = document.get("metadata", {}).get("features")
        for number, row in enumerate(document["result"] if batch else [document["result"]]):
            yield [
                _of_item(read, value, None if items is None else items[place], number if batch else None)
                for place, value in enumerate(row["features"])
            ]
        return
    for row in document["rows"] if read.door == "named_batch" else [document]:
        if "error" in row:
            yield row["error"]
            continue
        maps = [row.get(name) for name in ("status", "effectiveTime", "dataType", "source", "ageSeconds")]
        yield [Told(name, value, *[UNTOLD if one is None else one[name] for one in maps]) for name, value in row["features"].items()]


def _of_item(read: Read, value: Any, item: Mapping[str, Any] | None, number: int | None) -> Told:
    """`number`: the row's, in a batch, whose items have a status for each row and one effective time for all."""
    if item is None:
        return Told(None, value)
    status = item.get("status", UNTOLD)
    if number is not None and status is not UNTOLD:
        status = status[number]
    time = item.get("effectiveTime") if "effectiveTime" in read.told and number is None else UNTOLD
    if "labels" in read.told and item.get("description") not in (None, f"This is {item.get('name')}."):
        raise Broken(f"{item} has another feature's description")
    return Told(item.get("name"), value, status, time, item.get("dataType", UNTOLD))


_ITEM = ("name", "effectiveTime", "dataType", "status")
_MAPS = ("features", "status", "effectiveTime", "ageSeconds", "source", "dataType")


def spelled(read: Read, document: Any) -> bytes:
    """The same document, as the doors spell it: members in their order, no spaces, ages in milliseconds."""
    if not read.tecton:
        rows = [_spelled_row(row) for row in (document["rows"] if read.door == "named_batch" else [document])]
        return (f'{{"rows":[{",".join(rows)}]}}' if read.door == "named_batch" else rows[0]).encode()
    if "metadata" not in document:
        return _json({"result": document["result"]}).encode()
    told = document["metadata"]
    items = [{name: item[name] for name in _ITEM if name in item} for item in told.get("features", ())]
    metadata = ({"features": items} if items else {}) | ({"partialResults": True} if "partialResults" in told else {})
    return _json({"result": document["result"], "metadata": metadata}).encode()


def _spelled_row(row: Mapping[str, Any]) -> str:
    if "error" in row:
        known = ("message", "code", "retryAfterSeconds")  # in this order; the last where it is known when to come again
        return _json({"error": {name: row["error"][name] for name in known if name in row["error"]}})
    members = []
    for name in _MAPS:
        if name == "ageSeconds" and name in row:
            members.append('"ageSeconds":{' + ",".join([f"{_json(feature)}:{age_s:.3f}" for feature, age_s in row[name].items()]) + "}")
        elif name in row:
            members.append(f"{_json(name)}:{_json(row[name])}")
    return "{" + ",".join(members) + "}"


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
