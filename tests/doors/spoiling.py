"""The administrative doors' own examples, each spoilt in one place after the other."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

from gateway.settings import Paths
from gateway.web.openapi import document

Place = tuple[str | int, ...]
_PLAIN, _WHOLE = document(version="1"), document(version="1", administered=Paths())
ADMINISTRATIVE: Sequence[str] = [
    f"{verb.upper()} {path}"
    for path, item in _WHOLE["paths"].items()
    for verb in item
    if path not in _PLAIN["paths"] and verb != "parameters" and not path.startswith("/oauth2/")
]
"""Every method of every route that asks for an account's credential."""


def examples(route: str) -> Sequence[Any]:
    """The JSON bodies that the description shows for this route, each once; none where it takes none."""
    method, path = route.split(" ")
    told = _WHOLE["paths"][path][method.lower()].get("requestBody", {"content": {}})
    shown: list[Any] = []
    for media in told["content"].values():
        shown += [one["value"] for one in media["examples"].values() if one["value"] not in shown]
    return shown


def places(body: Any, at: Place = ()) -> Iterator[Place]:
    """Of every value in it, itself included."""
    yield at
    items = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for name, value in items:
        yield from places(value, (*at, name))


def spoilt(body: Any, at: Place, change: Callable[[Any], Any]) -> Any:
    """The same, but for what stands there."""
    if not at:
        return change(body)
    changed = deepcopy(body)
    holder = changed
    for step in at[:-1]:
        holder = holder[step]
    holder[at[-1]] = change(holder[at[-1]])
    return changed


def replaced(body: Any, at: Place, value: object) -> Any:
    """The same, with this there."""
    return spoilt(body, at, lambda _: value)
