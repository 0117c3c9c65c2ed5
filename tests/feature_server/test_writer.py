"""One commit for all who wait, each with an answer of its own; whoever else needs the writer's thread has its turn in between."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread, current_thread
from typing import Any

import pytest

from gateway.errors import OriginThrottled, OriginUnavailable
from gateway.feature_server.engine import Engine
from gateway.feature_server.online.base import Batch
from gateway.feature_server.online.sqlite import SqliteStore
from gateway.feature_server.writer import MAX_WAITING, Writer
from tests.feature_server.sales import Time, body, mall, opened, sale, values, view
from tests.harness.clock import PATIENCE_S, wait_until

Work = Writer[str, str]


class Desk:
    """Commits by answering in capitals; notes its groups, and what else was done, in order."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.pauses: list[float | None] = []
        self.calls: SimpleQueue[int] = SimpleQueue()
        self.called = 0

    def commit(self, group: Sequence[str]) -> Sequence[str | Exception]:
        self.done.append(list(group))
        if "break all" in group:
            raise KeyError("all")
        return [ValueError(one) if one.startswith("bad") else one.upper() for one in group]

    def between(self) -> float | None:
        self.called += 1
        self.calls.put(self.called)
        return self.pauses.pop(0) if self.pauses else None

    def wait_called(self, times: int) -> None:
        while self.calls.get(timeout=PATIENCE_S) < times:
            pass


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def writer(desk: Desk) -> Iterator[Work]:
    writer = Work(desk.commit, desk.between)
    yield writer
    writer.close()


@contextmanager
def held(writer: Writer[Any, Any]) -> Iterator[None]:
    """Its thread stands still, so that whatever comes now waits."""
    gate, started = Event(), Event()

    def hold() -> None:
        started.set()
        assert gate.wait(PATIENCE_S)

    holder = Thread(target=writer.run, args=(hold,))
    holder.start()
    assert started.wait(PATIENCE_S)
    try:
        yield
    finally:
        gate.set()
        holder.join(PATIENCE_S)


def results(futures: Sequence[Future[Any]]) -> list[Any]:
    return [future.result(PATIENCE_S) for future in futures]


def test_all_who_wait_are_one_group_and_are_answered_in_order(writer: Work, desk: Desk) -> None:
    with held(writer):
        waiting = [writer.submit(name) for name in "abcde"]
    assert results(waiting) == list("ABCDE")
    assert desk.done == [list("abcde")]


def test_a_request_that_comes_alone_is_not_kept_waiting_for_others(writer: Work, desk: Desk) -> None:
    assert [writer.submit(name).result(PATIENCE_S) for name in "ab"] == ["A", "B"]
    assert desk.done == [["a"], ["b"]]


def test_each_gets_its_own_reply_or_error(writer: Work) -> None:
    with held(writer):
        good, bad, fine = (writer.submit(name) for name in ("good", "bad", "fine"))
    assert results([good, fine]) == ["GOOD", "FINE"]
    with pytest.raises(ValueError, match="bad"):
        bad.result(PATIENCE_S)


def test_what_befalls_the_group_is_told_to_each_and_the_next_group_is_served(writer: Work) -> None:
    with held(writer):
        group = [writer.submit(name) for name in ("a", "break all", "b")]
    assert [type(one.exception(PATIENCE_S)) for one in group] == [KeyError] * 3
    assert writer.submit("c").result(PATIENCE_S) == "C"


def test_who_has_gone_away_while_waiting_is_not_written(writer: Work, desk: Desk) -> None:
    with held(writer):
        stays, goes = writer.submit("stays"), writer.submit("goes")
        assert goes.cancel()
    assert stays.result(PATIENCE_S) == "STAYS"
    assert desk.done == [["stays"]]


def test_a_group_of_whom_all_have_gone_away_is_no_group(writer: Work, desk: Desk) -> None:
    with held(writer):
        for name in "ab":
            assert writer.submit(name).cancel()
    assert writer.submit("c").result(PATIENCE_S) == "C"
    assert desk.done == [["c"]]


def test_what_is_under_way_cannot_be_taken_back(desk: Desk) -> None:
    reached, gate = Event(), Event()

    def commit(group: Sequence[str]) -> Sequence[str | Exception]:
        reached.set()
        assert gate.wait(PATIENCE_S)
        return desk.commit(group)

    writer = Work(commit, desk.between)
    future = writer.submit("a")
    assert reached.wait(PATIENCE_S)
    assert not future.cancel()
    gate.set()
    assert future.result(PATIENCE_S) == "A"
    writer.close()


def test_more_than_may_wait_are_asked_to_come_back_until_the_line_moves(writer: Work, desk: Desk) -> None:
    with held(writer):
        waiting = [writer.submit(str(number)) for number in range(MAX_WAITING)]
        with pytest.raises(OriginThrottled) as throttled:
            writer.submit("one too many")
        assert throttled.value.retry_after == "1"
    assert len(results(waiting)) == MAX_WAITING
    assert desk.done == [[str(number) for number in range(MAX_WAITING)]]
    assert writer.submit("again").result(PATIENCE_S) == "AGAIN"


def test_those_who_went_away_leave_their_places(writer: Work) -> None:
    for _ in range(2):
        with held(writer):
            assert all(writer.submit("a").cancel() for _ in range(MAX_WAITING))
    assert writer.submit("b").result(PATIENCE_S) == "B"


def test_close_answers_what_waits_and_takes_no_more(desk: Desk) -> None:
    writer = Work(desk.commit, desk.between)
    gate, started = Event(), Event()

    def hold() -> None:
        started.set()
        assert gate.wait(PATIENCE_S)

    holder = Thread(target=writer.run, args=(hold,))
    holder.start()
    assert started.wait(PATIENCE_S)
    waiting = [writer.submit(name) for name in "abc"]
    closer = Thread(target=writer.close)
    closer.start()
    gate.set()
    assert results(waiting) == list("ABC")
    closer.join(PATIENCE_S)
    holder.join(PATIENCE_S)
    assert not closer.is_alive()
    for late in (lambda: writer.submit("d"), lambda: writer.run(desk.between)):
        with pytest.raises(OriginUnavailable, match="shutting down"):
            late()
    writer.wake()
    writer.close()


def test_a_task_has_its_turn_between_the_groups_before_and_after_it(writer: Work, desk: Desk) -> None:
    def task() -> str:
        desk.done.append("task")
        return current_thread().name

    names: list[str] = []
    with held(writer):
        before = [writer.submit(name) for name in "ab"]
        runner = Thread(target=lambda: names.append(writer.run(task)))
        runner.start()
        wait_until(lambda: writer._queue.qsize() == 3, "the task stands in line")
        after = [writer.submit(name) for name in "cd"]
    assert results(before + after) == list("ABCD")
    runner.join(PATIENCE_S)
    assert desk.done == [["a", "b"], "task", ["c", "d"]]
    assert names == ["feature-server-writer"]


def test_what_a_task_raises_is_raised_where_it_is_waited_for(writer: Work) -> None:
    def fail() -> None:
        raise LookupError("in the task")

    with pytest.raises(LookupError, match="in the task"):
        writer.run(fail)
    assert writer.submit("a").result(PATIENCE_S) == "A"


def test_between_is_called_once_and_then_not_before_it_is_due(writer: Work, desk: Desk) -> None:
    desk.wait_called(1)
    for _ in range(3):
        writer.run(lambda: None)
    assert desk.called == 1


def test_wake_has_between_called(writer: Work, desk: Desk) -> None:
    desk.wait_called(1)
    writer.wake()
    desk.wait_called(2)
    assert desk.called == 2


def test_between_is_called_again_as_soon_as_it_asks_to_be(desk: Desk) -> None:
    desk.pauses = [0.0, 0.0, 0.001, 3600.0]
    writer = Work(desk.commit, desk.between)
    desk.wait_called(4)
    writer.close()
    assert desk.called == 4


def test_requests_have_their_turn_before_between_goes_on(desk: Desk) -> None:
    reached, gate = Event(), Event()

    def between() -> float | None:
        desk.done.append("step")
        if len(desk.done) == 1:
            reached.set()
            assert gate.wait(PATIENCE_S)
            return 0.0
        return None

    writer = Work(desk.commit, between)
    assert reached.wait(PATIENCE_S)
    waiting = [writer.submit(name) for name in "ab"]
    gate.set()
    assert results(waiting) == ["A", "B"]
    writer.close()
    assert desk.done[:2] == ["step", ["a", "b"]]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_exception_in_between_does_not_end_the_thread(desk: Desk) -> None:
    failed = Event()

    def between() -> float | None:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("between")
        return None

    writer = Work(desk.commit, between)
    assert failed.wait(PATIENCE_S)
    try:
        assert writer.submit("a").result(2) == "A"
    finally:
        writer.close()


class Watched(SqliteStore):
    """Counts writes, and the commits that are synced; breaks on request."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.writes = 0
        self.commits = 0
        self.breaks: Callable[[Batch], None] = lambda _batch: None
        self._writer.set_trace_callback(self._note)

    def _note(self, statement: str) -> None:
        self.commits += statement == "COMMIT"

    def write(self, work: Callable[[Any], Any]) -> Any:
        self.writes += 1

        def broken(batch: Batch) -> Any:
            self.breaks(batch)
            return work(batch)

        return super().write(broken)


class Refuses:
    """Breaks every write that asks for the event of one user."""

    def __init__(self, error: Exception, user: bytes) -> None:
        self.error = error
        self.user = user

    def __call__(self, batch: Any) -> None:
        look = batch.payloads

        def payloads(wanted: Sequence[Any]) -> Any:
            if any(self.user in key.cell.join_key for key in wanted):
                raise self.error
            return look(wanted)

        batch.payloads = payloads


@pytest.fixture
def store(path: Path) -> Watched:
    return Watched(path)


@pytest.fixture
def engine(path: Path, store: Watched) -> Iterator[Engine]:
    with ExitStack() as stack:
        yield stack.enter_context(opened(path, mall(view(), view("by_shop", keys=("shop",))), Time(), store))


def test_all_requests_that_wait_cost_one_write_and_one_sync(engine: Engine, store: Watched) -> None:
    store.writes = store.commits = 0
    with held(engine._writer):
        waiting = [engine.begin_ingest(body(sale(id=f"s{number}"), sale(2, id=f"s{number}"))) for number in range(40)]
    assert {reply.status for reply in results(waiting)} == {200}
    assert (store.writes, store.commits) == (1, 1)
    assert values(engine)["amount_count_10m_1m"] == 80


def test_the_last_of_a_group_wins_as_it_would_alone(engine: Engine) -> None:
    with held(engine._writer):
        results_of = [engine.begin_ingest(body(sale(amount=amount))) for amount in (5, 7, 3)]
    assert {reply.status for reply in results(results_of)} == {200}
    assert values(engine) == {"amount_count_10m_1m": 1, "amount_sum_10m_1m": 3}


def test_refusals_and_dry_runs_cost_no_write_and_stand_among_the_others(engine: Engine, store: Watched) -> None:
    store.writes = 0
    with held(engine._writer):
        waiting = [engine.begin_ingest(one) for one in (b"{}", body(sale(), dry_run=True), body(sale(colour="red")))]
    assert [reply.status for reply in results(waiting)] == [400, 200, 400]
    assert store.writes == 0
    with held(engine._writer):
        waiting = [engine.begin_ingest(one) for one in (b"{}", body(sale()), body(sale(2)))]
    assert [reply.status for reply in results(waiting)] == [400, 200, 200]
    assert store.writes == 1


def test_what_breaks_a_group_is_told_to_whom_it_belongs_and_the_others_are_stored(engine: Engine, store: Watched) -> None:
    store.breaks = Refuses(RuntimeError("unforeseen"), b"eve")
    with held(engine._writer):
        good, breaks, fine = (engine.begin_ingest(body(sale(user=user, id=user))) for user in ("ann", "eve", "bob"))
    assert [reply.status for reply in results([good, fine])] == [200, 200]
    assert [{one.join_keys for one in reply.written or ()} for reply in results([good, fine])] == [{("ann",), (1,)}, {("bob",), (1,)}]
    with pytest.raises(RuntimeError, match="unforeseen"):
        breaks.result(PATIENCE_S)
    assert values(engine, "by_shop")["amount_count_10m_1m"] == 2
    assert values(engine, user="eve")["amount_count_10m_1m"] is None


def test_a_store_that_is_away_is_told_to_all_who_would_have_written(engine: Engine, store: Watched) -> None:
    store.breaks = Refuses(OriginUnavailable("away"), b"eve")
    store.writes = 0
    with held(engine._writer):
        group = [engine.begin_ingest(body(sale(user=user))) for user in ("ann", "eve", "bob")]
    assert [type(one.exception(PATIENCE_S)) for one in group] == [OriginUnavailable] * 3
    assert store.writes == 1
    assert values(engine, "by_shop")["amount_count_10m_1m"] is None


@pytest.mark.parametrize("error", [RuntimeError("unforeseen"), OriginUnavailable("away")])
def test_whoever_writes_nothing_is_answered_whatever_befalls_the_write(engine: Engine, store: Watched, error: Exception) -> None:
    store.breaks = Refuses(error, b"eve")
    with held(engine._writer):
        refused, dry, breaks = (engine.begin_ingest(one) for one in (b"{}", body(sale(), dry_run=True), body(sale(user="eve"))))
    assert type(breaks.exception(PATIENCE_S)) is type(error)
    assert [reply.status for reply in results([refused, dry])] == [400, 200]
