"""Reads asked twice, of the feature server and of the oracle, and the tally of what was found."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.feature_server.definitions import Aggregation, FeatureView
from gateway.feature_server.functions import FUNCTIONS
from loadtests.oracle_askers import Answer, Asker, spell_instant
from loadtests.oracle_sql import Oracle, Read
from loadtests.oracle_verdicts import Verdict, judge, same


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Where the feature server is not what the definitions mean. `read` counts the reads of this run, from 0."""

    read: int
    view: str
    feature: str
    instant: str
    what: str
    detail: str
    """With values, for whoever asks to see them."""


@dataclass(slots=True)
class Approximate:
    """The errors of one function. `worst`: the largest, as a part of its bound; `beyond`: how many were beyond theirs."""

    unit: str
    compared: int = 0
    worst: float = 0.0
    worst_error: float = 0.0
    beyond: int = 0


@dataclass(slots=True)
class Tally:
    reads: int = 0
    compared: int = 0
    missing: int = 0
    """Compared values that were "no data"."""
    by_function: Counter[str] = field(default_factory=Counter)
    approximate: dict[str, Approximate] = field(default_factory=dict)
    mismatches: list[Mismatch] = field(default_factory=list)
    elapsed_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def compare(asker: Asker, oracle: Oracle, reads: Iterable[Read], progress: Callable[[int, int], None]) -> Tally:
    """`progress` gets the number of reads compared, and of mismatches."""
    tally = Tally()
    newest: dict[str, str | None] = {}
    for number, read in enumerate(reads):
        view = read.view
        if view.name not in newest:
            newest[view.name] = oracle.newest(view)
        answer = asker.ask(read)
        found = [*_attributes(oracle, read, answer)] if view.attributes else [*_aggregations(oracle, read, answer)]
        _count(tally, number, read, answer, found, newest[view.name])
        progress(tally.reads, len(tally.mismatches))
    return tally


Judged = tuple[str, str, Verdict, Any, str]
"""Function, feature, verdict, evidence, expected status."""


def _aggregations(oracle: Oracle, read: Read, answer: Answer) -> Iterable[Judged]:
    served = read.view.served
    values = list(answer.values)
    percentiles = [value for one, value in zip(served, values, strict=True) if one.function == "approx_percentile"]
    evidence = oracle.answer(read, [value if isinstance(value, float) else None for value in percentiles])
    assert evidence is not None
    for one, known, value in zip(served, evidence, values, strict=True):
        verdict = _judge(one, known, value, zero_counts=read.zero_counts)
        yield one.function, one.name(read.view.interval_s), verdict, known, "MISSING_DATA" if verdict.missing else "PRESENT"


def _judge(one: Aggregation, evidence: Any, got: Any, *, zero_counts: bool) -> Verdict:
    if zero_counts and evidence is None and FUNCTIONS[one.function].counts:
        return Verdict(same(0, got), missing=True)
    return judge(one, evidence, got)


def _attributes(oracle: Oracle, read: Read, answer: Answer) -> Iterable[Judged]:
    """An event's null is a value that is there."""
    found = oracle.answer(read)
    expected = [None] * len(answer.values) if found is None else found
    for one, value, got in zip(read.view.served_attributes, expected, answer.values, strict=True):
        yield "attribute", one.name, Verdict(same(value, got), found is None), value, "MISSING_DATA" if found is None else "PRESENT"


def _count(tally: Tally, number: int, read: Read, answer: Answer, found: Sequence[Judged], newest: str | None) -> None:
    tally.reads += 1
    tally.elapsed_s[read.view.name].append(answer.elapsed_s)
    told = zip(found, answer.names, answer.values, answer.statuses, answer.effective_times, strict=True)
    for (function, feature, verdict, evidence, status), name, value, got_status, effective_time in told:
        tally.compared += 1
        tally.missing += verdict.missing
        tally.by_function[function] += 1
        if verdict.error is not None and verdict.bound is not None:
            _note(tally.approximate.setdefault(function, Approximate(verdict.unit)), verdict.error, verdict.bound)
        wrong = {
            "name": name != f"{read.view.name}.{feature}",
            "value": not verdict.right,
            "status": got_status != status,
            "effective time": effective_time != newest,
        }
        if what := ", ".join(one for one, is_wrong in wrong.items() if is_wrong):
            tally.mismatches.append(
                Mismatch(number, read.view.name, feature, _instant(read), what, _detail(read, value, evidence, got_status, effective_time))
            )


def _note(approximate: Approximate, error: float, bound: float) -> None:
    approximate.compared += 1
    part = error / bound if bound else 0.0
    approximate.beyond += part > 1
    if part > approximate.worst:
        approximate.worst, approximate.worst_error = part, error


def _instant(read: Read) -> str:
    return "latest event" if read.at_ns is None else spell_instant(read.at_ns)


def _detail(read: Read, value: Any, evidence: Any, status: str, effective_time: str | None) -> str:
    keys = dict(zip(read.view.join_keys, read.key, strict=True))
    return f"{keys}, zero_counts={read.zero_counts}: served {value!r} ({status}, {effective_time}), evidence {evidence!r}"


def percentile_ms(elapsed_s: Sequence[float], share: float) -> float:
    ordered = sorted(elapsed_s)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e3


def kind_of(view: FeatureView) -> str:
    """In a word or two, how the view is read."""
    if view.attributes:
        return "attributes" if view.ttl_s is None else "attributes, TTL"
    lasting = ", lifetime" if any(one.window_s is None for one in view.aggregations) else ""
    return ("continuous" if view.interval_s is None else "tiled") + lasting
