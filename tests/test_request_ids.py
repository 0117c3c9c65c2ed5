"""Request ids: whose are taken, what is made, and how far one reaches."""

import asyncio
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import request_ids
from gateway.tasks import Tasks


@pytest.mark.parametrize("header", [b"a", b"0", b"A-Z_a.z", b"x" * 128, b"..", b"550e8400-e29b-41d4-a716-446655440000"])
def test_a_well_formed_id_is_taken_as_it_is(header: bytes) -> None:
    assert request_ids.taken(header) == header.decode()


@pytest.mark.parametrize(
    "header", [None, b"", b"x" * 129, b"a b", b" a", b"a\n", b"a\r\nx: y", b"a\x00", b"a/b", b"a:b", b"\xc3\xa9", b"a,b", b"${x}", b"<x>"]
)
def test_any_other_is_none(header: bytes | None) -> None:
    assert request_ids.taken(header) is None


@given(st.binary(max_size=140))
def test_what_is_taken_is_safe_to_write_anywhere(header: bytes) -> None:
    taken = request_ids.taken(header)
    assert taken is None or re.fullmatch(r"[A-Za-z0-9._-]{1,128}", taken)


def test_what_is_made_is_well_formed_and_made_once() -> None:
    made = [request_ids.made() for _ in range(1_000)]
    assert len(set(made)) == 1_000
    assert all(request_ids.taken(one.encode()) == one for one in made)


async def test_an_id_reaches_what_is_begun_for_its_request_and_nothing_else() -> None:
    tasks = Tasks()

    async def request(name: str) -> tuple[str | None, str | None]:
        request_ids.assume(name)
        await asyncio.sleep(0)
        return request_ids.current(), await tasks.start(flight())

    async def flight() -> str | None:
        await asyncio.sleep(0)
        return request_ids.current()

    served = await asyncio.gather(*[tasks.start(request(name)) for name in ("a", "b", "c")])
    assert served == [("a", "a"), ("b", "b"), ("c", "c")]
    assert request_ids.current() is None
