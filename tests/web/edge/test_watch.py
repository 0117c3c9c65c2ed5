"""One timer for all: who is overdue is told so, who is not is left alone, and nobody to look after means no timer."""

import asyncio
from dataclasses import dataclass, field
from math import inf

import pytest

from gateway.web.edge.watch import Watch, every_s


class Loop(asyncio.SelectorEventLoop):
    """Time that stands still, and timers that a test lets off."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 100.0

    def time(self) -> float:
        return self.now_s

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        self.call_soon(self.stop)
        self.run_forever()


@dataclass(eq=False)
class Connection:
    due_s: float = inf
    read_by_s: float = inf
    expired: list[float] = field(default_factory=list)

    def expire(self, now_s: float) -> None:
        self.expired.append(now_s)
        self.due_s = self.read_by_s = inf


def test_the_overdue_are_told_within_one_look_and_nobody_else() -> None:
    loop, watch = Loop(), Watch(0.5)
    late, unread, patient = Connection(due_s=101.0), Connection(read_by_s=101.2), Connection(due_s=200.0, read_by_s=inf)
    for one in (late, unread, patient):
        watch.enter(one, loop)
    assert len(watch) == 3
    seen = []
    for _ in range(4):
        loop.pass_time(0.51)
        seen.append((len(late.expired), len(unread.expired)))
    loop.close()
    assert seen[0] == (0, 0)
    assert seen[-1] == (1, 1)
    assert late.expired[0] - 101.0 <= 0.52
    assert not patient.expired


def looks(watch: Watch) -> bool:
    return watch._timer is not None


def test_there_is_no_timer_without_anybody() -> None:
    loop, watch = Loop(), Watch(0.5)
    one = Connection()
    for _ in range(2):
        watch.enter(one, loop)
        assert looks(watch)
        watch.leave(one)
        assert not looks(watch)
        watch.leave(one)
    loop.close()


@pytest.mark.parametrize(("limits_s", "expected_s"), [((10.0, 30.0, 30.0), 1.0), ((0.8, 30.0, 30.0), 0.1), ((0.001, 1.0, 1.0), 0.01)])
def test_it_looks_often_enough_for_the_shortest_limit_and_not_all_the_time(limits_s: tuple[float, ...], expected_s: float) -> None:
    assert every_s(*limits_s) == pytest.approx(expected_s)
