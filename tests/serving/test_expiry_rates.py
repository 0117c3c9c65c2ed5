"""Two thousand entries (in the slow run five) filled in one moment, and what the origin is asked from then on: no second wave, through the
whole gateway."""

from collections import Counter
from collections.abc import Callable
from statistics import fmean

import httpx
import msgspec
import pytest

from gateway.app import Gateway, Seams, create_app
from gateway.errors import NotFound
from gateway.features import INT64, STRING, Caller, Feature, Field, ServiceRef, Status, ViewLayout, ViewValues
from gateway.origins.base import Description, Fetch, Fetched, FetchedRow, IngestReply, Queried, ViewFacts
from gateway.serving.reader import Call
from gateway.settings import checked
from gateway.web.edge import Lanes
from tests.harness.clock import Clock

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unmeasured")]
FEW, MANY, BATCH = 2_000, 5_000, 1_000
TTL_S = 60.0
TICKS = 16
"""In a TTL; at each, all entries are read."""
LIVES = 3
SERVICE = ServiceRef("prod", "meter")
TARGET = b"/v1/workspaces/prod/feature-services/meter/features:batch"
LAYOUT = ViewLayout("meter", (Feature("meter.x", INT64),))


class Meter:
    """An origin that answers at once, and counts by moment what it is asked."""

    single_views = True

    def __init__(self, clock: Clock, status: Status) -> None:
        self._clock = clock
        self._answer = FetchedRow((ViewValues(LAYOUT, b"null", b'"meter.x":null', (status,), (None,)),))
        self.asked: Counter[float] = Counter()

    def batch_limit(self, service: ServiceRef) -> int:  # noqa: ARG002 - the Protocol's signature
        return BATCH

    def rows_at_once(self, service: ServiceRef) -> int:
        return self.batch_limit(service)

    async def describe(self, service: ServiceRef, _caller: Caller, _deadline: float) -> Description:
        views = {"meter": ViewFacts(("key",), (), features=LAYOUT.features)}
        return Description(service, (Field("key", STRING),), (), LAYOUT.features, views=views, labels={})

    async def fetch(self, fetch: Fetch) -> Fetched:
        self.asked[self._clock()] += len(fetch.rows)
        return Fetched((self._answer,) * len(fetch.rows))

    async def query(self, _fetch: Fetch) -> Queried:
        raise NotFound("no queries")

    async def ingest(self, _body: bytes, _caller: Caller, _deadline: float) -> IngestReply:
        raise NotFound("no records")

    async def ready(self) -> None:
        """Always."""

    async def follow(self, _changed: Callable[[], None]) -> None:
        """Nothing changes."""

    async def aclose(self) -> None:
        """Nothing is open."""


def house(clock: Clock, origin: Meter, ttl_s: float, jitter: float) -> Gateway:
    kept = {"jitter": jitter, "early_refresh": 1.0}
    cache = {"ttl_s": ttl_s, "negative_ttl_s": TTL_S, **kept}
    settings = checked({"auth": {"mode": "open"}, "cache": cache, "metadata": {"ttl_s": 86_400}, "telemetry": {"sample_ratio": 0}})
    return create_app(settings, Seams(clock, origin, environment={}))


def bodies(entries: int) -> list[bytes]:
    rows = [{"joinKeys": {"key": f"k{number}"}} for number in range(entries)]
    return [msgspec.json.encode({"rows": rows[start : start + BATCH]}) for start in range(0, entries, BATCH)]


async def rates(entries: int, jitter: float, ttl_s: float = TTL_S, status: Status = Status.PRESENT, lives: int = LIVES) -> list[int]:
    """How many entries the origin is asked for, at each tick: of the fill first, then of a gateway all of whose entries are wanted."""
    clock = Clock()
    origin = Meter(clock, status)
    app = house(clock, origin, ttl_s, jitter)
    found = Lanes(app.routes).find(TARGET)
    assert found
    endpoint, path = found
    moments = []
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        for _ in range(1 + lives * TICKS):
            moments.append(clock())
            for body in bodies(entries):
                call = Call(endpoint.door, endpoint.route, body, path)
                if endpoint.hit(call) is None:
                    assert (await client.post(TARGET.decode(), content=body)).status_code == 200
            clock.advance(TTL_S / TICKS)
    return [origin.asked[moment] for moment in moments]


@pytest.mark.parametrize("entries", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("ttl_s", "status"), [(TTL_S, Status.PRESENT), (8 * TTL_S, Status.MISSING_DATA)], ids=["values", "missing values"])
async def test_what_was_filled_together_is_never_wanted_together_again(ttl_s: float, status: Status, entries: int) -> None:
    fill, *later = await rates(entries, 0.75, ttl_s, status)
    steady = fmean(later[-2 * TICKS :])
    assert fill == entries
    assert max(later) <= 1.5 * steady, later
    assert steady <= 1.35 * entries / TICKS, "and that is not bought with much shorter lives"


async def test_without_jitter_all_come_back_at_once() -> None:
    """That the other test can fail."""
    fill, *later = await rates(FEW, 0.0, lives=1)
    assert fill == max(later) == FEW
