"""A Tecton cluster over HTTP: requests out, replies read strictly, every failure one of `errors`.

    origin answers                      becomes
    200, whole                          values
    200, anything else                  OriginMalformed (502), nothing of it is used
    400 401 403 404                     InvalidRequest, Unauthenticated, PermissionDenied, NotFound, with the cluster's text
    429                                 OriginThrottled (429), with its Retry-After
    503                                 OriginUnavailable (503), with its Retry-After
    504                                 OriginTimeout (504)
    any other status                    OriginFailed (502)
    no connection, or one that broke    OriginUnavailable (503)
    no answer in time                   OriginTimeout (504)

Only the headers named here go out: no header of a caller is passed on but its credential.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

import httpx

from gateway.errors import (
    GatewayError,
    InvalidRequest,
    NotFound,
    OriginFailed,
    OriginMalformed,
    OriginThrottled,
    OriginTimeout,
    OriginUnavailable,
    PermissionDenied,
    Unauthenticated,
)
from gateway.features import Caller, Feature, Field, ServiceRef, Written
from gateway.on_demand import OnDemandView
from gateway.origins.base import WILDCARD, Description, Fetch, Fetched, FetchedRow, IngestReply, Queried, QueriedRow, ViewFacts
from gateway.origins.batching import Batching
from gateway.origins.computable import fitted
from gateway.origins.written import KeyReader
from gateway.wire import upstream
from gateway.wire.ingest import read_fed_views, read_sent

logger = logging.getLogger(__name__)
_FEATURE_SERVICE = "/api/v1/feature-service/"
_BATCH_LIMIT = 10
_INGEST_STATUSES = range(200, 500)
_SLICE_ROWS = 50
"""Of a query's results, read without a pause: a few milliseconds at a microsecond per value."""


class TectonOrigin:
    """`view_join_keys` and `on_demand` are what the settings say of views: the cluster's API tells neither which join keys a view uses nor
    how an on-demand view is computed."""

    single_views = False

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        ingest_url: str | None = None,
        view_join_keys: Mapping[str, Sequence[str]] | None = None,
        on_demand: Mapping[str, OnDemandView] | None = None,
        max_reply_bytes: int = 16_777_216,
        batch: bool = True,
        batches: Mapping[str, bool] | None = None,
        max_connections: int = 256,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`batch`: whether feature services take batches, as far as their refusals do not teach otherwise; `batches`, by
        `workspace/service`, is believed."""
        self._batching = Batching(_BATCH_LIMIT, batches or {}, clock, none_else=not batch)
        self._client = client
        self._slots = asyncio.Semaphore(max_connections)
        self._ingest_url = (ingest_url or str(client.base_url)).rstrip("/") + "/ingest"
        self._view_join_keys = view_join_keys or {}
        self._key_reader = KeyReader(self._view_join_keys)
        self._on_demand = on_demand or {}
        self._warned: set[str] = set()
        self._max_reply_bytes = max_reply_bytes
        self._replies = upstream.ReplyReader()

    def batch_limit(self, service: ServiceRef) -> int:
        return self._batching.limit(service)

    def rows_at_once(self, _service: ServiceRef) -> int:
        return 0

    async def describe(self, service: ServiceRef, caller: Caller, deadline: float) -> Description:
        status, body, headers = await self._post(_FEATURE_SERVICE + "metadata", upstream.metadata_request(service), caller, deadline)
        if status != 200:
            raise refusal(status, body, headers)
        try:
            kind, join_keys, context_keys, features, output_keys = upstream.read_metadata(body)
        except (ValueError, RecursionError) as error:
            raise OriginMalformed(f"The feature store's metadata of {service} cannot be understood.") from error
        names = {field.name: field for field in (*join_keys, *output_keys)}
        self._key_reader.learn(service.workspace, {feature.view for feature in features}, names)
        for view, keys in self._view_join_keys.items():
            if not names.keys() >= set(keys) and any(feature.view == view for feature in features):
                logger.warning("views.%s.join_keys names a key that a feature service with this view does not have: ignored there", view)
        # A view that is said to use a key this service does not have is not the view that was meant: it is keyed on everything.
        views = {view: ViewFacts(tuple(keys), ()) for view, keys in self._view_join_keys.items() if names.keys() >= set(keys)}
        # Nothing of a wildcard service is cached: what it answers is there already.
        on_demand = {} if kind == WILDCARD else self._computable(features, context_keys)
        return Description(service, join_keys, context_keys, features, kind, output_keys, views, on_demand)

    def _computable(self, features: Sequence[Feature], context_keys: Sequence[Field]) -> dict[str, OnDemandView]:
        """The on-demand views of the settings that this service serves, as far as it serves what they say."""
        served = {feature.view for feature in features}
        views: dict[str, OnDemandView] = {}
        for name, view in self._on_demand.items():
            if name not in served:
                continue
            try:
                views[name] = fitted(view, features, context_keys)
            except ValueError as error:
                if name not in self._warned:
                    logger.warning("on_demand.views.%s.%s; in such feature services the view is left to the cluster", name, error)
                self._warned.add(name)
        return views

    async def fetch(self, fetch: Fetch) -> Fetched:
        """Raises InvalidRequest where a row is wrong, and also where it may be that only the batch is: its rows are to be asked alone then,
        which besides is how `batching` learns."""
        status, body, headers = await self._ask("get-features-batch" if len(fetch.rows) > 1 else "get-features", fetch)
        if status != 200:
            error = refusal(status, body, headers)
            if self._batching.refused(fetch.service, fetch.rows, status) and not isinstance(error, InvalidRequest):
                raise InvalidRequest(error.message if isinstance(error, NotFound) else _NO_BATCHES)
            raise error
        self._batching.answered(fetch.service, fetch.rows)
        try:
            rows, labels = self._replies.read(body, len(fetch.rows))
        except (ValueError, RecursionError) as error:
            raise OriginMalformed(_NOT_UNDERSTOOD) from error
        return Fetched(tuple(FetchedRow(*row) for row in rows), labels if fetch.want_labels else None)

    async def query(self, fetch: Fetch) -> Queried:
        """The cluster takes no limit: of more results than are wanted the rest is not read. Others have their turn between slices."""
        status, body, headers = await self._ask("query-features", fetch)
        if status != 200:
            raise refusal(status, body, headers)
        rows: list[QueriedRow] = []
        try:
            reply = self._replies.query(body)
            wanted = len(reply) if fetch.max_results is None else min(len(reply), fetch.max_results)
            for index in range(wanted):
                if index % _SLICE_ROWS == _SLICE_ROWS - 1:
                    await asyncio.sleep(0)
                rows.append(QueriedRow(*reply.row(index)))
        except (ValueError, RecursionError) as error:
            raise OriginMalformed(_NOT_UNDERSTOOD) from error
        labels = reply.labels if fetch.want_labels else None
        return Queried(reply.join_keys, tuple(rows), reply.slo, reply.partial, len(reply) > wanted, labels)

    async def _ask(self, endpoint: str, fetch: Fetch) -> tuple[int, bytes, httpx.Headers]:
        loop = asyncio.get_running_loop()
        budget_ms = None
        if fetch.options.latency_budget_ms is not None:
            budget_ms = max(1, min(fetch.options.latency_budget_ms, int((fetch.deadline - loop.time()) * 1000)))
        request = upstream.get_features_request(
            fetch.service,
            [(row.join_keys, row.context) for row in fetch.rows],
            fetch.options,
            latency_budget_ms=budget_ms,
            want_labels=fetch.want_labels,
        )
        return await self._post(_FEATURE_SERVICE + endpoint, request, fetch.caller, fetch.deadline, fetch.traceparent)

    async def ingest(self, body: bytes, caller: Caller, deadline: float) -> IngestReply:
        """The cluster's own answer where it is one of the contract's (§6); its 5xx and anything that is not JSON become errors."""
        status, reply, headers = await self._post(self._ingest_url, body, caller, deadline)
        if status not in _INGEST_STATUSES or reply[:1] != b"{":
            raise refusal(status, reply, headers)
        written = self._written(body, reply) if status < 300 else ()
        return IngestReply(status, reply, headers.get("retry-after"), written)

    def _written(self, body: bytes, reply: bytes) -> tuple[Written, ...] | None:
        """Of an accepted ingest. None where the cluster names no view, or it cannot be understood what was sent."""
        try:
            sent = read_sent(body)
            return () if sent.dry else self._key_reader.written(sent, read_fed_views(reply)) or None
        except (ValueError, RecursionError):
            return None

    async def ready(self) -> None:
        """Any answer below 500 to an unauthenticated metadata call shows that the cluster is there and takes requests."""
        loop = asyncio.get_running_loop()
        status, body, headers = await self._post(_FEATURE_SERVICE + "metadata", b"{}", Caller(b""), loop.time() + 1.0)
        if status >= 500:
            raise refusal(status, body, headers)

    async def follow(self, changed: Callable[[], None]) -> None:
        """A cluster does not tell of its changes: metadata is asked for again from time to time, and disagreeing replies tell."""

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _post(
        self, path: str, body: bytes, caller: Caller, deadline: float, traceparent: str | None = None
    ) -> tuple[int, bytes, httpx.Headers]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if caller.authorization is not None:
            headers["Authorization"] = caller.authorization
        if traceparent is not None:
            headers["traceparent"] = traceparent
        try:
            async with asyncio.timeout_at(deadline):
                await self._slots.acquire()
            try:
                return await self._exchange(path, body, headers, deadline)
            finally:
                self._slots.release()
        except (TimeoutError, httpx.TimeoutException) as error:
            raise OriginTimeout("The feature store did not answer in time.") from error
        except httpx.RemoteProtocolError as error:
            raise OriginUnavailable("The feature store broke off its answer.") from error
        except httpx.DecodingError as error:
            raise OriginMalformed("The feature store's reply is not encoded as it says.") from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise OriginUnavailable("The feature store cannot be reached.") from error

    async def _exchange(self, path: str, body: bytes, headers: Mapping[str, str], deadline: float) -> tuple[int, bytes, httpx.Headers]:
        loop = asyncio.get_running_loop()
        left_s = deadline - loop.time()
        if left_s <= 0:
            raise TimeoutError
        limits = httpx.Timeout(left_s, connect=min(left_s, self._client.timeout.connect or left_s), pool=None)
        async with self._client.stream("POST", path, content=body, headers=headers, timeout=limits) as response:
            received = bytearray()
            async for chunk in response.aiter_bytes():
                received += chunk
                if loop.time() > deadline:
                    raise TimeoutError
                if len(received) > self._max_reply_bytes:
                    raise OriginMalformed("The feature store's reply is larger than origin.max_reply_bytes.")
            return response.status_code, bytes(received), response.headers


_NO_BATCHES = "The feature store took no batch of rows of this feature service."
_NOT_UNDERSTOOD = "The feature store's reply cannot be understood; nothing of it was used."


def refusal(status: int, body: bytes, headers: Mapping[str, str]) -> GatewayError:
    """The error that an origin's answer stands for. A status that the caller caused keeps the origin's own text."""
    said = upstream.read_error(body)
    if status == 400:
        return InvalidRequest(said or "The feature store refused the request.")
    if status == 401:
        return Unauthenticated(said) if said else Unauthenticated()
    if status == 403:
        return PermissionDenied(said) if said else PermissionDenied()
    if status == 404:
        return NotFound(said) if said else OriginFailed("The feature store has no such path: origin.url may be wrong.")
    if status == 429:
        return OriginThrottled(said or "The feature store asks for fewer requests.", headers.get("retry-after"))
    if status == 503:
        return OriginUnavailable(said or "The feature store is unavailable.", headers.get("retry-after"))
    if status == 504:
        return OriginTimeout(said or "The feature store timed out.")
    if status == 200:
        return OriginMalformed(_NOT_UNDERSTOOD)
    return OriginFailed(f"The feature store answered with status {status}.")


def connect(url: str, *, connect_timeout_s: float, max_connections: int) -> httpx.AsyncClient:
    """A client for one cluster: its address fixed, redirects off, proxies and credentials of the environment ignored."""
    return httpx.AsyncClient(
        base_url=url.rstrip("/"),
        follow_redirects=False,
        trust_env=False,
        timeout=httpx.Timeout(None, connect=connect_timeout_s),
        limits=httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections, keepalive_expiry=30.0),
    )
