"""A terminal in the place of one of this process's streams."""

import os
import pty
import sys
from collections.abc import Callable

import pytest


def said_on_a_terminal(stream: str, monkeypatch: pytest.MonkeyPatch, work: Callable[[], None]) -> str:
    """All that is written to the stream meanwhile; it must fit into a terminal's buffer (4 KB)."""
    ours, theirs = pty.openpty()
    with monkeypatch.context() as patch, os.fdopen(theirs, "w") as terminal:
        patch.setenv("TERM", "xterm")
        patch.setattr(sys, stream, terminal)
        work()
    said = b""
    try:
        while more := os.read(ours, 65_536):
            said += more
    except OSError:  # how Linux tells that nobody writes there any more
        pass
    finally:
        os.close(ours)
    return said.decode()
