"""Signing in and out. A key is shown once, and answered with a session; it is kept nowhere."""

import re

from gateway.errors import GatewayError, PermissionDenied, Unauthenticated
from gateway.web.console.door import HOME, Asked, Reception, Told, see_other, set_cookie
from gateway.web.console.pages import Pages
from gateway.web.problems import status_of

_OURS = re.compile(r"/console(?:[/?][\x21-\x7e]*)?")
"""Where somebody may be sent after signing in: nowhere but into the console."""
_WRONG = "This key opens nothing here, or not any more."
_FEW_RIGHTS = "This key has no role in all workspaces, which the console asks for."


class SigningIn:
    def __init__(self, reception: Reception, pages: Pages) -> None:
        self._reception = reception
        self._pages = pages

    async def page(self, asked: Asked) -> Told:
        wanted = asked.query.get("next", "")
        return await self._form(wanted if _OURS.fullmatch(wanted) else HOME)

    async def begin(self, asked: Asked) -> Told:
        target = asked.form.get("next", "")
        target = target if _OURS.fullmatch(target) else HOME
        try:
            visitor = self._reception.doorkeeper.by_header(b"Tecton-key " + asked.form.get("key", "").strip().encode("utf-8", "replace"))
        except (Unauthenticated, PermissionDenied) as error:
            return await self._form(target, error)
        sessions = self._reception.sessions
        cookie = sessions.begin(visitor.credential, visitor.key)
        return see_other(target, set_cookie(cookie, sessions.life_s, secure=asked.secure))

    async def end(self, asked: Asked) -> Told:
        return see_other(f"{HOME}/sign-in", set_cookie("", 0, secure=asked.secure))

    async def _form(self, target: str, error: GatewayError | None = None) -> Told:
        wrong = None if error is None else _FEW_RIGHTS if isinstance(error, PermissionDenied) else _WRONG
        body = await self._pages.make("sign_in.html", None, next=target, wrong=wrong)
        return Told(body, 200 if error is None else status_of(error))
