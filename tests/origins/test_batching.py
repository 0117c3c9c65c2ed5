"""What refusals teach of which feature services take batches, and what becomes of a batch that is refused."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from gateway.errors import GatewayError, InvalidRequest, NotFound, OriginFailed
from gateway.features import Caller, ServiceRef
from gateway.origins import batching
from gateway.origins.base import Fetch, FetchRow
from gateway.origins.batching import Batching
from gateway.origins.http.connector import Connector
from gateway.origins.tecton import TectonOrigin
from tests.harness.clock import Clock
from tests.harness.cluster import ALICE, Act, Cluster, html, refuse

SERVICE, OTHER = ServiceRef("prod", "lite"), ServiceRef("prod", "fraud")
MINUTE = 60.0


def row(number: int, amount: float = 1.0) -> FetchRow:
    return FetchRow({"user_id": "ann", "merchant_id": number}, {"amount": amount}, frozenset({"user"}))


ROWS = [row(1), row(2), row(3)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def learner(clock: Clock) -> Batching:
    return Batching(10, {}, clock)


def test_batches_are_taken_until_one_is_refused(learner: Batching) -> None:
    assert learner.limit(SERVICE) == 10


@pytest.mark.parametrize("status", [405, 501])
def test_a_refusal_that_leaves_no_doubt_is_believed_for_five_minutes(learner: Batching, clock: Clock, status: int) -> None:
    assert learner.refused(SERVICE, ROWS, status)
    assert (learner.limit(SERVICE), learner.limit(OTHER)) == (1, 10)
    clock.advance(5 * MINUTE - 1)
    assert learner.limit(SERVICE) == 1
    clock.advance(1)
    assert learner.limit(SERVICE) == 10


def test_a_batch_that_is_answered_ends_it(learner: Batching) -> None:
    """One that was under way when another was refused."""
    learner.refused(SERVICE, ROWS, 501)
    learner.answered(SERVICE, ROWS)
    assert learner.limit(SERVICE) == 10


@pytest.mark.parametrize("status", [400, 404])
def test_a_refused_batch_all_of_whose_rows_are_answered_alone_was_refused_for_being_one(learner: Batching, status: int) -> None:
    assert learner.refused(SERVICE, ROWS, status)
    for one in reversed(ROWS):
        assert learner.limit(SERVICE) == 10
        learner.answered(SERVICE, [one])
    assert (learner.limit(SERVICE), learner.limit(OTHER)) == (1, 10)


@pytest.mark.parametrize("status", [400, 404])
def test_a_refused_batch_with_a_row_that_is_refused_alone_was_refused_for_that_row(learner: Batching, status: int) -> None:
    learner.refused(SERVICE, ROWS, 400)
    learner.answered(SERVICE, [ROWS[0]])
    assert not learner.refused(SERVICE, [ROWS[1]], status)
    learner.answered(SERVICE, [ROWS[2]])
    assert learner.limit(SERVICE) == 10


def test_other_rows_prove_nothing(learner: Batching) -> None:
    learner.refused(SERVICE, ROWS, 400)
    for one in (row(4), row(1, amount=2.0), *ROWS[:2], ROWS[0]):
        learner.answered(SERVICE, [one])
        learner.answered(OTHER, [ROWS[2]])
    assert not learner.refused(SERVICE, [row(5)], 400)  # nor does this one take the doubt away
    assert not learner.refused(SERVICE, [ROWS[2]], 503)
    assert learner.limit(SERVICE) == 10
    learner.answered(SERVICE, [ROWS[2]])
    assert learner.limit(SERVICE) == 1


def test_a_batch_that_is_answered_takes_the_doubt_away(learner: Batching) -> None:
    learner.refused(SERVICE, ROWS, 400)
    learner.answered(SERVICE, [row(7), row(8)])
    for one in ROWS:
        learner.answered(SERVICE, [one])
    assert learner.limit(SERVICE) == 10


def test_one_refused_batch_is_evidence_enough(learner: Batching) -> None:
    """Of several under way at once the rows of the first decide."""
    learner.refused(SERVICE, ROWS, 400)
    learner.refused(SERVICE, [row(7), row(8)], 400)
    for one in ROWS:
        learner.answered(SERVICE, [one])
    assert learner.limit(SERVICE) == 1


def test_a_doubt_that_nobody_follows_up_gives_way_to_the_next(learner: Batching, clock: Clock) -> None:
    learner.refused(SERVICE, ROWS, 400)
    clock.advance(MINUTE)
    learner.refused(SERVICE, [row(8), row(9)], 400)
    for one in (row(8), row(9)):
        assert learner.limit(SERVICE) == 10
        learner.answered(SERVICE, [one])
    assert learner.limit(SERVICE) == 1


@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503, 504])
def test_other_refusals_are_no_matter_of_batches(learner: Batching, status: int) -> None:
    assert not learner.refused(SERVICE, ROWS, status)
    for one in ROWS:
        learner.answered(SERVICE, [one])
    assert learner.limit(SERVICE) == 10


@pytest.mark.parametrize(("none_else", "said", "limits"), [(False, True, (10, 10)), (True, True, (10, 1)), (False, False, (1, 10))])
def test_what_the_settings_say_is_not_doubted(clock: Clock, *, none_else: bool, said: bool, limits: tuple[int, int]) -> None:
    learner = Batching(10, {"prod/lite": said}, clock, none_else=none_else)
    assert (learner.limit(SERVICE), learner.limit(OTHER)) == limits
    for status in (400, 404, 501):
        assert not learner.refused(SERVICE, ROWS, status)
        for one in ROWS:
            learner.answered(SERVICE, [one])
    assert (learner.limit(SERVICE), learner.limit(OTHER)) == limits


def test_it_is_told_once_and_names_the_service_alone(learner: Batching, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            learner.refused(SERVICE, ROWS, 501)
    [record] = caplog.records
    assert "prod/lite" in record.getMessage()
    assert "ann" not in record.getMessage()


def test_what_is_remembered_is_bounded(learner: Batching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "_REMEMBERED", 1)
    learner.refused(OTHER, ROWS, 501)
    learner.refused(SERVICE, ROWS, 501)
    assert (learner.limit(SERVICE), learner.limit(OTHER)) == (1, 10)
    learner.refused(OTHER, ROWS, 400)
    learner.refused(ServiceRef("prod", "third"), ROWS, 400)
    for one in ROWS:
        learner.answered(OTHER, [one])
    assert learner.limit(OTHER) == 10


# Before a cluster


@asynccontextmanager
async def origin_of(cluster: Cluster, clock: Clock, **more: dict[str, bool]) -> AsyncIterator[TectonOrigin]:
    origin = TectonOrigin(Connector().channel(cluster.url), clock=clock, **more)  # type: ignore[arg-type]
    try:
        yield origin
    finally:
        await origin.aclose()


async def fetch(origin: TectonOrigin, rows: Sequence[FetchRow] = ROWS) -> None:
    fetched = await origin.fetch(Fetch(SERVICE, tuple(rows), Caller(b"alice", f"Tecton-key {ALICE}"), 1e9))
    assert len(fetched.rows) == len(rows)


@pytest.mark.anyio
async def test_a_service_without_batches_is_found_out_and_tried_again_later(cluster: Cluster, clock: Clock) -> None:
    async with origin_of(cluster, clock) as origin:
        cluster.act("get-features-batch", refuse(400, "no batches here", 3))
        with pytest.raises(InvalidRequest, match="no batches here"):
            await fetch(origin)
        for one in ROWS:
            assert origin.batch_limit(SERVICE) == 10
            await fetch(origin, [one])
        assert origin.batch_limit(SERVICE) == 1
        clock.advance(5 * MINUTE)
        assert origin.batch_limit(SERVICE) == 10
        await fetch(origin)
        assert origin.batch_limit(SERVICE) == 10


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("act", "text"),
    [
        (refuse(404, "Unknown method", 5), "Unknown method"),
        (html(404), "took no batch"),
        (refuse(405, "canary", 12), "took no batch"),
        (refuse(501, "canary", 12), "took no batch"),
    ],
    ids=["404", "404 of a proxy", "405", "501"],
)
async def test_where_the_batch_may_be_at_fault_its_rows_may_be_asked_alone(cluster: Cluster, clock: Clock, act: Act, text: str) -> None:
    async with origin_of(cluster, clock) as origin:
        cluster.act("get-features-batch", act)
        with pytest.raises(InvalidRequest, match=text):
            await fetch(origin)


@pytest.mark.anyio
@pytest.mark.parametrize(("status", "kind"), [(400, InvalidRequest), (404, NotFound), (501, OriginFailed)])
async def test_where_it_cannot_be_the_refusal_is_what_it_is(cluster: Cluster, clock: Clock, status: int, kind: type[GatewayError]) -> None:
    async with origin_of(cluster, clock, batches={"prod/lite": True}) as origin:
        cluster.act("get-features-batch", refuse(status, "canary", 5))
        with pytest.raises(kind):
            await fetch(origin)
        assert origin.batch_limit(SERVICE) == 10
    async with origin_of(cluster, clock) as origin:
        cluster.act("get-features", refuse(status, "canary", 5))
        with pytest.raises(kind):
            await fetch(origin, ROWS[:1])
        assert origin.batch_limit(SERVICE) == 10
