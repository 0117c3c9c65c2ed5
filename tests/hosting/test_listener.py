"""Listening sockets on this machine, at their end."""

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from gateway.hosting.listener import accepted, shut
from tests.harness.clock import PATIENCE_S


@pytest.fixture(params=[("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)], ids=["IPv4", "IPv6"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    host, family = request.param
    with socket.create_server((host, 0), family=family, backlog=64) as listener:
        yield listener


def place_of(listener: socket.socket) -> tuple[str, int]:
    host, port = listener.getsockname()[:2]
    return host, port


def test_whoever_waits_in_its_queue_is_let_in(listener: socket.socket) -> None:
    with ExitStack() as open_:
        waiting = [open_.enter_context(socket.create_connection(place_of(listener))) for _ in range(10)]
        let_in = [open_.enter_context(one) for one in accepted(listener)]
        assert {one.getpeername() for one in let_in} == {one.getsockname() for one in waiting}
        assert list(accepted(listener)) == []


@pytest.mark.skipif(sys.platform != "linux", reason="socket filters are Linux's")
def test_nobody_joins_the_queue_of_one_that_is_shut_and_those_in_it_are_heard(listener: socket.socket) -> None:
    place = place_of(listener)
    with ExitStack() as open_:
        early = open_.enter_context(socket.create_connection(place))
        shut(listener)
        with pytest.raises(TimeoutError):
            socket.create_connection(place, timeout=0.1)
        early.sendall(b"?")
        [let_in] = [open_.enter_context(one) for one in accepted(listener)]
        listener.close()
        let_in.settimeout(PATIENCE_S)
        assert let_in.recv(1) == b"?"
        let_in.sendall(b"!")
        assert early.recv(1) == b"!"
        let_in.close()
        assert early.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(place, timeout=PATIENCE_S)
