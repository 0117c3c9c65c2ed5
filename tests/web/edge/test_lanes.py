"""Heads of read requests, remembered by their bytes."""

from pathlib import Path

import pytest

from gateway.app import Seams, create_app
from gateway.errors import MalformedHttp
from gateway.settings import checked
from gateway.web.edge.framing import Framing
from gateway.web.edge.lanes import REMEMBERED_BYTES, KnownHeads, Lanes
from tests.harness.houses import demo_settings
from tests.web.edge.bench import Bench

V1 = "/api/v1/feature-service/get-features"
SHARED_KEYS = 30
"""Attributes of an object up to which CPython keeps their names in a table of the class (`SHARED_KEYS_MAX_SIZE`)."""


@pytest.fixture
def heads(demo_dir: Path) -> KnownHeads:
    routes = create_app(checked(demo_settings(demo_dir)), Seams(environment={})).routes
    return KnownHeads(Framing(max_header_bytes=65_536, max_headers=100, max_body_bytes=1_000_000), Lanes(routes))


def head(*lines: str, path: str = V1) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: gateway", "Content-Length: 9", *lines, "", ""]).encode()


def test_the_same_bytes_are_the_same_head_and_lane(heads: KnownHeads) -> None:
    one, lane = heads.read(head("Authorization: Tecton-key a"))
    assert lane is not None
    assert lane.authorization == b"Tecton-key a"
    again = heads.read(head("Authorization: Tecton-key a"))
    assert again[0] is one
    assert again[1] is lane
    other = heads.read(head("Authorization: Tecton-key b"))
    assert other[1] is not None
    assert other[1].authorization == b"Tecton-key b"


@pytest.mark.parametrize(
    "raw",
    [head(path="/livez"), head("Connection: close"), head("X-Long: " + "a" * REMEMBERED_BYTES)],
    ids=["no read door", "not plain", "long"],
)
def test_others_are_read_anew(heads: KnownHeads, raw: bytes) -> None:
    one, lane = heads.read(raw)
    again = heads.read(raw)
    assert again == (one, lane)
    assert again[0] is not one


def test_what_is_no_head_is_refused_each_time(heads: KnownHeads) -> None:
    for _ in range(2):
        with pytest.raises(MalformedHttp):
            heads.read(head("Content-Length : 9"))


def test_so_many_are_remembered_and_no_more(heads: KnownHeads) -> None:
    first, _ = heads.read(head())
    for number in range(2_000):
        heads.read(head(f"X-Request-Id: {number}"))
        assert len(heads) <= 512
    assert heads.read(head())[0] == first


async def test_a_connection_shares_the_table_of_its_attributes_with_others() -> None:
    connection, _ = Bench().connect()
    assert len(vars(connection)) <= SHARED_KEYS
