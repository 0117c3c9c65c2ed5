"""The templates of the console, and how numbers are told in them. Whatever is put into a page is escaped.

A page is made on a thread: reads do not wait for it.
"""

import asyncio
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway.errors import GatewayError, PermissionDenied
from gateway.web.console.visitors import Visitor

_FOLDER = Path(__file__).parent / "templates"
_NOTHING = "\u2013"
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_AGES = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))


class Pages:
    """`about`: what every page says of the gateway, and which of the pages there are."""

    def __init__(self, about: Mapping[str, object]) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(_FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters.update(FILTERS)
        self._templates.globals["about"] = about

    async def make(self, name: str, visitor: Visitor | None, /, **told: object) -> bytes:
        return await asyncio.to_thread(self.make_at_once, name, visitor, **told)

    def make_at_once(self, name: str, visitor: Visitor | None, /, **told: object) -> bytes:
        return self._templates.get_template(name).render(visitor=visitor, **told).encode()

    def tell_error(self, error: GatewayError, status: int, visitor: Visitor | None) -> bytes:
        return self.make_at_once("error.html", visitor, error=error, status=status, denied=isinstance(error, PermissionDenied))


def count(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:,.0f}"


def rate(value: float | None) -> str:
    """Per second."""
    if value is None:
        return _NOTHING
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def percent(value: float | None) -> str:
    """Never rounded to all or nothing where it is neither."""
    if value is None:
        return _NOTHING
    if 0.9995 <= value < 1:
        return f"{math.floor(value * 1e5) / 1e3:.3f}%"
    return f"{value:.1%}" if value == 0 or value >= 0.0005 else "<0.1%"


def duration(ms: float | None) -> str:
    if ms is None:
        return _NOTHING
    if ms < 1:
        return f"{ms * 1000:.0f} µs"
    return f"{ms:.1f} ms" if ms < 100 else f"{ms:,.0f} ms" if ms < 10_000 else f"{ms / 1000:,.1f} s"


def age(seconds: float | None) -> str:
    if seconds is None or math.isinf(seconds):
        return _NOTHING
    for unit_s, unit in _AGES:
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:,.0f} {unit}"
    if 0 < seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:,.0f} s" if seconds >= 10 or seconds == int(seconds) else f"{seconds:.1f} s"


def size(amount: float | None) -> str:
    if amount is None:
        return _NOTHING
    step = min(len(_UNITS) - 1, int(math.log(amount, 1024))) if amount >= 1 else 0
    told = amount / 1024**step
    return f"{told:,.0f} {_UNITS[step]}" if step == 0 or told >= 100 else f"{told:.1f} {_UNITS[step]}"


def instant(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def burn(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def part_of_path(name: str) -> str:
    return quote(name, safe="")


FILTERS: Mapping[str, Callable[[Any], str]] = {
    "count": count,
    "rate": rate,
    "percent": percent,
    "duration": duration,
    "age": age,
    "bytes": size,
    "instant": instant,
    "burn": burn,
    "part_of_path": part_of_path,
}
"""By which names templates know them."""
