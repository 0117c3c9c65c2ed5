"""What a mistake is, and the rules that hold for names and lists of every kind.

Knows nothing of what the names belong to.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SERVICE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_:.\-]*")
WORKSPACE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")
MAX_NAME = 200
_SHOWN = 60
Where = tuple[str | int, ...]
"""The way to something in a definition: attributes, positions in tuples, and the names of what is known by name there (columns, inputs,
outputs, renames, tags)."""
Findings = Iterator[tuple[Where, str]]


@dataclass(frozen=True, slots=True)
class Mistake:
    """`where` starts at the repository; `subject` says the same in words."""

    where: Where
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.text}" if self.subject else self.text[:1].upper() + self.text[1:]


def within(where: Where, subject: str, findings: Findings) -> Iterator[Mistake]:
    """The findings of one definition, as mistakes of the repository that holds it."""
    return (Mistake((*where, *inner), subject, text) for inner, text in findings)


def names(what: str, where: Sequence[Where], given: Sequence[str], pattern: re.Pattern[str] = NAME) -> Findings:
    """Each of the right form, none twice. `where` has the place of each."""
    for place, name in zip(where, given, strict=True):
        if pattern.fullmatch(name) is None:
            yield place, f"{what} name {shown(name)} is not of the form {pattern.pattern}."
        elif len(name) > MAX_NAME:
            yield place, f"{what} name {shown(name)} is longer than {MAX_NAME} characters."
    yield from duplicates(what, where, given)


def duplicates(what: str, where: Sequence[Where], given: Sequence[str]) -> Findings:
    """At the second of them."""
    seen: dict[str, list[Where]] = {}
    for place, name in zip(where, given, strict=True):
        seen.setdefault(name, []).append(place)
    yield from ((places[1], f"{what} {shown(name)} is declared {len(places)} times.") for name, places in seen.items() if len(places) > 1)


def places(attribute: str, given: Sequence[object], *inner: str) -> list[Where]:
    return [(attribute, at, *inner) for at in range(len(given))]


def shown(name: str) -> str:
    """As it is where it can be a name; else quoted, escaped and cut."""
    return name if len(name) <= MAX_NAME and SERVICE_NAME.fullmatch(name) else ascii(name[:_SHOWN])


def listed(given: Iterable[str]) -> str:
    return ", ".join(sorted(given))
