"""The one middleware: whatever goes wrong inside becomes one JSON answer."""

import asyncio
import logging

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import Draining, GatewayError, MethodNotAllowed, UnknownRoute
from gateway.incidents import incident
from gateway.lifecycle import Lifecycle
from gateway.web.exchange import STARTED, answer, begin
from gateway.web.problems import answer as problem

logger = logging.getLogger(__name__)


class Problems:
    """Pure ASGI. Catches everything, once, at the outside; answers only where no answer has begun."""

    def __init__(self, app: ASGIApp, lifecycle: Lifecycle) -> None:
        self.app = app
        self._lifecycle = lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
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

    @staticmethod
    async def _tell(error: GatewayError, scope: Scope, send: Send) -> None:
        if not scope.get(STARTED):
            begin(scope)
            accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
            await answer(scope, send, *problem(error, scope["path"], accept))
