"""The one middleware: whatever goes wrong inside becomes one JSON answer."""

import logging
import secrets

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import GatewayError, InternalError, MethodNotAllowed, UnknownRoute
from gateway.web.exchange import STARTED, answer
from gateway.web.problems import answer as problem

logger = logging.getLogger(__name__)


class Problems:
    """Pure ASGI. Catches everything, once, at the outside; answers only where no answer has begun."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        except GatewayError as error:
            await self._tell(error, scope, send)
        except HTTPException as error:  # the router's: no such path, or no such method on it
            allowed = (error.headers or {}).get("Allow", "")
            await self._tell(MethodNotAllowed(allowed) if error.status_code == 405 else UnknownRoute(), scope, send)
        except Exception as error:
            if scope.get(STARTED):
                raise
            incident = secrets.token_hex(8)
            # The type and the place, not the text: an exception's text may quote a value.
            place = error.__traceback__
            while place is not None and place.tb_next is not None:
                place = place.tb_next
            where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place is not None else "?"
            logger.error("incident %s: %s at %s", incident, type(error).__name__, where)  # noqa: TRY400 - see above
            await self._tell(InternalError(f"Internal error. It stands in the gateway's log as incident {incident}."), scope, send)

    @staticmethod
    async def _tell(error: GatewayError, scope: Scope, send: Send) -> None:
        if not scope.get(STARTED):
            await answer(scope, send, *problem(error, scope["path"]))
