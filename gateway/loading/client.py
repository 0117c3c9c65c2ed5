"""Rows through a server's ingest API: small requests, several in flight, sent again until the server has them.

Ingest is idempotent, so what may or may not have arrived is sent again. Order counts only between rows that are one event: those never fly
together. Owns patience towards the server. Knows nothing of files.
"""

import random
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Any

import httpx
import msgspec

from gateway.feature_server.catalog import SourceRuntime
from gateway.feature_server.ingest import MAX_RECORDS
from gateway.feature_server.timestamps import format_timestamp_ns
from gateway.feature_server.windows import Row
from gateway.features import Kind

IN_FLIGHT = 8
_TIMEOUT_S = 30.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0
_WAKE_S = 0.25
_SHOWN = 5
_TOO_OLD = re.compile(r"Record (\d+): column `[^`]*` lies outside the feature view's serving TTL")


class PushFailed(Exception):
    """The server did not take the rows: it said so, or was not there for longer than patience lasts."""


class HttpSink:
    """`patience_s`: for how long one request is sent again. `stop`: once it is set, nothing is sent again. To be closed."""

    def __init__(
        self,
        url: str,
        key: str,
        source: SourceRuntime,
        *,
        stop: threading.Event,
        patience_s: float = 120.0,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self._url = f"{url.rstrip('/')}/ingest"
        self._source = source
        self._patience_s = patience_s
        self._stop = stop
        self._sleep = stop.wait if sleep is None else sleep
        self._client = httpx.Client(headers={"Authorization": f"Tecton-key {key}"}, timeout=_TIMEOUT_S)
        self._pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="ingest")
        self._timestamps = [place for place, column in enumerate(source.source.columns) if column.dtype.kind is Kind.TIMESTAMP]
        self._names = [column.name for column in source.source.columns]

    def close(self) -> None:
        """Sets `stop`: what waits for the server waits no longer."""
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)
        self._client.close()

    def store(self, rows: Sequence[Row]) -> int:
        """Raises PushFailed; what came before is stored then, and some of what came after."""
        stored = 0
        for wave in self._waves(rows):
            requests = [wave[start : start + MAX_RECORDS] for start in range(0, len(wave), MAX_RECORDS)]
            stored += _sum([self._pool.submit(self._send, request) for request in requests])
        return stored

    def _waves(self, rows: Sequence[Row]) -> Iterator[list[Row]]:
        """Rows of which no two are one event of any view."""
        wave: list[Row] = []
        moments: set[tuple[str, bytes, int, bytes]] = set()
        for row in rows:
            own = {(view.name, view.key_of_row(row), row[view.timestamp_column], view.identity_of_row(row)) for view in self._source.views}
            if own & moments:
                yield wave
                wave, moments = [], set()
            wave.append(row)
            moments |= own
        if wave:
            yield wave

    def _record(self, row: Row) -> dict[str, Any]:
        spelled = list(row)
        for place in self._timestamps:
            if spelled[place] is not None:
                spelled[place] = format_timestamp_ns(spelled[place])
        return {name: value for name, value in zip(self._names, spelled, strict=True) if value is not None}

    def _send(self, rows: Sequence[Row]) -> int:
        records = [{"record": self._record(row)} for row in rows]
        while records:
            body = msgspec.json.encode({"workspace_name": self._source.workspace, "records": {self._source.source.name: records}})
            reply = self._post(body)
            if reply.status_code == 200:
                break
            expired = _expired(reply, {view.name for view in self._source.views})
            if not expired:
                raise PushFailed(f"{self._url} refused records with status {reply.status_code}: {_told(reply)}")
            records = [record for place, record in enumerate(records) if place not in expired]
        return len(records)

    def _post(self, body: bytes) -> httpx.Response:
        """Until it is answered one way or the other."""
        give_up_s = time.monotonic() + self._patience_s
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                reply = self._client.post(self._url, content=body)
                if reply.status_code < 500 and reply.status_code != 429:
                    return reply
                what, wait_s = f"status {reply.status_code}", _retry_after_s(reply)
            except httpx.TransportError as error:
                what, wait_s = type(error).__name__, None
            wait_s = pause_s * random.uniform(0.5, 1.0) if wait_s is None else wait_s  # noqa: S311 - jitter, not a secret
            if time.monotonic() + wait_s > give_up_s or self._stop.is_set():
                raise PushFailed(f"{self._url} has not taken records for {self._patience_s:.0f} s; the last answer was: {what}.")
            self._sleep(wait_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _sum(sent: Sequence["Future[int]"]) -> int:
    """Wakes now and then: a signal that comes just before a thread falls asleep does not wake it. Raises what one of them raises."""
    while True:
        done, under_way = wait(sent, timeout=_WAKE_S, return_when=FIRST_EXCEPTION)
        failed = [one for one in done if one.exception() is not None]
        if failed or not under_way:
            for one in under_way:
                one.cancel()
            return sum(one.result() for one in failed or sent)


def _retry_after_s(reply: httpx.Response) -> float | None:
    said = reply.headers.get("Retry-After", "")
    return float(said) if said.isdecimal() else None


def _document(reply: httpx.Response) -> Mapping[str, Any]:
    try:
        document = reply.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _errors(reply: httpx.Response) -> list[Mapping[str, Any]]:
    errors = _document(reply).get("recordErrors")
    return [one for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []


def _messages(reply: httpx.Response) -> list[str]:
    return [str(one.get("errorMessage")) for one in _errors(reply)]


def _expired(reply: httpx.Response, views: Collection[str]) -> set[int]:
    """The places of records that are too old for all of the source's views; nothing where anything else is wrong too. What is too old for
    some alone is refused for all, and must not be dropped for those."""
    too_old_for: dict[int, set[str]] = {}
    for error in _errors(reply):
        match = _TOO_OLD.fullmatch(str(error.get("errorMessage")))
        if match is None:
            return set()
        too_old_for.setdefault(int(match[1]), set()).add(str(error.get("featureViewName")))
    return set(too_old_for) if all(found.issuperset(views) for found in too_old_for.values()) else set()


def _told(reply: httpx.Response) -> str:
    document = _document(reply)
    refused = document.get("requestError")
    said = [str(refused.get("errorMessage"))] if isinstance(refused, dict) else _messages(reply)[:_SHOWN]
    return "; ".join(said) or str(document.get("message") or document.get("error") or "no reason given")
