"""The one middleware: whatever goes wrong inside becomes one JSON answer."""

import asyncio
import logging
import time

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import request_ids
from gateway.access_log import AccessLog
from gateway.errors import Draining, GatewayError, MethodNotAllowed, UnknownRoute
from gateway.incidents import incident
from gateway.lifecycle import Lifecycle
from gateway.measures.book import Book, ErrorNote
from gateway.telemetry import Telemetry
from gateway.web.exchange import DOOR, PASSED_ON, READ, STARTED, STATUS, TELL, answer, begin, id_of
from gateway.web.problems import answer as problem

_OPERATIONS, _UNKNOWN = "operations", "unknown"
"""Doors of requests that name none: probes, documents, and paths that lead nowhere."""
_FAILED = "feature_gateway.failed"
"""In the scope of a request: the error that it was answered with."""
_UNTRACED = frozenset({_OPERATIONS, PASSED_ON, "console"})
"""Doors whose requests have no span, or have one of their own: probes and documents, what is passed on to the cluster, and pages that ask
again every two seconds."""
logger = logging.getLogger(__name__)


class Problems:
    """Pure ASGI. Catches everything, once, at the outside; answers only where no answer has begun. Every request that comes here is noted
    in the `book` and, where it is sampled, told of in a span; but reads, which are where they are made."""

    def __init__(self, app: ASGIApp, lifecycle: Lifecycle, book: Book, access_log: AccessLog, telemetry: Telemetry) -> None:
        self.app = app
        self._lifecycle = lifecycle
        self._book = book
        self._access_log = access_log
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began_s = time.perf_counter()
        try:
            await self.app(scope, receive, send)
        except GatewayError as error:
            await self._tell(error, scope, send)
            error.with_traceback(None)  # whose frames hold it: thousands of refusals a second would be work for the collector
        except HTTPException as error:  # the router's: no such path, or no such method on it
            allowed = (error.headers or {}).get("Allow", "")
            await self._tell(MethodNotAllowed(allowed) if error.status_code == 405 else UnknownRoute(), scope, send)
        except asyncio.CancelledError:
            if scope.get(STARTED) or not self._lifecycle.draining:
                raise
            await self._tell(Draining(), scope, send)  # cut by the server's end
        except Exception as error:
            if scope.get(STARTED):
                raise
            begin(scope)
            await self._tell(incident(error, logger), scope, send)
        finally:
            if scope.get(DOOR) is not READ and STATUS in scope:
                self._tell_of(scope, time.perf_counter() - began_s)

    def _tell_of(self, scope: Scope, elapsed_s: float) -> None:
        """Of any request but a read, that it was answered."""
        door, status, error = scope.get(DOOR, _OPERATIONS), scope[STATUS], scope.get(_FAILED)
        self._book.request(door, status, elapsed_s)
        log = self._access_log
        if log.on and (error is not None or log.draws()):
            fault = error.fault.value if isinstance(error, GatewayError) else None
            kind = None if error is None else type(error).__name__
            log.tell(door, status, elapsed_s, request_id=request_ids.current(), fault=fault, error=kind)
        if door not in _UNTRACED:
            route = getattr(scope.get("route"), "path", None)
            self._telemetry.tell_request(scope["method"], route, scope["headers"], id_of(scope), status, elapsed_s, error)

    async def _tell(self, error: GatewayError, scope: Scope, send: Send) -> None:
        if scope.get(STARTED):
            return
        begin(scope)
        accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
        status, headers, body = scope.get(TELL, problem)(error, scope["path"], accept)
        self._book.problems[status, error.fault] += 1
        scope[_FAILED] = error
        if scope.get(DOOR) is not READ:
            self._note(error, status, scope)
        await answer(scope, send, status, headers, body)

    def _note(self, error: GatewayError, status: int, scope: Scope) -> None:
        door = scope.setdefault(DOOR, _UNKNOWN if isinstance(error, UnknownRoute) else _OPERATIONS)
        self._book.recent.append(ErrorNote(time.time(), door, "", status, error.fault, type(error).__name__, request_ids.current()))
