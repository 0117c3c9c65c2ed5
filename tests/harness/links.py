"""Connections as the system sees them, of whichever process: what a server cannot tell whose client is gone without a word."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_ESTABLISHED, _CLOSE_WAIT = "01", "08"


def links_to(port: int) -> int:
    """How many connections to this port of loopback their client holds, also where the server has ended its side (proc(5), net/tcp)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[2].rpartition(":")[2], 16) == port and row[3] in (_ESTABLISHED, _CLOSE_WAIT) for row in rows)


@contextmanager
def nobody_home(port: int) -> Iterator[None]:
    """A port where connections are never made, and nobody says so: its queue is full, and the system drops whoever knocks (listen(2))."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", port), backlog=0))
        for _ in range(4):
            knocking = stack.enter_context(socket.socket())
            knocking.setblocking(False)  # noqa: FBT003 - the standard library's signature
            knocking.connect_ex(listener.getsockname())
        yield
