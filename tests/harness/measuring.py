"""What of a test counts for coverage. Tracing costs as much as what is traced, and whoever goes the same lines ten thousand times has shown
them after a few. The tests themselves are the same with it and without.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import iscoroutinefunction
from itertools import count
from typing import Any, Protocol

EXAMPLES = 5
"""Of a property, at first, that are measured."""


class Property(Protocol):
    """What hypothesis hangs on a test for those who run it."""

    inner_test: Any


@contextmanager
def unmeasured() -> Iterator[None]:
    """Nothing of this thread is traced, nor of threads that start inside."""
    with _restored():
        _stop()
        yield


@contextmanager
def measured_at_first(test: Property) -> Iterator[None]:
    """The same, from one example on."""
    inner = test.inner_test
    if iscoroutinefunction(inner):  # anyio wraps those itself
        yield
        return
    numbers = count()

    @wraps(inner)
    def run(*arguments: Any, **named: Any) -> Any:
        if next(numbers) == EXAMPLES:
            _stop()
        return inner(*arguments, **named)

    with _restored():
        test.inner_test = run
        try:
            yield
        finally:
            test.inner_test = inner


@contextmanager
def _restored() -> Iterator[None]:
    own, of_threads = sys.gettrace(), threading.gettrace()
    try:
        yield
    finally:
        threading.settrace(of_threads)
        sys.settrace(own)


def _stop() -> None:
    threading.settrace(None)
    sys.settrace(None)
