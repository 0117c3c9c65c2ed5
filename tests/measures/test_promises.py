"""Whether promises are kept, by ledgers that reads were noted in."""

from gateway.measures.book import MOST_SERVICES, Book
from gateway.measures.burn import Past
from gateway.measures.ledgers import Outcome, Slo
from gateway.measures.objectives import Objectives
from gateway.measures.promises import Promise, Promises, summed_promises
from gateway.settings import checked
from tests.harness.clock import Clock

TREE = {"slo": {"latency_ms": 10}, "views": {"user": {"fresh_within_s": 60}}}


class Desk:
    """A book, and what is promised of it."""

    def __init__(self) -> None:
        objectives = Objectives(checked(TREE))
        self.clock = Clock()
        self.book = Book(objectives.latency_s, objectives.bound_s)
        self.promises = Promises(self.book, objectives, self.clock)

    def told(self) -> dict[tuple[str, str, str], Promise]:
        return {promise.subject: promise for promise in self.promises.told()}


async def test_reads_and_values_count_for_what_was_promised_of_them() -> None:
    desk = Desk()
    fraud = desk.book.service("prod", "fraud")
    fraud.hit("named", 1, 2, 0, 0.005)
    fraud.hit("named", 1, 2, 0, 0.02)
    fraud.read("named", Outcome.STALE, 1, 0.001, eligible=False)
    fraud.failed("named", "origin", 503, 0.1, server_error=True)
    fraud.failed("named", "caller", 400, 0.1, server_error=False)
    view = desk.book.view("prod", "user")
    view.aged(10, None)
    view.aged(10, 61)
    desk.book.view("prod", "item").aged(10_000, None)
    desk.book.unknown.failed("named", "origin", 503, 0.1, server_error=True)
    desk.clock.advance(30)
    told = desk.told()
    assert {subject: (promise.pasts["5m"].events, promise.pasts["5m"].bad) for subject, promise in told.items()} == {
        ("prod", "fraud", Slo.AVAILABILITY): (4, 1),
        ("prod", "fraud", Slo.LATENCY): (2, 1),
        ("prod", "fraud", Slo.STALE): (3, 1),
        ("prod", "user", "freshness"): (2, 1),
    }
    assert {promise.within_s for promise in told.values()} == {None, 0.01, 60}
    await desk.promises.note()
    desk.clock.advance(310)
    late = desk.told()["prod", "fraud", Slo.AVAILABILITY].pasts
    assert (late["5m"], late["30m"]) == (Past(310, 0, 0), Past(340, 4, 1))


async def test_other_objectives_hold_for_what_is_past_too() -> None:
    desk = Desk()
    desk.book.service("prod", "fraud").failed("named", "origin", 503, 0.1, server_error=True)
    desk.promises.objectives = Objectives(checked({"slo": {"availability": 0.5}}))
    assert desk.told()["prod", "fraud", Slo.AVAILABILITY].objective == 0.5


async def test_what_is_kept_is_bounded_however_many_feature_services_there_are() -> None:
    desk = Desk()
    for number in range(2 * MOST_SERVICES):
        desk.book.service("prod", f"s{number}").hit("named", 1, 1, 0, 0.001)
    for _ in range(50):
        desk.clock.advance(9_000)
        await desk.promises.note()
    counts = [one.counts for window in desk.promises._burns._windows.values() for one in window._beginnings]
    assert sum(len(one) * one.itemsize for one in counts) < 4_000_000
    assert len(desk.told()) <= 3 * (MOST_SERVICES + 1)


def test_workers_are_added_up() -> None:
    def promise(slo: str, length_s: float, events: int, bad: int) -> Promise:
        return Promise("prod", "fraud", slo, 0.9, None, {"5m": Past(length_s, events, bad)})

    added = summed_promises([[promise("latency", 300, 5, 1), promise("stale", 300, 9, 0)], [promise("latency", 20, 7, 2)], []])
    assert list(added.values()) == [promise("latency", 300, 12, 3), promise("stale", 300, 9, 0)]
