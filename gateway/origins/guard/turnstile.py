"""Slots, and the queue for them: who goes at once, who waits, who is refused on arrival, who is next.

    room, and nobody waits         → a slot at once
    else, on arrival               → the wait is estimated: those of the same or a higher class that wait, times what a slot is held for,
                                     over the limit; but as long as no slot has moved for, at least
    longer than the arrival may    → refused, in microseconds: a caller that hears no soon can ask elsewhere or serve what it has
    else                           → it waits, highest class first, first come first served among the same

A class may fill a share of the wait alone: low half of it, normal four fifths, high all. So the lowest are refused first, and whoever comes
with more finds room in a queue that those with less have filled.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import MappingProxyType

from gateway.features import Priority

SHARES: Mapping[Priority, float] = MappingProxyType({Priority.LOW: 0.5, Priority.NORMAL: 0.8, Priority.HIGH: 1.0})
_SMOOTHING = 1 / 32


class Ticket:
    """One slot, or a place in the queue for it. `wake` is called when a slot has been found for one that waits."""

    __slots__ = ("admitted_s", "priority", "wake")

    def __init__(self, priority: Priority, wake: Callable[[], object] | None, admitted_s: float | None) -> None:
        self.priority = priority
        self.wake = wake
        self.admitted_s = admitted_s


class Turnstile:
    """`clock` is monotonic, in seconds. Whoever has a ticket gives it back with `leave`, once, whatever became of it."""

    def __init__(self, clock: Callable[[], float], limit: int) -> None:
        self._clock = clock
        self._limit = limit
        self._queues: dict[Priority, OrderedDict[Ticket, None]] = {one: OrderedDict() for one in sorted(Priority, reverse=True)}
        self._held_s = 0.0
        self._moved_s = clock()
        self.under_way = 0
        self.queued = 0

    def enter(self, priority: Priority) -> Ticket | None:
        """A slot, if there is one at once; None: `wait` for it."""
        if self.queued or self.under_way >= self._limit:
            return None
        self._moved_s = now_s = self._clock()
        self.under_way += 1
        return Ticket(priority, None, now_s)

    def wait(self, priority: Priority, most_s: float, wake: Callable[[], object]) -> Ticket | None:
        """A place in the queue; None: refused, because it would take longer than this class's share of `most_s`."""
        if most_s <= 0 or self.estimate_s(priority) > SHARES[priority] * most_s:
            return None
        ticket = Ticket(priority, wake, None)
        self._queues[priority][ticket] = None
        self.queued += 1
        self._move_up()
        return ticket

    def estimate_s(self, priority: Priority) -> float:
        """How long an arrival of this class would wait now."""
        ahead = sum(len(queue) for one, queue in self._queues.items() if one >= priority)
        return max((ahead + 1) * self._held_s / self._limit, self._clock() - self._moved_s)

    def leave(self, ticket: Ticket, *, used: bool = True) -> None:
        """`used`: how long it was held says what others will have to wait."""
        if ticket.admitted_s is None:
            del self._queues[ticket.priority][ticket]
            self.queued -= 1
            return
        self._moved_s = self._clock()
        held_s = self._moved_s - ticket.admitted_s
        if used:
            self._held_s += (held_s - self._held_s) * (_SMOOTHING if self._held_s else 1.0)
        self.under_way -= 1
        if self.queued:
            self._move_up()

    def resize(self, limit: int) -> None:
        if limit != self._limit:
            self._limit = limit
            self._move_up()

    def _move_up(self) -> None:
        while self.queued and self.under_way < self._limit:
            queue = next(queue for queue in self._queues.values() if queue)
            ticket, _ = queue.popitem(last=False)
            self.queued -= 1
            self._admit(ticket)
            if ticket.wake is not None:
                ticket.wake()

    def _admit(self, ticket: Ticket) -> None:
        self._moved_s = ticket.admitted_s = self._clock()
        self.under_way += 1
