"""What a process knows of its own life: whether it is leaving, and which of several workers it is. Shared by those who must act on it."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from secrets import token_bytes


@dataclass(frozen=True, slots=True)
class Worker:
    """One of `count` processes that serve one port, numbered from 1. `folder`: private to them, where they find one another. `secret`: of
    theirs alone, for as long as their parent lives."""

    number: int
    count: int
    folder: Path
    secret: bytes = field(default_factory=partial(token_bytes, 32), repr=False)


class Lifecycle:
    """`draining`: the process has been told to end. It still answers, each time as the last one on its connection, and is not ready any
    more. Set once, also from a signal handler; never taken back."""

    __slots__ = ("draining", "worker")

    def __init__(self, worker: Worker | None = None) -> None:
        self.draining = False
        self.worker = worker
