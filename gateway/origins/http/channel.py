"""Calls to one base URL, fixed when it is opened: a body out, a whole reply in. The seam between what an origin says and how it travels.

No part of a call chooses where it goes: a path is appended to the base URL, and nothing of a reply is followed.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

USER_AGENT = "feature-gateway"


class Reply(NamedTuple):
    """A whole reply. `headers`: names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Channel(Protocol):
    """`path` begins with a slash; `deadline_s` is on the event loop's clock, and bounds all of a call. `again`: whether it may be sent
    twice, where a connection turns out to have been closed while nothing was under way on it.

    Raises httpx.TransportError, httpx.DecodingError for a reply that is not encoded as it says, and TooLarge.
    """

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], deadline_s: float, *, again: bool = True) -> Reply: ...

    async def aclose(self) -> None: ...
