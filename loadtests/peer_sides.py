"""The same questions and events as each side spells them, and its answers read back: users in, `Target` out; reply in, values out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from loadtests import peer_definitions
from loadtests.drivers import COUNT, Target
from loadtests.peer_data import COLUMNS, JOIN_KEY, TIMESTAMP, VIEW, Values, attributes

PUSH_SOURCE = "profiles"
SERVICE = "user_profile_v1"
Users = Sequence[int]
_MOMENT = f"2025-12-15T00:00:@s.{COUNT}Z"
"""When an ingested event happened: a second for each measurement, a microsecond for each of its requests, so that no event comes twice."""


class Side(Protocol):
    """One server and its spelling."""

    @property
    def name(self) -> str: ...

    def single(self, users: Users) -> Target:
        """A feature vector per request, of these users in turn."""
        ...

    def batch(self, groups: Sequence[Users]) -> Target:
        """As many rows per request as a group has users."""
        ...

    def ingest(self, groups: Sequence[Users], second: int, version: int = 1) -> Target:
        """An event for each user of a group per request: this version of the user's attributes."""
        ...

    def values(self, reply: bytes) -> list[dict[str, Any]]:
        """The rows of a reply, by column."""
        ...


def event(user: int, second: int, version: int) -> Values:
    return {JOIN_KEY: user, TIMESTAMP: _MOMENT.replace("@s", f"{second:02d}"), **attributes(user, version)}


@dataclass(frozen=True, slots=True)
class Ours:
    """The gateway: reads by its named door, with what Feast always tells beside the values; writes by Tecton's /ingest."""

    port: int
    key: str = field(repr=False)
    name: str = "ours"

    @property
    def _path(self) -> str:
        return f"/v1/workspaces/{peer_definitions.WORKSPACE}/feature-services/{peer_definitions.SERVICE}/features"

    def _target(self, path: str, bodies: Sequence[object]) -> Target:
        first, *more = [msgspec.json.encode(body) for body in bodies]
        return Target(self.port, path, {"Authorization": f"Tecton-key {self.key}", "Content-Type": "application/json"}, first, more)

    def single(self, users: Users) -> Target:
        return self._target(self._path, [{"joinKeys": {JOIN_KEY: user}, "include": ["status", "effectiveTime"]} for user in users])

    def batch(self, groups: Sequence[Users]) -> Target:
        bodies = [{"rows": [{"joinKeys": {JOIN_KEY: user}} for user in users], "include": ["status", "effectiveTime"]} for users in groups]
        return self._target(f"{self._path}:batch", bodies)

    def ingest(self, groups: Sequence[Users], second: int, version: int = 1) -> Target:
        records = [[{"record": event(user, second, version)} for user in users] for users in groups]
        return self._target(
            "/ingest", [{"workspace_name": peer_definitions.WORKSPACE, "records": {peer_definitions.SOURCE: one}} for one in records]
        )

    def values(self, reply: bytes) -> list[dict[str, Any]]:
        document = msgspec.json.decode(reply)
        rows: list[Mapping[str, Any]] = [row["features"] for row in document.get("rows", [document])]
        return [{peer_definitions.FEATURES[name]: value for name, value in row.items()} for row in rows]


@dataclass(frozen=True, slots=True)
class Feast:
    """Feast's Python feature server. `by_service`: features are asked for by the name of a feature service; else one by one, by theirs."""

    port: int
    by_service: bool
    name: str = "Feast"

    def _target(self, path: str, bodies: Sequence[object]) -> Target:
        first, *more = [msgspec.json.encode(body) for body in bodies]
        return Target(self.port, path, {"Content-Type": "application/json"}, first, more)

    def single(self, users: Users) -> Target:
        return self.batch([[user] for user in users])

    def batch(self, groups: Sequence[Users]) -> Target:
        wanted = {"feature_service": SERVICE} if self.by_service else {"features": [f"{VIEW}:{name}" for name in COLUMNS]}
        return self._target("/get-online-features", [{**wanted, "entities": {JOIN_KEY: users}} for users in groups])

    def ingest(self, groups: Sequence[Users], second: int, version: int = 1) -> Target:
        bodies = []
        for users in groups:
            events = [event(user, second, version) for user in users]
            columns = {name: [one[name] for one in events] for name in events[0]}
            bodies.append({"push_source_name": PUSH_SOURCE, "to": "online", "df": columns})
        return self._target("/push", bodies)

    def values(self, reply: bytes) -> list[dict[str, Any]]:
        document = msgspec.json.decode(reply)
        columns = dict(zip(document["metadata"]["feature_names"], (column["values"] for column in document["results"]), strict=True))
        return [dict(zip(COLUMNS, row, strict=True)) for row in zip(*(columns[name] for name in COLUMNS), strict=True)]
