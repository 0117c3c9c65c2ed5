"""The reads that have a budget, and what each of them counts."""

import gc
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count
from typing import Any, NamedTuple

from tests.serving.baskets import OVER
from tests.serving.payments import CONTEXT, FRAUD, VIEW_KEYS
from tests.speed.counting import calls, instructions, peak_bytes
from tests.speed.stand import Stand, post, stand

ROWS = 100
_REPEATS, _KEPT_OVER = 3, 200
_TECTON = "/api/v1/feature-service/get-features"
_SHOWN = {"includeNames": True, "includeServingStatus": True}
_USERS = (f"user{number:06}" for number in count())


class Cost(NamedTuple):
    """Of one read: counts by name, and instructions by function."""

    counts: Mapping[str, int]
    busiest: Counter[str]


def tecton(user: str, ending: bytes = b"") -> bytes:
    keys = {"user_id": user, "merchant_id": "7"}
    params = {
        "workspaceName": "prod",
        "featureServiceName": "fraud",
        "joinKeyMap": keys,
        "requestContextMap": CONTEXT,
        "metadataOptions": _SHOWN,
    }
    return post(_TECTON, {"params": params}, ending)


def row(user: str, amount: float = 250.0) -> dict[str, Any]:
    return {"joinKeys": {"user_id": user, "merchant_id": 7}, "requestContext": {"amount": amount}}


def named(user: str, ending: bytes = b"") -> bytes:
    return post(f"{FRAUD}/features", {**row(user), "include": ["status"]}, ending)


def batch(user: str) -> bytes:
    return post(f"{FRAUD}/features:batch", {"rows": [row(f"{user}-{number:03}") for number in range(ROWS)]})


def computed(amounts: Iterator[int]) -> bytes:
    return post(f"{FRAUD}/features", row("ann", 1_000.0 + next(amounts)))


def costs() -> dict[str, Cost]:
    """Of each read, by name."""
    told = {}
    with stand(views=VIEW_KEYS) as one:
        numbers = count()
        told["hit, Tecton door"] = _hit(one, lambda: tecton("ann", unlike(next(numbers))))
        told["hit, Tecton door, asked again"] = _hit(one, partial(tecton, "ann"))
        told["hit, named door"] = _hit(one, lambda: named("ann", unlike(next(numbers))))
        told["hit, named door, asked again"] = _hit(one, partial(named, "ann"))
        told["hit, batch of 100"] = _hit(one, partial(batch, "ann"))
        told["miss, Tecton door"] = _miss(one)
    with stand(views=VIEW_KEYS, on_demand={"check_ratio": 0.0, "views": {"basket": OVER}}) as one:
        amounts = count()
        told["hit, computed on demand"] = _hit(one, lambda: computed(amounts))
    return told


def unlike(number: int) -> bytes:
    """White space that tells these bytes from others, and is always as much."""
    return f"{number:016b}".replace("0", " ").replace("1", "\t").encode()


def _hit(one: Stand, wire: Callable[[], bytes]) -> Cost:
    for _ in range(5):
        assert one.ask(wire()).startswith(b"HTTP/1.1 200"), "the read that was to be measured failed"

    def work() -> Callable[[], object]:
        asked = wire()
        one.wire.written.clear()
        return lambda: one.hand(one.edge, asked)

    def handed(many: list[bytes]) -> None:
        for asked in many:
            one.hand(one.edge, asked)
            one.wire.written.clear()

    first, second = ([wire() for _ in range(_KEPT_OVER)] for _ in range(2))
    handed(first)
    return _cost(one, work, _kept(lambda: handed(second)))


def _miss(one: Stand) -> Cost:
    known = ""
    for _ in range(5):
        known = next(_USERS)
        one.ask(tecton(known))

    def run(asked: bytes, give: Callable[[], None]) -> None:
        one.hand(one.edge, asked)
        one.turn()
        give()
        one.turn()

    def prepared() -> Callable[[], object]:
        user = next(_USERS)
        one.foresee(known, user)
        one.wire.written.clear()
        asked = tecton(user)
        return lambda: run(asked, one.give)

    works = [prepared() for _ in range(_KEPT_OVER)]

    def again() -> None:
        for work in works:
            work()
            one.wire.written.clear()

    return _cost(one, prepared, _kept(again))


def _kept(again: Callable[[], None]) -> int:
    """Blocks of memory that a read leaves behind, to the nearest: what is kept for all reads together does not show."""
    gc.collect()
    gc.disable()
    try:
        before = sys.getallocatedblocks()
        again()
        gc.collect()  # empties the interpreter's free lists, which hold blocks that no read does
        return round((sys.getallocatedblocks() - before) / _KEPT_OVER)
    finally:
        gc.enable()


def _cost(one: Stand, work: Callable[[], Callable[[], object]], kept: int) -> Cost:
    """The least of a few runs: now and then a read has more to do than its own, such as the date of a new second."""
    executed = min((instructions(work()) for _ in range(_REPEATS)), key=Counter.total)
    called = min((calls(work()) for _ in range(_REPEATS)), key=Counter.total)
    peak = min(peak_bytes(work()) for _ in range(_REPEATS))
    loop, asked = one.loop, work()
    before = loop.callbacks, loop.timers, loop.tasks, one.origin_calls
    asked()
    after = loop.callbacks, loop.timers, loop.tasks, one.origin_calls
    happened = dict(zip(("callbacks", "timers", "tasks", "origin calls"), (b - a for a, b in zip(before, after, strict=True)), strict=True))
    answer = b"".join(one.wire.written)
    assert answer.startswith(b"HTTP/1.1 200"), "the read that was measured failed"
    counts = {"instructions": executed.total(), **called, "peak bytes": peak, "blocks kept": kept}
    return Cost({**counts, **happened, "writes": len(one.wire.written), "reply bytes": len(answer)}, executed)
