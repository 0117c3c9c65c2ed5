"""An origin around another: it counts what it is asked, and fails or waits as a test tells it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import inf
from typing import Any

from gateway.features import Caller, ServiceRef
from gateway.origins.base import (
    Asked,
    Description,
    Fetch,
    Fetched,
    FetchedRow,
    FetchRow,
    ImmediateOrigin,
    IngestReply,
    ListingOrigin,
    Origin,
    PromptOrigin,
    Queried,
)
from tests.harness.clock import Hold


class CountingOrigin:
    """Real answers, from the origin inside. `fails`: raised instead of the next answers, one each. `hold`: all of them wait there.
    `while_fetching`: what happens meanwhile. `after_ingest` sees each reply to an ingest, which was done, and says what is answered.
    """

    def __init__(self, inner: Origin) -> None:
        self._inner = inner
        self.single_views = inner.single_views
        self.fetches: list[Fetch] = []
        self.queries: list[Fetch] = []
        self.descriptions: list[ServiceRef] = []
        self.ingests: list[bytes] = []
        self.fails: list[Exception] = []
        self.metadata_fails: list[Exception] = []
        self.unready: Exception | None = None
        self.hold: Hold | None = None
        self.while_fetching: Callable[[], None] | None = None
        self.after_ingest: Callable[[IngestReply], Awaitable[IngestReply]] | None = None

    @property
    def views_fetched(self) -> list[frozenset[str]]:
        """The views that each fetch asked for, over its rows."""
        return [frozenset().union(*(row.views for row in fetch.rows)) for fetch in self.fetches]

    def batch_limit(self, service: ServiceRef) -> int:
        return self._inner.batch_limit(service)

    def rows_at_once(self, service: ServiceRef) -> int:
        """As the origin inside, unless a test makes this one wait or fail: what fails at once is asked again by those who wait."""
        return 0 if self.hold is not None or self.fails else self._inner.rows_at_once(service)

    def services(self) -> Sequence[ServiceRef]:
        return self._inner.services() if isinstance(self._inner, ListingOrigin) else ()

    async def describe(self, service: ServiceRef, caller: Caller, deadline: float) -> Description:
        self.descriptions.append(service)
        if self.metadata_fails:
            raise self.metadata_fails.pop(0)
        return await self._inner.describe(service, caller, deadline)

    async def fetch(self, fetch: Fetch) -> Fetched:
        self.fetches.append(fetch)
        if self.while_fetching is not None:
            self.while_fetching()
        if self.hold is not None:
            await self.hold.reach()
        if self.fails:
            raise self.fails.pop(0)
        return await self._inner.fetch(fetch)

    async def query(self, fetch: Fetch) -> Queried:
        self.queries.append(fetch)
        if self.hold is not None:
            await self.hold.reach()
        if self.fails:
            raise self.fails.pop(0)
        return await self._inner.query(fetch)

    async def ingest(self, body: bytes, caller: Caller, deadline: float) -> IngestReply:
        self.ingests.append(body)
        reply = await self._inner.ingest(body, caller, deadline)
        return reply if self.after_ingest is None else await self.after_ingest(reply)

    async def ready(self) -> None:
        if self.unready is not None:
            raise self.unready
        await self._inner.ready()

    async def follow(self, changed: Callable[[], None]) -> None:
        await self._inner.follow(changed)

    async def aclose(self) -> None:
        await self._inner.aclose()


class PromptCountingOrigin(CountingOrigin):
    """Around an origin that can be asked without waiting: so can this one, unless a test makes it wait or fail."""

    def __init__(self, inner: PromptOrigin) -> None:
        super().__init__(inner)
        self._prompt = inner

    def begin(self, fetch: Fetch, tell: Callable[[], object]) -> Asked | None:
        if self.hold is not None or self.fails or self.while_fetching is not None:
            return None
        asked = self._prompt.begin(fetch, tell)
        if asked is not None:
            self.fetches.append(fetch)
        return asked


class ImmediateCountingOrigin(CountingOrigin):
    """Around an origin of which a row can be had at once: so can it of this one, unless a test makes it wait or fail. `rows` counts those,
    which are among the fetches too. `of_row` sees each, and says what is answered."""

    def __init__(self, inner: ImmediateOrigin) -> None:
        super().__init__(inner)
        self._immediate = inner
        self.rows = 0
        self.of_row: Callable[[FetchedRow], FetchedRow] | None = None

    def fetch_row(self, service: ServiceRef, join_keys: Mapping[str, Any], views: frozenset[str]) -> FetchedRow | None:
        if self.hold is not None or self.fails:
            return None
        row = self._immediate.fetch_row(service, join_keys, views)
        if row is None:
            return None
        if self.while_fetching is not None:
            self.while_fetching()
        self.rows += 1
        self.fetches.append(Fetch(service, (FetchRow(join_keys, {}, views),), Caller(b""), inf))
        return row if self.of_row is None else self.of_row(row)


def counting(inner: Origin) -> CountingOrigin:
    if isinstance(inner, ImmediateOrigin):
        return ImmediateCountingOrigin(inner)
    return PromptCountingOrigin(inner) if isinstance(inner, PromptOrigin) else CountingOrigin(inner)
