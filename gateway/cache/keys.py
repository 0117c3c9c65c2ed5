"""Cache keys: canonical, typed, and never shared by two things that differ.

A key is `(namespace, join-key values…)`. A namespace is a small integer that stands for everything else that makes a fragment what it is:
workspace, view, the features with their types, the join keys with their types. Within one namespace every position has one type, so `1`
and `"1"` and `true` cannot meet; join-key order does not matter because values stand in schema order.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import count
from operator import itemgetter
from typing import Any

from gateway.features import Field, ViewLayout

Key = tuple[Hashable, ...]


class Namespaces:
    """Numbers namespaces as they are met. One per cache; it grows with the number of schemas seen, not with traffic."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[Hashable, ...], int] = {}
        self._next = count()

    def number(
        self, workspace: str, layout: ViewLayout, join_keys: Sequence[Field], context_keys: Sequence[Field], view: str | None = None
    ) -> int:
        """`view`: what the origin calls the view by itself, where it says so; two services may serve two views under one name."""
        identity = (workspace, layout, tuple(join_keys), tuple(context_keys), view)
        number = self._numbers.get(identity)
        if number is None:
            number = self._numbers[identity] = next(self._next)
        return number

    def renew(self) -> None:
        """Give numbers that were never given before from now on. What is still under way with the old ones is never found by those who have
        the new: a fetch that began before a change cannot bring its values into what is served after it."""
        self._numbers.clear()


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
