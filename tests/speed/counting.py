"""Counts what a piece of work does, from outside: instructions, calls, allocations. Neither the tests' own work counts, nor the loop's."""

import asyncio
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from gateway.cache.store import FragmentStore

_UNCOUNTED = (str(Path(__file__).resolve().parent), str(Path(asyncio.__file__).parent))
"""The tests' own, and the loop's: in production that is uvloop, which is C."""
_STORE = {FragmentStore.lookup.__code__: "store look-ups", FragmentStore.put.__code__: "store puts"}


def _uncounted(code: CodeType) -> bool:
    return code.co_filename.startswith(_UNCOUNTED)


def instructions(work: Callable[[], object]) -> Counter[str]:
    """Bytecode instructions executed, by function."""
    executed: Counter[CodeType] = Counter()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if event == "call":
            if _uncounted(frame.f_code):
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            executed[frame.f_code] += 1
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    named: Counter[str] = Counter()
    for code, count in executed.items():
        named[f"{code.co_qualname} ({Path(code.co_filename).name}:{code.co_firstlineno})"] += count
    return named


def calls(work: Callable[[], object]) -> Counter[str]:
    """Functions called, in Python and in C, and the fragment store's among them."""
    called: Counter[str] = Counter({"python calls": 0, "C calls": 0, "store look-ups": 0, "store puts": 0})

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event in {"call", "c_call"} and not _uncounted(frame.f_code):
            called["python calls" if event == "call" else "C calls"] += 1
            if event == "call" and frame.f_code in _STORE:
                called[_STORE[frame.f_code]] += 1

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return called


def peak_bytes(work: Callable[[], object]) -> int:
    """The most that was held at once beyond what was there before: what is copied once more is there once more."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
