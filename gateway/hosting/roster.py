"""Which of the workers run, and when one that has ended is started again. Pure policy: it starts nothing and knows no clock."""

from collections.abc import Iterable
from dataclasses import dataclass

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0
STEADY_S = 10.0
"""Whoever lived as long has not died of its beginning: it is started again as if for the first time."""

SILENCE_S = 30.0
"""A worker's loop that has not turned for as long will not: its callers wait in vain, and the other workers for its word on every purge."""


@dataclass(slots=True)
class _Place:
    """One worker's. `pid` None: nobody is there; `not_before_s`: when somebody may be again; `heard_s`: of its last sign of life."""

    pid: int | None = None
    up: bool = False
    born_s: float = 0.0
    not_before_s: float = 0.0
    early_deaths: int = 0
    heard_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Ended:
    """`pause_s`: until it is started again. `hopeless`: no worker has ever served, so neither would the next."""

    number: int
    pause_s: float
    hopeless: bool


class Roster:
    """Workers 1 to `count`. The first is started alone: what is wrong with the settings is told once. The rest follow when it is up."""

    def __init__(self, count: int) -> None:
        self._places = {number: _Place() for number in range(1, count + 1)}
        self._ever_up = False

    @property
    def pids(self) -> list[int]:
        return [place.pid for place in self._places.values() if place.pid is not None]

    @property
    def all_up(self) -> bool:
        return all(place.up for place in self._places.values())

    def due(self, now_s: float) -> list[int]:
        """The numbers of the workers to start now."""
        return [number for number, place in self._vacant() if place.not_before_s <= now_s]

    def wait_s(self, now_s: float) -> float | None:
        """Until the next one is due; None: nobody will be."""
        return min((max(0.0, place.not_before_s - now_s) for _, place in self._vacant()), default=None)

    def started(self, number: int, pid: int, now_s: float) -> None:
        place = self._places[number]
        place.pid, place.up, place.born_s = pid, False, now_s

    def is_up(self, number: int) -> None:
        self._places[number].up = self._ever_up = True

    def heard(self, number: int, now_s: float) -> None:
        self._places[number].heard_s = now_s

    def silent(self, now_s: float) -> list[int]:
        """The processes that are up and have given no sign of life for SILENCE_S."""
        return [place.pid for place in self._places.values() if place.pid and place.up and now_s - place.heard_s >= SILENCE_S]

    def ended(self, pid: int, now_s: float) -> Ended | None:
        """None: it is none of the workers."""
        for number, place in self._places.items():
            if place.pid == pid:
                if now_s - place.born_s >= STEADY_S:
                    place.early_deaths = 0
                return Ended(number, self.missed(number, now_s), not self._ever_up)
        return None

    def missed(self, number: int, now_s: float) -> float:
        """It is not there, or could not be started: the pause before the next try."""
        place = self._places[number]
        place.early_deaths += 1
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (place.early_deaths - 1))
        place.pid, place.up, place.not_before_s = None, False, now_s + pause_s
        return pause_s

    def _vacant(self) -> Iterable[tuple[int, _Place]]:
        places = list(self._places.items())
        return [(number, place) for number, place in (places if self._ever_up else places[:1]) if place.pid is None]
