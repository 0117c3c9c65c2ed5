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

Redirects are not followed: they are "any other status". Which headers go out is `hygiene`'s to say.
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
    OriginError,
    OriginFailed,
    OriginMalformed,
    OriginThrottled,
    OriginTimeout,
    OriginUnavailable,
    PermissionDenied,
    Unauthenticated,
)
from gateway.features import PLAIN, Caller, Feature, Field, ServiceRef, Written
from gateway.on_demand import OnDemandView
from gateway.origins.base import WILDCARD, Description, Fetch, Fetched, FetchedRow, IngestReply, Queried, QueriedRow, ViewFacts
from gateway.origins.batching import Batching
from gateway.origins.computable import fitted
from gateway.origins.http.channel import Channel, Posted, PromptChannel, Reply
from gateway.origins.http.receivers import TooLarge
from gateway.origins.hygiene import outgoing_headers, retry_after
from gateway.origins.written import KeyReader
from gateway.wire import upstream
from gateway.wire.ingest import read_fed_views, read_sent

logger = logging.getLogger(__name__)
_FEATURE_SERVICE = "/api/v1/feature-service/"
_BATCH_LIMIT = 10
_SLICE_ROWS = 50
"""Of a query's results, read without a pause: a few milliseconds at a microsecond per value."""


class TectonOrigin:
    """`view_join_keys` and `on_demand` are what the settings say of views: the cluster's API tells neither which join keys a view uses nor
    how an on-demand view is computed."""

    single_views = False

    def __init__(
        self,
        reads: Channel,
        ingests: Channel | None = None,
        *,
        view_join_keys: Mapping[str, Sequence[str]] | None = None,
        on_demand: Mapping[str, OnDemandView] | None = None,
        batch: bool = True,
        batches: Mapping[str, bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ingests`: another base URL for them. `batch`: whether feature services take batches, as far as their refusals do not teach
        otherwise; `batches`, by `workspace/service`, is believed."""
        self._batching = Batching(_BATCH_LIMIT, batches or {}, clock, none_else=not batch)
        self._reads = reads
        self._prompt_reads = reads if isinstance(reads, PromptChannel) else None
        self._ingests = ingests or reads
        self._view_join_keys = view_join_keys or {}
        self._key_reader = KeyReader(self._view_join_keys)
        self._on_demand = on_demand or {}
        self._warned: set[str] = set()
        self._replies = upstream.ReplyReader()

    def batch_limit(self, service: ServiceRef) -> int:
        return self._batching.limit(service)

    def rows_at_once(self, _service: ServiceRef) -> int:
        return 0

    async def describe(self, service: ServiceRef, caller: Caller, deadline: float) -> Description:
        status, headers, body = await self._post(_FEATURE_SERVICE + "metadata", upstream.metadata_request(service), caller, deadline)
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
        return self.read(fetch, await self._ask(_endpoint(fetch), fetch))

    def begin(self, fetch: Fetch, tell: Callable[[], object]) -> "_Asked | None":
        if self._prompt_reads is None:
            return None
        headers = outgoing_headers(fetch.caller.authorization, fetch.traceparent)
        try:
            posted = self._prompt_reads.begin(_FEATURE_SERVICE + _endpoint(fetch), _request(fetch, None), headers, tell)
        except httpx.LocalProtocolError:  # which `fetch` meets again
            return None
        return None if posted is None else _Asked(self, fetch, posted)

    def read(self, fetch: Fetch, reply: Reply) -> Fetched:
        """What a reply to this fetch says. Raises as `fetch` does."""
        status, headers, body = reply
        if status != 200:
            error = refusal(status, body, headers)
            if self._batching.refused(fetch.service, fetch.rows, status) and not isinstance(error, InvalidRequest):
                raise InvalidRequest(error.message if isinstance(error, NotFound) else _NO_BATCHES)
            raise error
        self._batching.answered(fetch.service, fetch.rows)
        try:
            rows, labels = self._replies.read(body, len(fetch.rows), want_labels=fetch.want_labels)
        except (ValueError, RecursionError) as error:
            raise OriginMalformed(_NOT_UNDERSTOOD) from error
        return Fetched(tuple([FetchedRow(row.views, row.slo, row.partial) for row in rows]), labels)

    async def query(self, fetch: Fetch) -> Queried:
        """The cluster takes no limit: of more results than are wanted the rest is not read. Others have their turn between slices."""
        status, headers, body = await self._ask("query-features", fetch)
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

    async def _ask(self, endpoint: str, fetch: Fetch) -> Reply:
        budget_ms = None
        if fetch.options.latency_budget_ms is not None:
            left_s = fetch.deadline - asyncio.get_running_loop().time()
            budget_ms = max(1, min(fetch.options.latency_budget_ms, int(left_s * 1000)))
        request = _request(fetch, budget_ms)
        return await self._post(_FEATURE_SERVICE + endpoint, request, fetch.caller, fetch.deadline, fetch.traceparent)

    async def ingest(self, body: bytes, caller: Caller, deadline: float) -> IngestReply:
        """The cluster's own answer where it is one of the contract's (§6); its 5xx and anything that is not JSON become errors.

        A record that comes twice is one record (the last write of its keys and timestamp counts), so the call may be sent twice too."""
        status, headers, reply = await self._call(self._ingests, "/ingest", body, caller, deadline)
        if not _is_ingest_answer(status) or reply[:1] != b"{":
            raise refusal(status, reply, headers)
        written = self._written(body, reply) if status < 300 else ()
        return IngestReply(status, reply, retry_after(headers), written)

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
        status, headers, body = await self._post(_FEATURE_SERVICE + "metadata", b"{}", Caller(b""), loop.time() + 1.0)
        if status >= 500:
            raise refusal(status, body, headers)

    async def follow(self, changed: Callable[[], None]) -> None:
        """A cluster does not tell of its changes: metadata is asked for again from time to time, and disagreeing replies tell."""

    async def aclose(self) -> None:
        await self._reads.aclose()
        await self._ingests.aclose()

    async def _post(self, path: str, body: bytes, caller: Caller, deadline: float, traceparent: str | None = None) -> Reply:
        return await self._call(self._reads, path, body, caller, deadline, traceparent)

    async def _call(
        self, channel: Channel, path: str, body: bytes, caller: Caller, deadline: float, traceparent: str | None = None
    ) -> Reply:
        headers = outgoing_headers(caller.authorization, traceparent)
        try:
            return await channel.post(path, body, headers, deadline)
        except _BROKEN as error:
            raise broken(error) from error


class _Asked:
    """A `base.Asked`. Late at its deadline, and not before."""

    __slots__ = ("_fetch", "_origin", "_posted")

    def __init__(self, origin: TectonOrigin, fetch: Fetch, posted: Posted) -> None:
        self._origin = origin
        self._fetch = fetch
        self._posted = posted

    @property
    def due_s(self) -> float:
        return self._fetch.deadline

    def fetched(self) -> Fetched | None:
        reply = self._posted.reply()
        if reply is None or reply.status != 200:
            return None
        try:
            return self._origin.read(self._fetch, reply)
        except OriginMalformed:
            return None

    async def waited(self) -> Fetched:
        try:
            reply = await self._posted.waited(self._fetch.deadline)
        except _BROKEN as error:
            raise broken(error) from error
        return self._origin.read(self._fetch, reply)


def _endpoint(fetch: Fetch) -> str:
    return "get-features-batch" if len(fetch.rows) > 1 else "get-features"


def _request(fetch: Fetch, budget_ms: int | None) -> bytes:
    if fetch.options is PLAIN and len(fetch.rows) == 1:
        [row] = fetch.rows
        return upstream.plain_request(fetch.service, row.join_keys, row.context, fetch.want_labels)
    return upstream.get_features_request(
        fetch.service,
        [(row.join_keys, row.context) for row in fetch.rows],
        fetch.options,
        latency_budget_ms=budget_ms,
        want_labels=fetch.want_labels,
    )


_BROKEN = (httpx.TransportError, httpx.DecodingError, TooLarge)
"""What a channel raises."""


def broken(error: Exception) -> OriginError:
    """The error that a call without a whole answer stands for."""
    if isinstance(error, httpx.TimeoutException):
        return OriginTimeout("The feature store did not answer in time.")
    if isinstance(error, httpx.RemoteProtocolError):
        return OriginUnavailable("The feature store broke off its answer.")
    if isinstance(error, httpx.DecodingError):
        return OriginMalformed("The feature store's reply is not encoded as it says.")
    if isinstance(error, TooLarge):
        return OriginMalformed("The feature store's reply is larger than origin.max_reply_bytes.")
    return OriginUnavailable("The feature store cannot be reached.")


_NO_BATCHES = "The feature store took no batch of rows of this feature service."
_NOT_UNDERSTOOD = "The feature store's reply cannot be understood; nothing of it was used."


def _is_ingest_answer(status: int) -> bool:
    """Whether the ingest API itself answers so; a redirect is none of its answers, and is not followed."""
    return 200 <= status < 300 or 400 <= status < 500


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
        return OriginThrottled(said or "The feature store asks for fewer requests.", retry_after(headers))
    if status == 503:
        return OriginUnavailable(said or "The feature store is unavailable.", headers.get("retry-after"))
    if status == 504:
        return OriginTimeout(said or "The feature store timed out.")
    if status == 200:
        return OriginMalformed(_NOT_UNDERSTOOD)
    return OriginFailed(f"The feature store answered with status {status}.")
