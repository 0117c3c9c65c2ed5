"""Slots and the queue for them, against a model: any order of coming, going, giving up and limits."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.features import Priority
from gateway.origins.guard.turnstile import Ticket, Turnstile
from tests.harness.clock import Clock

HIGH, NORMAL, LOW = Priority.HIGH, Priority.NORMAL, Priority.LOW


class Gate(Turnstile):
    """A turnstile, and the order in which it woke those who waited."""

    def __init__(self, clock: Clock, limit: int) -> None:
        super().__init__(clock, limit)
        self.woken: list[str] = []

    def come(self, name: str, priority: Priority = NORMAL, most_s: float = 100.0) -> Ticket | None:
        return self.enter(priority) or self.wait(priority, most_s, lambda: self.woken.append(name))


def must(ticket: Ticket | None) -> Ticket:
    assert ticket is not None
    return ticket


def test_as_many_go_at_once_as_the_limit_says_and_the_next_when_one_leaves() -> None:
    gate = Gate(Clock(), 2)
    first, _, waiting = [must(gate.come(name)) for name in "abc"]
    assert (gate.under_way, gate.queued, gate.woken) == (2, 1, [])
    assert waiting.admitted_s is None
    gate.leave(first)
    assert (gate.under_way, gate.queued, gate.woken) == (2, 0, ["c"])
    assert waiting.admitted_s is not None


def test_the_highest_go_first_and_among_the_same_who_came_first() -> None:
    gate = Gate(Clock(), 1)
    holder = must(gate.come("holder"))
    tickets = {name: must(gate.come(name, one)) for name, one in [("l", LOW), ("n1", NORMAL), ("h1", HIGH), ("n2", NORMAL), ("h2", HIGH)]}
    for _ in range(5):
        gate.leave(holder)
        holder = tickets[gate.woken[-1]]
    assert gate.woken == ["h1", "h2", "n1", "n2", "l"]


def test_nobody_overtakes_those_who_wait() -> None:
    gate = Gate(Clock(), 1)
    must(gate.come("holder"))
    must(gate.come("waiting", LOW))
    gate.resize(2)
    assert gate.woken == ["waiting"]
    assert gate.enter(HIGH) is None


def knowing(clock: Clock, limit: int, held_s: float) -> Gate:
    """A slot is known to be held for so long."""
    gate = Gate(clock, limit)
    for _ in range(200):
        ticket = must(gate.come("earlier"))
        clock.advance(held_s)
        gate.leave(ticket)
    return gate


def busy(clock: Clock, limit: int, held_s: float) -> Gate:
    """The same, and all slots are taken."""
    gate = knowing(clock, limit, held_s)
    for _ in range(limit):
        must(gate.come("holder"))
    return gate


def test_whoever_would_wait_longer_than_its_class_may_is_refused_on_arrival() -> None:
    counts = {}
    for priority in (LOW, NORMAL, HIGH):
        gate = busy(Clock(), 10, 0.05)  # 200 a second
        counts[priority] = 0
        while gate.come("waiting", priority, 0.25) is not None:
            counts[priority] += 1
    assert counts == {LOW: 25, NORMAL: 40, HIGH: 50}


def test_the_lowest_are_refused_first_and_a_queue_of_theirs_is_not_in_the_way_of_the_higher() -> None:
    gate = busy(Clock(), 10, 0.05)
    while gate.come("waiting", LOW, 0.25) is not None:
        pass
    assert gate.come("waiting", NORMAL, 0.25) is not None
    while gate.come("waiting", NORMAL, 0.25) is not None:
        pass
    assert gate.come("waiting", LOW, 0.25) is None
    assert gate.come("waiting", HIGH, 0.25) is not None


def test_a_hundred_calls_at_once_find_room_where_calls_are_quick() -> None:
    gate = knowing(Clock(), 50, 0.03)
    assert all(gate.come("row", NORMAL, 0.25) is not None for _ in range(100))


def test_where_no_slot_moves_newcomers_are_refused_though_they_were_quick_before() -> None:
    clock = Clock()
    gate = busy(clock, 10, 0.001)
    assert gate.come("waiting", NORMAL, 0.25) is not None
    clock.advance(0.19)
    assert gate.come("waiting", NORMAL, 0.25) is not None
    clock.advance(0.02)
    assert gate.come("waiting", NORMAL, 0.25) is None


def test_after_a_quiet_hour_nobody_is_refused() -> None:
    clock = Clock()
    gate = Gate(clock, 2)
    gate.leave(must(gate.come("early")))
    clock.advance(3_600)
    assert all(gate.come("late", LOW, 0.25) is not None for _ in range(5))


@pytest.mark.parametrize("priority", Priority)
def test_without_time_to_wait_the_limit_is_the_end(priority: Priority) -> None:
    gate = busy(Clock(), 3, 0.01)
    assert gate.come("late", priority, 0.0) is None


class TurnstileMachine(RuleBasedStateMachine):
    """Slots are neither lost nor made, whoever comes, goes or gives up, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.limit = 3
        self.turnstile = Turnstile(self.clock, self.limit)
        self.tickets: list[Ticket] = []
        self.woken: set[int] = set()

    @rule(priority=st.sampled_from(Priority), most_s=st.sampled_from([0.0, 0.1, 100.0]))
    def come(self, priority: Priority, most_s: float) -> None:
        room = self.turnstile.under_way < self.limit and not self.turnstile.queued
        ticket = self.turnstile.enter(priority)
        assert (ticket is not None) == room
        if ticket is None:
            number = len(self.tickets)
            ticket = self.turnstile.wait(priority, most_s, lambda: self.woken.add(number))
            if most_s == 100.0:
                assert ticket is not None
        if ticket is not None:
            self.tickets.append(ticket)

    @rule(data=st.data())
    def go(self, data: st.DataObject) -> None:
        """One that has a slot, or one that gives up waiting."""
        if self.tickets:
            ticket = self.tickets.pop(data.draw(st.integers(0, len(self.tickets) - 1)))
            self.turnstile.leave(ticket)

    @rule(limit=st.integers(1, 8))
    def change(self, limit: int) -> None:
        self.limit = limit
        self.turnstile.resize(limit)

    @rule(seconds=st.floats(0, 0.3))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def every_ticket_is_under_way_or_queued(self) -> None:
        admitted = sum(ticket.admitted_s is not None for ticket in self.tickets)
        assert self.turnstile.under_way == admitted
        assert self.turnstile.queued == len(self.tickets) - admitted

    @invariant()
    def no_slot_is_empty_while_somebody_waits(self) -> None:
        assert not self.turnstile.queued or self.turnstile.under_way >= self.limit

    @invariant()
    def the_highest_are_never_behind_the_lower(self) -> None:
        assert all(self.turnstile.estimate_s(one) >= 0 for one in Priority)
        assert self.turnstile.estimate_s(LOW) >= self.turnstile.estimate_s(HIGH)


TurnstileMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_turnstile_machine: Any = TurnstileMachine.TestCase
