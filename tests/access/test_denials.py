"""Denied acts in great number: the log stays small, and says how many there were."""

import threading

import pytest
from sqlalchemy import func, select

from gateway.access.administration import Act, Administration
from gateway.access.audit import DENIED, Sought, read
from gateway.access.denials import BURST, EVERY_S, Denials
from gateway.access.principals import Actor
from gateway.access.roles import EVERYTHING, Action
from gateway.access.store.database import Database
from gateway.access.store.tables import AuditEntry
from gateway.errors import InvalidRequest, PermissionDenied
from tests.access.holdings import account
from tests.harness.clock import Clock

EVE, MALLORY = Actor(account("eve"), "eve", "key"), Actor(account("mallory"), "mallory", "key")


def judged(act: Act) -> None:
    act.require(Action.MANAGE_DIRECTORY, EVERYTHING)


def test_of_many_denials_the_first_are_written_and_then_one_now_and_then_with_the_number_of_the_others(database: Database) -> None:
    clock = Clock()
    administration = Administration(database, denials=Denials(clock))

    def deny(actor: Actor, action: Action = Action.MANAGE_DIRECTORY) -> None:
        with pytest.raises(PermissionDenied):
            administration.act_at_once(actor, action, "group/x", judged)

    def told(name: str) -> list[str]:
        return [entry.detail for entry in database.transact(lambda session: read(session, Sought(actor=name, limit=1_000)), writes=False)]

    for _ in range(BURST + 7):
        deny(EVE)
    assert told("eve") == ["PermissionDenied"] * BURST
    deny(MALLORY)
    deny(EVE, Action.MANAGE_ACCOUNT)
    assert told("mallory") == ["PermissionDenied"], "others are not the quieter for it"
    clock.advance(EVERY_S)
    deny(EVE)
    deny(EVE)
    assert told("eve")[0] == "PermissionDenied; 7 before it are not written down"
    assert len(told("eve")) == BURST + 2
    clock.advance(EVERY_S * BURST * 2)
    for _ in range(BURST + 1):
        deny(EVE)
    assert len(told("eve")) == 2 * BURST + 2
    assert told("eve")[-1] == "PermissionDenied"


def test_what_was_allowed_and_not_possible_is_always_written(database: Database) -> None:
    class Never(Denials):
        def admit(self, actor: Actor, action: Action) -> int | None:
            raise AssertionError((actor, action))

    def refused(act: Act) -> None:
        act.only_judged_by_what_is_shown()
        raise InvalidRequest("name: too long")

    with pytest.raises(InvalidRequest):
        Administration(database, denials=Never()).act_at_once(EVE, Action.MANAGE_DIRECTORY, "group/x", refused)
    count = select(func.count()).select_from(AuditEntry).where(AuditEntry.outcome != DENIED)
    assert database.transact(lambda session: session.scalars(count).one(), writes=False) == 1


def test_threads_leave_out_no_more_than_they_say() -> None:
    clock, written = Clock(), list[int]()
    denials = Denials(clock)

    def deny() -> None:
        for _ in range(200):
            told = denials.admit(EVE, Action.MANAGE_DIRECTORY)
            if told is not None:
                written.append(told)

    threads = [threading.Thread(target=deny) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert written == [0] * BURST
    clock.advance(EVERY_S)
    assert denials.admit(EVE, Action.MANAGE_DIRECTORY) == 800 - BURST
