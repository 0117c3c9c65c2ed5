"""The gateway put together for a test, served on a socket, with its clock, its spans and its origin within reach."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.access.keys import digest
from gateway.app import Gateway, Seams, create_app, open_origin
from gateway.demo import definitions
from gateway.settings import checked
from tests.harness.clock import Clock, wait_until
from tests.harness.origins import CountingOrigin, counting
from tests.harness.serving import serve

READER = "fgk_reader-of-everything-0123456789abcdef"
WRITER = "fgk_reader-and-writer-0123456789abcdef"
OPERATOR = "fgk_operator-who-may-do-everything-0123456"
STRANGER = "fgk_reader-of-another-workspace-0123456789"
KEYS: Mapping[str, Mapping[str, Any]] = {
    "reader": {"digest": digest(READER), "workspaces": ["*"]},
    "writer": {"digest": digest(WRITER), "workspaces": ["prod"], "ingest": True, "purge": True},
    "operator": {"digest": digest(OPERATOR), "workspaces": ["*"], "ingest": True, "purge": True},
    "stranger": {"digest": digest(STRANGER), "workspaces": ["elsewhere"]},
}

EXACT: Mapping[str, Any] = {"jitter": 0, "early_refresh": 0}
"""Of the cache: entries end when their TTL does, also those that were filled together, and are not fetched again before."""


ONE_TRY: Mapping[str, Any] = {"retries": 0, "hedging": False, "breaker_share": 0, "retry_after_max_s": 0}
"""Of the guard: every call is one attempt, whatever went before. Only the limit is there."""


@dataclass(frozen=True, slots=True)
class House:
    """A gateway that is serving. `client` speaks to it as READER, or as the credential it was opened with."""

    url: str
    client: httpx.Client
    clock: Clock
    exporter: InMemorySpanExporter
    origin: CountingOrigin
    app: Gateway
    stop: Callable[[], None]

    def spans(self, name: str = "") -> list[ReadableSpan]:
        """The spans that have ended, those whose name contains `name`. A server span ends before its reply is sent."""
        return [span for span in self.exporter.get_finished_spans() if name in span.name]

    def settle_spans(self, count: int, name: str = "") -> list[ReadableSpan]:
        """The same, once there are as many: what outlives its read ends in its own time."""
        wait_until(lambda: len(self.spans(name)) >= count, f"{count} spans {name}")
        return self.spans(name)

    def as_caller(self, credential: str | None) -> httpx.Client:
        """Another caller, on connections of its own. To be closed."""
        return httpx.Client(base_url=self.url, headers=authorization(credential), timeout=30.0)


def authorization(credential: str | None) -> dict[str, str]:
    return {} if credential is None else {"Authorization": f"Tecton-key {credential}"}


def demo_settings(data_dir: Path, **more: Any) -> dict[str, Any]:
    """Settings of the demo on the store in `data_dir`: as of the end of its data, with KEYS, every read traced."""
    return {
        "auth": {"keys": KEYS},
        "feature_server": {"definitions": "gateway.demo.definitions:REPOSITORY", "data_dir": data_dir, "as_of": definitions.AS_OF},
        "telemetry": {"sample_ratio": 1.0},
        **more,
        "cache": EXACT | more.get("cache", {}),
    }


def cluster_settings(url: str, **more: Any) -> dict[str, Any]:
    """Settings of a gateway before a cluster, with callers' own credentials passed through and every read traced. Its guard does not get in
    the way of tests of something else: ONE_TRY, but for what `more` says."""
    settings = {"origin": {"kind": "tecton", "url": url}, "telemetry": {"sample_ratio": 1.0}, "guard": ONE_TRY, **more}
    return settings | {"cache": EXACT | more.get("cache", {})}


@contextmanager
def open_house(
    tree: Mapping[str, Any], credential: str | None = READER, environment: Mapping[str, str] | None = None, *, at_the_edge: bool = True
) -> Iterator[House]:
    """A gateway with these settings on a socket of its own. Its cache's clock stands still; deadlines run on the real one."""
    settings = checked(dict(tree))
    clock, exporter, origin = Clock(), InMemorySpanExporter(), counting(open_origin(settings))
    app = create_app(settings, Seams(clock, origin, SimpleSpanProcessor(exporter), environment or {}))
    with (
        serve(app, at_the_edge=at_the_edge) as running,
        httpx.Client(base_url=running.url, headers=authorization(credential), timeout=30.0) as client,
    ):
        yield House(running.url, client, clock, exporter, origin, app, running.stop)
