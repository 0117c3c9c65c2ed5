"""Cache keys: canonical, typed, and never shared by two things that differ.

A key is `(namespace, join-key values…)`. A namespace is a small integer that stands for everything else that makes a fragment what it is:
workspace, view, the features with their types, the join keys with their types. Within one namespace every position has one type, so `1`
and `"1"` and `true` cannot meet; join-key order does not matter because values stand in schema order.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from operator import itemgetter
from typing import Any

from gateway.features import Field, ViewLayout

Key = tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class Namespace:
    """What a namespace's number stands for. `view`: what the origin calls the view by itself, where it says so; two services may serve two
    views under one name. A key's values stand in the order of `join_keys`."""

    workspace: str
    layout: ViewLayout
    join_keys: tuple[Field, ...]
    context_keys: tuple[Field, ...] = ()
    view: str | None = None

    def base(self, number: int, values: Sequence[Hashable]) -> "Base":
        """The beginning of the keys of these join-key values, in order."""
        return number, values[0] if len(values) == 1 else tuple(values)


Base = tuple[int, Hashable]
"""The beginning of a key: namespace and join-key values. Keys of other request contexts and options follow on it."""


class Namespaces:
    """Numbers namespaces as they are met. One per cache; it grows with the number of schemas seen, not with traffic."""

    def __init__(self) -> None:
        self._numbers: dict[Namespace, int] = {}
        self._next = count()

    def number(self, namespace: Namespace) -> int:
        number = self._numbers.get(namespace)
        if number is None:
            number = self._numbers[namespace] = next(self._next)
        return number

    def known(self) -> Iterator[tuple[int, Namespace]]:
        """All that have a number now."""
        for namespace, number in list(self._numbers.items()):
            yield number, namespace

    def renew(self) -> None:
        """Give numbers that were never given before from now on. What is still under way with the old ones is never found by those who have
        the new: a fetch that began before a change cannot bring its values into what is served after it."""
        self._numbers.clear()


@dataclass(frozen=True, slots=True)
class Scope:
    """Which entries a purge means. `bases`: those of exactly these join keys, whatever their context and options. `parts`, by namespace:
    those whose join-key values are these at these positions; without any, all of the namespace. `everything`: every one."""

    bases: frozenset[Base] = field(default=frozenset(), repr=False)
    parts: Mapping[int, tuple[tuple[int, Hashable], ...]] = field(default_factory=dict, repr=False)
    everything: bool = False

    def covers(self, key: Key) -> bool:
        if self.everything or key[:2] in self.bases:
            return True
        wanted = self.parts.get(key[0])  # type: ignore[call-overload]  # a key begins with its namespace
        if wanted is None:
            return False
        values = key[1] if type(key[1]) is tuple else (key[1],)
        return all((values[position],) == (value,) for position, value in wanted)  # as a dictionary compares: NaN is itself

    def __bool__(self) -> bool:
        return self.everything or bool(self.bases) or bool(self.parts)


def picker(positions: Sequence[int]) -> Callable[[tuple[Any, ...]], Hashable]:
    """The join-key values at these positions, as one hashable: a bare value where there is one, else a tuple."""
    if not positions:
        return lambda _: ()
    return itemgetter(*positions)


def context_part(context: Mapping[str, Any], names: Sequence[str]) -> str:
    """The request context as a part of a key, for views that depend on it: the typed values in schema order, as unambiguous text.

    `repr` tells NaN, infinities, None, numbers and quoted strings apart; JSON would not.
    """
    return repr([_ordered(context.get(name)) for name in names])


def _ordered(value: Any) -> Any:
    if type(value) is dict:
        return sorted((name, _ordered(inner)) for name, inner in value.items())
    return [_ordered(inner) for inner in value] if type(value) is list else value
