"""The first page, and what its script asks for every two seconds to keep it alive."""

import asyncio

import msgspec

from gateway.errors import InvalidRequest
from gateway.web.console.door import Asked, Told
from gateway.web.console.figures import house_of
from gateway.web.console.objectives import Objectives
from gateway.web.console.pages import Pages
from gateway.web.console.totals import Point
from gateway.web.console.watch import EVERY_S, KEPT_S, Look, Watch

CHARTS = (
    ("reads", "Reads", "per second"),
    ("cache", "From the cache", "% of"),
    ("times", "Time of a read", "ms"),
    ("errors", "Errors, by fault", "per second"),
    ("calls", "Calls to the origin", "per second"),
    ("origin", "Origin, p95", "ms"),
)
"""Name, title and unit; which numbers they show the script knows."""
_PARTS = ("tiles", "objectives", "origin", "cache", "workers")
_JSON = "application/json"


class Overview:
    def __init__(self, watch: Watch, objectives: Objectives, pages: Pages) -> None:
        self._watch = watch
        self._objectives = objectives
        self._pages = pages

    async def page(self, asked: Asked) -> Told:
        look, told = await self._told()
        return Told(await self._pages.make("overview.html", asked.visitor, page="overview", at_s=look.at_s, charts=CHARTS, **told))

    async def live(self, asked: Asked) -> Told:
        """The parts of the page as they are now, and the points since `since` (seconds since 1970), oldest first."""
        since_s = _since(asked.query.get("since", "0"))
        look, told = await self._told()
        points = [point for point in self._watch.points if point.at_s > since_s]
        parts = await asyncio.to_thread(self._parts, told)
        body = {"at": look.at_s, "every": EVERY_S, "kept": KEPT_S, "fields": Point._fields, "points": points, "parts": parts}
        return Told(msgspec.json.encode(body), content_type=_JSON)

    async def _told(self) -> tuple[Look, dict[str, object]]:
        look, now = await self._watch.look(), await self._watch.now()
        return look, await asyncio.to_thread(self._figures, look, now)

    def _figures(self, look: Look, now: Point) -> dict[str, object]:
        return {"now": now, "house": house_of(look.reports, look.at_s), "slos": self._objectives.of(look.reports)}

    def _parts(self, told: dict[str, object]) -> dict[str, str]:
        return {name: self._pages.make_at_once("part.html", None, part=name, **told).decode() for name in _PARTS}


def _since(text: str) -> float:
    try:
        since_s = float(text)
    except ValueError:
        raise InvalidRequest("since: not a number of seconds") from None
    return since_s
