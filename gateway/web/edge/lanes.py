"""Which requests may be hits: plain ones, to a read door. Owns no connection."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from starlette.routing import BaseRoute, Route

from gateway import request_ids
from gateway.features import Priority, ServiceRef
from gateway.web.edge.framing import Framing, Head
from gateway.web.endpoints import ReadFeatures
from gateway.web.exchange import priority_of

_KEEP_ALIVE = b"keep-alive"
_HELD_BACK = frozenset({b"expect", b"upgrade"})
_SAID_ONCE = (b"authorization", b"traceparent", b"connection", request_ids.HEADER)
REMEMBERED_BYTES = 2_048
"""Longer heads are read anew each time."""
_REMEMBERED = 512


class Lane(NamedTuple):
    """What may answer a request below ASGI, and what it reads of the head."""

    endpoint: ReadFeatures
    path: ServiceRef | None
    authorization: bytes | None
    traceparent: bytes | None
    request_id: str | None
    priority: Priority


class Lanes:
    """The read doors, found by a request's target. Targets with escapes or a query are left to Starlette's router."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._exact: dict[bytes, ReadFeatures] = {}
        self._by_tail: dict[bytes, tuple[re.Pattern[str], ReadFeatures]] = {}
        for route in routes:
            if isinstance(route, Route) and isinstance(route.app, ReadFeatures):
                if route.param_convertors:
                    self._by_tail[route.path.rpartition("/")[2].encode()] = (route.path_regex, route.app)
                else:
                    self._exact[route.path.encode()] = route.app

    def find(self, target: bytes) -> tuple[ReadFeatures, ServiceRef | None] | None:
        """The endpoint of a read door, and the feature service where the path names it."""
        endpoint = self._exact.get(target)
        if endpoint is not None:
            return endpoint, None
        pattern = self._by_tail.get(target.rpartition(b"/")[2])
        if pattern is None or not target.isascii() or b"%" in target or b"?" in target or b"#" in target:
            return None
        match = pattern[0].match(target.decode("ascii"))
        return None if match is None else (pattern[1], ServiceRef(match["workspace"], match["feature_service"]))

    def lane(self, head: Head) -> Lane | None:
        """The lane of a plain request: POST to a read door, HTTP/1.1, a Content-Length, no Expect, no Upgrade, no Connection but one that
        says what goes without saying (httpx does, and with it the official client), nothing said twice that a hit looks at. None for
        whatever else there is: ASGI has it."""
        fields = head.fields
        if head.method != b"POST" or head.version != "1.1" or b"content-length" not in fields:
            return None
        if fields.get(b"connection", _KEEP_ALIVE).lower() != _KEEP_ALIVE:
            return None
        found = self.find(head.target)
        if found is None or not _HELD_BACK.isdisjoint(fields) or head.repeats(_SAID_ONCE):
            return None
        endpoint, path = found
        named = endpoint.priority_header
        if named is not None and head.repeats((named,)):
            return None
        return Lane(
            endpoint,
            path,
            fields.get(b"authorization"),
            fields.get(b"traceparent"),
            request_ids.taken(fields.get(request_ids.HEADER)),
            priority_of(None if named is None else fields.get(named)),
        )


class KnownHeads:
    """Heads of requests to read doors, with their lanes, by their bytes. Clients send the same head again and again, and many send the same
    as others: their connections then look at the same objects."""

    def __init__(self, framing: Framing, lanes: Lanes) -> None:
        self._framing = framing
        self._lanes = lanes
        self._known: dict[bytes, tuple[Head, Lane]] = {}

    def read(self, raw: bytes) -> tuple[Head, Lane | None]:
        """A head that ends where `raw` does, and its lane, if it has one. Raises as `Framing.head`."""
        known = self._known.get(raw)
        if known is not None:
            return known
        head = self._framing.head(raw)
        lane = self._lanes.lane(head)
        if lane is not None and len(raw) <= REMEMBERED_BYTES:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[raw] = head, lane
        return head, lane

    def __len__(self) -> int:
        return len(self._known)
