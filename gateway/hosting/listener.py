"""Listening sockets, and the end of one. Closing it resets the connections in its queue, whose clients have reason to think that they were
heard: so the door is shut first, then whoever is in is let in, and then it closes."""

import ctypes
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

HANDSHAKE_S = 0.02
"""For those who had begun to connect when the door was shut."""
_LONGEST_QUEUE = 4_096
_SO_ATTACH_FILTER = 26
_LOAD_BYTE, _AND, _JUMP_IF_EQUAL, _RETURN = 0x30, 0x54, 0x15, 0x06
_FLAGS_AT, _SYN, _WHOLE = 13, 0x02, 0xFFFFFFFF
_NO_SYN = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        (_LOAD_BYTE, 0, 0, _FLAGS_AT),
        (_AND, 0, 0, _SYN),
        (_JUMP_IF_EQUAL, 0, 1, 0),
        (_RETURN, 0, 0, _WHOLE),
        (_RETURN, 0, 0, 0),
    )
)
"""A socket filter (Linux, classic BPF, from the TCP header on) that drops whatever opens a connection."""


class Listeners(NamedTuple):
    """`operations`: of the port for probes and metrics, where it is another."""

    main: socket.socket
    operations: socket.socket | None = None

    def close(self) -> None:
        for one in self:
            if one is not None:
                one.close()


def shut(listener: socket.socket) -> None:
    """Nobody joins the queue any more, through whichever process's hold on the socket; whoever tries is refused a second later, by when it
    has closed. Elsewhere than on Linux this does nothing, and who comes between the last look at the queue and the close is reset."""
    if sys.platform == "linux":
        program = ctypes.create_string_buffer(_NO_SYN, len(_NO_SYN))
        with suppress(OSError):  # a kernel without filters
            listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(_NO_SYN) // 8, ctypes.addressof(program)))


def accepted(listener: socket.socket) -> Iterator[socket.socket]:
    """The connections in a listener's queue, which others may be filling meanwhile."""
    listener.settimeout(0)
    for _ in range(_LONGEST_QUEUE):
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.settimeout(0)
        yield connection
