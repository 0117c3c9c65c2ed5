"""Freed memory, handed back to the system where the platform can be asked to."""

import ctypes
from collections.abc import Callable
from functools import cache


def release() -> bool:
    """Give back what is free at the end of glibc's heaps and in whole pages between. False where there is nothing to ask."""
    trim = _malloc_trim()
    return trim is not None and bool(trim(0))


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, or another system
        return None
    return found
