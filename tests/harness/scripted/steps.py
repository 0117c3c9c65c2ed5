"""What can be done on a connection of the scripted origin, and what a script decides from: a request and the right reply to it."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from tests.harness.clock import Hold
from tests.harness.cluster import Cluster
from tests.harness.sockets import Request, http_reply

STRANGER = "somebody-else-canary"
"""Whose values are in a reply that nobody asked for."""


@dataclass(frozen=True, slots=True)
class Send:
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Wait:
    seconds: float


@dataclass(frozen=True, slots=True)
class Reach:
    """Wait until a test lets it go on."""

    hold: Hold


@dataclass(frozen=True, slots=True)
class Finish:
    """Close: a FIN after what was sent."""


@dataclass(frozen=True, slots=True)
class HalfFinish:
    """A FIN, and go on listening: what comes after it is read and answered by nobody."""


@dataclass(frozen=True, slots=True)
class Reset:
    """A RST in place of the end, by closing with SO_LINGER at 0."""


@dataclass(frozen=True, slots=True)
class Deafen:
    """Read nothing and write nothing on this connection from here on, and keep it open: a peer whose machine is gone."""


Step = Send | Wait | Reach | Finish | HalfFinish | Reset | Deafen


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply, before it goes wrong."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})

    @property
    def wire(self) -> bytes:
        return http_reply(self.status, self.body, self.headers)

    def head(self, *lines: str, version: str = "1.1") -> bytes:
        """A status line, these headers, and those of its own but its length."""
        own = [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([f"HTTP/{version} {self.status} So", *lines, *own, "", ""]).encode("latin-1")


@dataclass(frozen=True)
class Exchange:
    """One request. `connection` and `turn` number its connection among all, and it on that connection, from 0; `at_s` is monotonic."""

    request: Request
    cluster: Cluster = field(repr=False)
    connection: int
    turn: int
    at_s: float

    @property
    def endpoint(self) -> str:
        return self.request.path.rpartition("/")[2]

    @cached_property
    def right(self) -> Reply:
        return Reply(*self.cluster.reply(self.endpoint, self.request))

    @cached_property
    def params(self) -> Mapping[str, Any]:
        told: Mapping[str, Any] = json.loads(self.request.body)["params"]
        return told

    @property
    def user(self) -> str:
        """The join key that the cluster's services share. Of a batch: its first row's."""
        row = self.params.get("requestData", [self.params])[0]
        return str(row.get("joinKeyMap", {}).get("user_id", ""))

    @property
    def of_a_stranger(self) -> Reply:
        """The right reply to another request: whoever takes it for his own serves wrong values."""
        params = dict(self.params)
        params["joinKeyMap"] = {**params.get("joinKeyMap", {}), "user_id": STRANGER}
        asked = replace(self.request, body=json.dumps({"params": params}).encode())
        return Reply(*self.cluster.reply(self.endpoint, asked))


Script = Callable[[Exchange], Iterable[Step]]
"""Steps may be told one by one, without an end; the next request of the connection has its turn after the last."""
