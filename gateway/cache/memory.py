"""Freed memory: what is kept for the next reply, and what is handed back to the system, where the platform can be asked."""

import ctypes
from collections.abc import Callable
from functools import cache

_KEPT_BYTES = 32 * 1024 * 1024
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""What glibc's `mallopt` knows them by (`malloc.h`)."""


def keep_freed() -> bool:
    """Keep this much free at the end of the heap, and make no mapping of its own for less: else each large reply, of a batch of a thousand
    rows a megabyte several times over, has its pages taken from the system and given back. False where there is nothing to ask."""
    tune = _of_glibc("mallopt")
    return tune is not None and bool(tune(_MMAP_THRESHOLD, _KEPT_BYTES) and tune(_TRIM_THRESHOLD, _KEPT_BYTES))


def release() -> bool:
    """Give back what is free at the end of glibc's heaps and in whole pages between. False where there is nothing to ask."""
    trim = _of_glibc("malloc_trim")
    return trim is not None and bool(trim(0))


@cache
def _of_glibc(name: str) -> Callable[..., int] | None:
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):  # another C library, or another system
        return None
    return found
