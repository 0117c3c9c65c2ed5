"""Workers that tell one another what is purged: confirmed by all that live, waited for by nobody who does not."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import pytest

from gateway.cache.sharing import Invalidation
from gateway.cache.siblings import Siblings
from gateway.counters import Counters
from gateway.features import Purge, Written
from gateway.lifecycle import Worker
from gateway.tasks import Tasks
from tests.harness.clock import PATIENCE_S

PURGE = Purge("prod", frozenset({"user"}), {"user_id": "ann", "n": 2**62, "x": 1.5, "yes": True}, soft=True)
WRITTEN = Written("prod", "user", ("ann", -(2**63), 0.5, False))


class Sibling:
    """A worker's end. `heard` is what it was told; `gate` is waited at before it has acted on it."""

    def __init__(self, folder: Path, number: int, count: int, patience_s: float = PATIENCE_S) -> None:
        self.heard: list[Sequence[Invalidation]] = []
        self.counters = Counters()
        self.gate = asyncio.Event()
        self.gate.set()
        self._tasks = Tasks()
        self.siblings = Siblings(Worker(number, count, folder), self._tasks, self.counters, patience_s)

    async def __aenter__(self) -> Self:
        await self.siblings.begin(self._hear)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.aclose()
        await self.siblings.aclose()

    async def _hear(self, told: Sequence[Invalidation]) -> None:
        await self.gate.wait()
        self.heard.append(told)


async def test_when_it_has_been_told_all_have_acted_on_it(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        one, two, three = [await stack.enter_async_context(Sibling(tmp_path, number, 3)) for number in (1, 2, 3)]
        await one.siblings.tell([PURGE])
        await one.siblings.tell([WRITTEN, WRITTEN])
        await two.siblings.tell([Purge()])
        assert one.heard == [(Purge(),)]
        assert two.heard == [(PURGE,), (WRITTEN, WRITTEN)]
        assert three.heard == [(PURGE,), (WRITTEN, WRITTEN), (Purge(),)]
        assert not any(sibling.counters.sibling_failures for sibling in (one, two, three))


async def test_many_at_once_are_all_heard(tmp_path: Path) -> None:
    async with Sibling(tmp_path, 1, 2) as one, Sibling(tmp_path, 2, 2) as two:
        told = [Written("prod", "user", ("u" * number, number)) for number in range(500)]
        await asyncio.gather(*(one.siblings.tell([written] * 40) for written in told))
        assert sorted(two.heard, key=lambda heard: str(heard[0].join_keys)) == sorted(
            ((written,) * 40 for written in told), key=lambda heard: str(heard[0].join_keys)
        )


async def test_who_is_not_there_is_not_waited_for(tmp_path: Path) -> None:
    async with Sibling(tmp_path, 1, 3) as one, Sibling(tmp_path, 2, 3) as two:
        async with asyncio.timeout(PATIENCE_S / 2):
            await one.siblings.tell([PURGE])  # the third was never there
            assert two.heard == [(PURGE,)]
    async with Sibling(tmp_path, 1, 2) as one:
        async with Sibling(tmp_path, 2, 2):
            await one.siblings.tell([PURGE])
        async with asyncio.timeout(PATIENCE_S / 2):
            await one.siblings.tell([PURGE])  # it has gone
        async with Sibling(tmp_path, 2, 2) as again:
            await one.siblings.tell([WRITTEN])  # and is there again
            assert again.heard == [(WRITTEN,)]
        assert one.counters.sibling_failures == 0


async def test_one_that_goes_before_it_has_confirmed_is_not_waited_for(tmp_path: Path) -> None:
    async with Sibling(tmp_path, 1, 2) as one:
        two = Sibling(tmp_path, 2, 2)
        await two.siblings.begin(two._hear)
        two.gate.clear()
        telling = asyncio.get_running_loop().create_task(one.siblings.tell([PURGE]))
        await asyncio.sleep(0.05)
        assert not telling.done()
        async with asyncio.timeout(PATIENCE_S / 2):
            await two.__aexit__()
            await telling
        assert one.counters.sibling_failures == 0


async def test_one_that_lives_and_does_not_confirm_is_waited_for_and_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with Sibling(tmp_path, 1, 2, patience_s=0.1) as one, Sibling(tmp_path, 2, 2) as two:
        two.gate.clear()
        with caplog.at_level(logging.WARNING, "gateway.cache.siblings"):
            await one.siblings.tell([PURGE])
        assert one.counters.sibling_failures == 1
        assert "did not confirm a purge" in caplog.text
        assert "ann" not in caplog.text
        two.gate.set()
        await one.siblings.tell([WRITTEN])
        assert two.heard == [(PURGE,), (WRITTEN,)]  # late, but heard
        assert one.counters.sibling_failures == 1


async def test_what_a_worker_that_was_killed_left_behind_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "1.sock").write_bytes(b"")
    async with Sibling(tmp_path, 1, 2) as one, Sibling(tmp_path, 2, 2) as two:
        await two.siblings.tell([PURGE])
        assert one.heard == [(PURGE,)]


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


async def test_nothing_is_left_in_the_folder(tmp_path: Path) -> None:
    async with Sibling(tmp_path, 1, 2), Sibling(tmp_path, 2, 2) as two:
        await two.siblings.tell([PURGE])
        assert names(tmp_path) == ["1.sock", "2.sock"]
    assert names(tmp_path) == []
    await Siblings(Worker(1, 2, tmp_path), Tasks(), Counters()).aclose()  # of one that never began


async def test_nonsense_ends_the_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with Sibling(tmp_path, 1, 2) as one:
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "1.sock"))
        with caplog.at_level(logging.ERROR, "gateway.cache.siblings"):
            frame = (4).to_bytes(4, "big") + (1).to_bytes(8, "big") + b"what"
            writer.write(frame[:7])
            await asyncio.sleep(0.02)
            writer.write(frame[7:])
            assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
        writer.close()
        await writer.wait_closed()
        assert "does not understand" in caplog.text
        assert not one.heard
