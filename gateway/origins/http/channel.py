"""Calls to one base URL, fixed when it is opened: a body out, a whole reply in. The seam between what an origin says and how it travels.

No part of a call chooses where it goes: a path is appended to the base URL, and nothing of a reply is followed.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

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


class Posted(Protocol):
    """A call that has been sent, and whose reply is on its way."""

    def reply(self) -> Reply | None:
        """What came, once its end was told; None where that was no whole reply: whoever waits is told why."""
        ...

    async def waited(self, deadline_s: float) -> Reply:
        """The same, waited for: what `post` does once it has sent. Nothing is told from here on."""
        ...


@runtime_checkable
class PromptChannel(Channel, Protocol):
    """One that can also be asked without waiting."""

    def begin(self, path: str, body: bytes, headers: Mapping[str, str], tell: Callable[[], object]) -> Posted | None:
        """Send at once, as `post` with `again`; None where no connection is at hand. `tell` is called when the reply, or what came instead,
        is there."""
        ...
