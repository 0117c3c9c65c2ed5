"""What is asked for: join keys and request context, from the demo's flights in the order they left, or drawn by Zipf's law from whatever
schema a feature service has."""

import random
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, count
from typing import Any, NamedTuple, Protocol

from gateway.demo.flights import FlightRecord, read_flights

FLIGHT_KEYS = ("origin", "dest", "carrier", "tailnum")
_EXPONENT = 1.1
_POPULATION = 100_000


class Asked(NamedTuple):
    """One row of a read."""

    join_keys: dict[str, Any]
    context: dict[str, Any]


class SchemaDocument(NamedTuple):
    """Of a feature service: its join keys and context keys with their types, as `GET …/schema` names them."""

    join_keys: Mapping[str, str]
    context_keys: Mapping[str, str]

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "SchemaDocument":
        return cls(_types(told["joinKeys"]), _types(told["requestContext"]))


def _types(fields: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {field["name"]: field["dataType"]["type"] for field in fields}


class KeySource(Protocol):
    def draw(self) -> Asked: ...


def context_of(schema: SchemaDocument, chance: random.Random) -> dict[str, Any]:
    """A value for each context key, another one nearly every time, as a model service sends them."""
    drawn: dict[str, Any] = {}
    for name, kind in schema.context_keys.items():
        if kind not in _CONTEXT_VALUES:
            raise ValueError(f"context key {name} is of the type {kind}: only {', '.join(_CONTEXT_VALUES)} can be made up")
        drawn[name] = _CONTEXT_VALUES[kind](chance)
    return drawn


_CONTEXT_VALUES = {
    "float64": lambda chance: round(chance.uniform(1, 500), 1),
    "float32": lambda chance: round(chance.uniform(1, 500), 1),
    "int64": lambda chance: chance.randrange(1, 10_000),
    "string": lambda chance: f"context-{chance.randrange(10_000)}",
    "boolean": lambda chance: chance.random() < 0.5,
}


class FlightKeys:
    """The demo's flights in time order, round and round. Of `shares` sources that go on side by side, this is number `share`: together they
    read every flight once a round."""

    def __init__(self, schema: SchemaDocument, share: int = 0, shares: int = 1, seed: int = 1) -> None:
        strangers = set(schema.join_keys).difference(FLIGHT_KEYS)
        if strangers:
            raise ValueError(f"flights have no {', '.join(sorted(strangers))}: draw join keys with --keys zipf")
        self._schema = schema
        self._chance = random.Random(f"{seed}/{share}")
        self._flights = self._round(list(read_flights()), share, shares)

    @staticmethod
    def _round(flights: Sequence[FlightRecord], share: int, shares: int) -> Iterator[FlightRecord]:
        for number in count(share, shares):
            yield flights[number % len(flights)]

    def draw(self) -> Asked:
        flight = next(self._flights)
        return Asked({name: flight[name] for name in self._schema.join_keys}, context_of(self._schema, self._chance))


class ZipfKeys:
    """Join keys of `population` entities, each key by itself: the entity of rank r is asked for in proportion to 1 / r ** `exponent`.
    Texts are `name-rank`, or as `templates` have it (`{}` stands for the rank); numbers are the rank."""

    def __init__(
        self,
        schema: SchemaDocument,
        population: int = _POPULATION,
        exponent: float = _EXPONENT,
        seed: int | str = 1,
        templates: Mapping[str, str] | None = None,
    ) -> None:
        self._schema = schema
        self._chance = random.Random(seed)
        self._reach = list(accumulate(1 / rank**exponent for rank in range(1, population + 1)))
        self._templates = templates or {}
        for name, kind in schema.join_keys.items():
            if kind not in {"string", "int64"}:
                raise ValueError(f"join key {name} is of the type {kind}: only string and int64 can be made up")

    def rank(self) -> int:
        """From 1, the most popular."""
        return bisect_left(self._reach, self._chance.random() * self._reach[-1]) + 1

    def draw(self) -> Asked:
        keys = {name: self._key(name, kind, self.rank()) for name, kind in self._schema.join_keys.items()}
        return Asked(keys, context_of(self._schema, self._chance))

    def _key(self, name: str, kind: str, rank: int) -> str | int:
        return rank if kind == "int64" else self._templates.get(name, f"{name}-{{}}").replace("{}", str(rank))
