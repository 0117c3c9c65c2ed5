"""The model services of the swarm. Each sends one request at a time, at its own steady rate; what a reply says of its sources is counted.

Requests are told apart in the reports by what they are, never by what they ask for; a read that fails is told by its status and code.
"""

import itertools
import json
import os
import time
from typing import Any, ClassVar

import gevent
from locust import FastHttpUser, constant_throughput, task
from locust.env import Environment
from locust.exception import StopUser

from loadtests.swarm.house import House, Service

_SHOW_ALL = dict.fromkeys(("includeNames", "includeDataTypes", "includeServingStatus", "includeSloInfo", "includeEffectiveTimes"), True)
_TECTON = "/api/v1/feature-service/get-features"
_SEEN_WITHIN_S = 10.0
_numbers = itertools.count()


class ModelService(FastHttpUser):
    """`house`: what all users of this process share; set before the run begins."""

    abstract = True
    house: ClassVar[House]
    connection_timeout = network_timeout = 30.0

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.service: Service = self.house.services[0]

    def wait_time(self) -> float:
        """Open loop: by the clock, however long an answer takes, as long as it takes less than a turn. Closed: at once."""
        rate = self.house.rate_per_user
        return constant_throughput(rate)(self) if rate else 0.0

    def ask(self, name: str, path: str, body: Any) -> bytes | None:
        """Post, as the service's caller; the reply, or None where it is no 200."""
        headers = {"Authorization": f"Tecton-key {self.service.key}", "Content-Type": "application/json"}
        with self.client.post(path, data=json.dumps(body), headers=headers, name=name, catch_response=True) as reply:
            if reply.status_code == 200:
                return bytes(reply.content or b"")
            reply.failure(_what_failed(reply.status_code, reply.content))
        return None

    def _path(self, tail: str = "features") -> str:
        return f"/v1/workspaces/{self.service.workspace}/feature-services/{self.service.name}/{tail}"

    def _read_by_name(self, name: str) -> None:
        asked = self.service.keys.draw()
        body = {"joinKeys": asked.join_keys, "include": ["source"]} | ({"requestContext": asked.context} if asked.context else {})
        if (reply := self.ask(name, self._path(), body)) is not None:
            self.house.tally.named(reply)


class Named(ModelService):
    """Single reads by name."""

    weight = 4

    @task
    def read(self) -> None:
        self._read_by_name("named read")


class Tecton(ModelService):
    """Single reads at the Tecton door, as the official client makes them, with all metadata."""

    weight = 4

    @task
    def read(self) -> None:
        asked, service = self.service.keys.draw(), self.service
        params = {
            "workspaceName": service.workspace,
            "featureServiceName": service.name,
            "joinKeyMap": asked.join_keys,
            "metadataOptions": _SHOW_ALL,
        } | ({"requestContextMap": asked.context} if asked.context else {})
        if (reply := self.ask("Tecton read", _TECTON, {"params": params})) is not None:
            self.house.tally.tecton(reply)


class Batch(ModelService):
    """Reads of many rows at once, as a ranking service makes them."""

    weight = 1

    @task
    def read(self) -> None:
        rows = [
            {"joinKeys": asked.join_keys} | ({"requestContext": asked.context} if asked.context else {})
            for asked in (self.service.keys.draw() for _ in range(self.house.batch_rows))
        ]
        reply = self.ask(f"batch of {len(rows)}", self._path("features:batch"), {"rows": rows, "include": ["source"]})
        if reply is not None:
            self.house.tally.named(reply)


class Tenants(ModelService):
    """Callers with keys and feature services of their own, by their weights."""

    weight = 2

    def on_start(self) -> None:
        self.service = self.house.draw_service()

    @task
    def read(self) -> None:
        self._read_by_name("tenant's read")


class IngestAndRead(ModelService):
    """Sends an event of a plane of its own, and reads the plane until it is seen. For the demo, whose events it knows."""

    weight = 1

    def on_start(self) -> None:
        if not self.house.is_demo:
            raise StopUser("IngestAndRead knows the demo's events alone")

    @task
    def ingest(self) -> None:
        tail = f"L{os.getpid():x}-{next(_numbers):x}"
        body = {"workspace_name": self.service.workspace, "records": {"flights": [{"record": _flight(tail)}]}}
        began_s = time.perf_counter()
        if self.ask("ingest", "/ingest", body) is None:
            return
        asked = {"joinKeys": {"origin": "JFK", "dest": "LAX", "carrier": "AA", "tailnum": tail}, "features": ["plane_history.*"]}
        while True:
            reply = self.ask("read what was sent", self._path().replace(self.service.name, "flight_history"), asked)
            took_s = time.perf_counter() - began_s
            if reply is None:
                return
            if b'"LAX"' in reply or took_s > _SEEN_WITHIN_S:
                break
            gevent.sleep(0.05)
        error = None if took_s <= _SEEN_WITHIN_S else TimeoutError(f"not seen within {_SEEN_WITHIN_S:g} s")
        self.environment.events.request.fire(
            request_type="FRESH", name="from ingest to a read that has it", response_time=took_s * 1e3, response_length=0, exception=error
        )


def _flight(tail: str) -> dict[str, Any]:
    """An hour before the demo's clock, which stands still: what is newer is not in any window yet."""
    return {
        "scheduled_departure": "2013-01-14T20:00:00Z",
        "carrier": "AA",
        "flight": 1,
        "origin": "JFK",
        "dest": "LAX",
        "tailnum": tail,
        "distance": 2475,
        "dep_delay": 1.0,
        "arr_delay": 1.0,
        "air_time": 330.0,
        "departed_at": "2013-01-14T20:01:00Z",
        "cancelled": False,
    }


def _what_failed(status: int, body: bytes | None) -> str:
    """By status and code. What else an error says is not told: it may be long, and reports are passed on."""
    try:
        code = json.loads(body or b"{}").get("code")
    except (ValueError, AttributeError):
        code = None
    if not status:
        return "no answer"
    return f"status {status}" if code is None else f"status {status}, code {code}"
