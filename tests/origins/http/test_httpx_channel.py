"""Stock httpx, where it lets something through that is no error of its own."""

import asyncio

import httpx
import pytest

from gateway.origins.http.httpx_channel import HttpxChannel


async def test_a_socket_that_has_gone_before_it_was_asked_for_its_name_is_a_lost_connection() -> None:
    """A connection that is reset as soon as it stands: anyio finds None where its socket was, now and then."""

    def ask_for_its_name(_: httpx.Request) -> httpx.Response:
        raise AttributeError("'NoneType' object has no attribute 'family'")

    async with httpx.AsyncClient(transport=httpx.MockTransport(ask_for_its_name), base_url="http://cluster") as client:
        with pytest.raises(httpx.ConnectError, match="lost"):
            await HttpxChannel(client).post("/x", b"{}", {}, asyncio.get_running_loop().time() + 5)
