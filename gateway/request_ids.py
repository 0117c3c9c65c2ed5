"""Request ids: by what one request is found again, in the gateway's log and spans, at the origin, and by its caller.

A caller's own id is taken where it is well formed, else one is made. It travels in a context variable: what is begun for a request inherits
it, so a flight that several wait on has its leader's id, and a refresh in the background that of the read behind which it was begun. Hits
have none.
"""

import itertools
import re
import secrets
from contextvars import ContextVar, Token

HEADER = b"x-request-id"
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_PROCESS = secrets.token_hex(6)
_numbers = itertools.count(1)
_current: ContextVar[str | None] = ContextVar("request_id", default=None)


def taken(header: bytes | None) -> str | None:
    """The caller's own id, if it is one: 1 to 128 of A-Z a-z 0-9 . _ -"""
    return header.decode("ascii") if header is not None and _WELL_FORMED.fullmatch(header) else None


def made() -> str:
    """An id that no other process makes, for the price of a counter."""
    return f"{_PROCESS}-{next(_numbers):x}"


def assume(request_id: str) -> Token[str | None]:
    """From here on, this is the id of what is being done."""
    return _current.set(request_id)


leave = _current.reset
"""It is not any longer: what went before holds again."""


current = _current.get
"""The id of the request that is being served; None for a hit, and outside of requests."""
