"""Which join keys and request-context keys each view of a feature service depends on, judged by experiment.

A sample is one row that the cluster has features for. It is asked as it is, then with one key null or another sample's, and as it is once
more; a view that changes with a key depends on it. That it does *not* depend on a key is believed only on evidence, because a wrong answer
here serves one entity's features to another:

    its values did not vary by themselves                       the two plain answers are equal
    it had something to lose                                    a value was there, and null for some other join key changed it
    it did not change with the key                              neither null nor another sample's value, in any sample
    nor with all such keys null at once                         `confirmations`
    nor with the request context, where there is one            and it tells an effective time, which on-demand views do not

Knows nothing of HTTP, and never shows a value: evidence is counts.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.features import Field, Kind

_FAR: Mapping[Kind, tuple[Any, Any]] = {
    Kind.INT64: (0, 1_000_003),
    Kind.FLOAT64: (0.0, 1_000_003.0),
    Kind.FLOAT32: (0.0, 1_000_003.0),
    Kind.BOOLEAN: (False, True),
    Kind.STRING: ("", "another"),
    Kind.TIMESTAMP: ("2001-01-01T00:00:00Z", "2031-01-01T00:00:00Z"),
}
"""Values for the request context where the samples have too few: nothing is looked up by it, so any will do. One of two is on the other
side of most thresholds."""


class Part(StrEnum):
    """What of a request is varied."""

    JOIN_KEY = "join key"
    CONTEXT = "request context"


@dataclass(frozen=True, slots=True)
class Sample:
    """One row to ask for: typed values by name, all of the service's."""

    join_keys: Mapping[str, Any] = field(repr=False)
    context: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Probe:
    """A sample with one key changed. `replaced`: to another value; else to null."""

    part: Part
    key: str
    replaced: bool
    row: Sample


@dataclass(frozen=True, slots=True)
class Seen:
    """What one answer has of a view. `content` stands for its values and statuses; None: something is missing of them. `present`: a value
    is there, and is not null; `timed`: it tells an effective time."""

    content: object = field(repr=False)
    present: bool
    timed: bool


Answer = Mapping[str, Seen]
"""By view."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One sample, asked as it is before and after its probes. A probe's answer is None where the cluster gave none."""

    sample: Sample
    before: Answer
    after: Answer
    answers: Sequence[tuple[Probe, Answer | None]]


@dataclass(slots=True)
class Evidence:
    """Of one view and key: probes that were answered, those that changed the view, and those that were not answered. `spared`: how often
    neither null nor another value changed it, with something to lose."""

    probes: int = 0
    changed: int = 0
    unanswered: int = 0
    spared: int = 0


class Verdict(StrEnum):
    LEARNT = "learnt"
    ON_DEMAND = "on demand"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one view. `join_keys`: all that it may depend on, in the service's order; where it is on demand, those that it was
    seen to depend on. `unproven`: those among them that it was not seen to depend on. `reason`: for people, why there is no more to say."""

    view: str
    verdict: Verdict
    join_keys: tuple[str, ...] = ()
    context_keys: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()
    reason: str = ""
    evidence: Mapping[tuple[Part, str], Evidence] = field(default_factory=dict)


def probes(index: int, samples: Sequence[Sample], context_keys: Sequence[Field]) -> Iterator[Probe]:
    """What to ask of one sample beside the sample itself."""
    sample = samples[index]
    others = [*samples[index + 1 :], *samples[:index]]
    for name, value in sample.join_keys.items():
        for changed in _changes(value, (one.join_keys[name] for one in others), 1):
            row = Sample({**sample.join_keys, name: changed}, sample.context)
            yield Probe(Part.JOIN_KEY, name, changed is not None, row)
    for key in context_keys:
        value = sample.context[key.name]
        for changed in _changes(value, (*(one.context[key.name] for one in others), *_FAR.get(key.dtype.kind, ())), 2):
            row = Sample(sample.join_keys, {**sample.context, key.name: changed})
            yield Probe(Part.CONTEXT, key.name, changed is not None, row)


def _changes(value: Any, others: Iterable[Any], most: int) -> Iterator[Any]:
    """Null, and so many other values."""
    if value is not None:
        yield None
    chosen: list[Any] = []
    for other in others:
        if len(chosen) < most and other not in (value, None, *chosen):
            chosen.append(other)
    yield from chosen


def at_most(samples: Sequence[Sample], context_keys: Sequence[Field], views: int) -> int:
    """How many requests it takes to learn from these samples, confirmations included."""
    total = 0
    for index, sample in enumerate(samples):
        keys = len(sample.join_keys)
        total += 2 + sum(1 for _ in probes(index, samples, context_keys)) + (min(views, 2**keys) if keys > 2 else 0)
    return total


def judge(trials: Sequence[Trial], join_keys: Sequence[str], context_keys: Sequence[str]) -> list[Finding]:
    """What the trials say of each view, before `confirmations`. Keys come in the order given."""
    views = dict.fromkeys(view for trial in trials for view in trial.before)
    return [_finding(view, trials, join_keys, context_keys) for view in views]


def _finding(view: str, trials: Sequence[Trial], join_keys: Sequence[str], context_keys: Sequence[str]) -> Finding:
    steady = [trial for trial in trials if _steady(trial, view)]
    evidence = _evidence(view, steady, join_keys, context_keys)
    joined, given = ({key: evidence[part, key] for key in keys} for part, keys in zip(Part, (join_keys, context_keys), strict=True))
    used = tuple(key for key, seen in joined.items() if seen.changed)
    varied = tuple(key for key, seen in given.items() if seen.changed)
    if varied:
        return Finding(view, Verdict.ON_DEMAND, used, varied, evidence=evidence)
    present = [trial.before[view] for trial in steady if trial.before[view].present]
    doubtful = [key for key, seen in given.items() if not seen.spared]
    reason = ""
    if not steady:
        reason = "its values vary by themselves, or did not all come: try again"
    elif not present:
        reason = "no sample has data for it: give join keys that the cluster has features for"
    elif not used:
        reason = "it changed with no join key: give samples whose values differ more"
    elif doubtful:
        reason = f"whether it depends on the request context ({', '.join(doubtful)}) could not be seen: give another --request-context"
    elif context_keys and not any(seen.timed for seen in present):
        reason = "it tells no effective time, as on-demand views do, and may depend on the request context"
    if reason:
        return Finding(view, Verdict.UNDECIDED, reason=reason, evidence=evidence)
    kept = tuple(key for key, seen in joined.items() if seen.changed or not seen.spared)
    return Finding(view, Verdict.LEARNT, kept, unproven=tuple(key for key in kept if key not in used), evidence=evidence)


def _steady(trial: Trial, view: str) -> bool:
    before, after = trial.before.get(view), trial.after.get(view)
    return before is not None and after is not None and before.content is not None and before.content == after.content


def _evidence(
    view: str, steady: Sequence[Trial], join_keys: Sequence[str], context_keys: Sequence[str]
) -> Mapping[tuple[Part, str], Evidence]:
    evidence = {(part, key): Evidence() for part, keys in zip(Part, (join_keys, context_keys), strict=True) for key in keys}
    for trial in steady:
        same, changed = _Outcomes(), _Outcomes()
        before = trial.before[view]
        for probe, answer in trial.answers:
            about = (probe.part, probe.key)
            seen = answer.get(view) if answer is not None else None
            if seen is None or seen.content is None:
                evidence[about].unanswered += 1
                continue
            evidence[about].probes += 1
            evidence[about].changed += seen.content != before.content
            (same if seen.content == before.content else changed)[about].add(probe.replaced)
        if before.present:
            for about in _spared(same, changed):
                evidence[about].spared += 1
    return evidence


class _Outcomes(defaultdict[tuple[Part, str], set[bool]]):
    """In which ways a key was changed, by what came of it: False for null, True for another value."""

    def __init__(self) -> None:
        super().__init__(set)


def _spared(same: _Outcomes, changed: _Outcomes) -> Iterator[tuple[Part, str]]:
    """The keys that, in some way, made no difference to a view that had something to lose: null in the place of another join key took it
    away. A view whose values are those of an entity without data, such as counts of 0, would keep them whichever key was null. Null in the
    context is often refused: another value is enough there."""
    telling = any(part is Part.JOIN_KEY and False in ways for (part, _), ways in changed.items())
    for about, ways in same.items():
        if True in ways if about[0] is Part.CONTEXT else telling and ways == {True, False}:
            yield about


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A sample with nothing but the join keys that are believed to be used; all others are null."""

    trial: Trial
    kept: tuple[str, ...]

    @property
    def row(self) -> Sample:
        sample = self.trial.sample
        return Sample({name: value if name in self.kept else None for name, value in sample.join_keys.items()}, sample.context)


def confirmations(findings: Sequence[Finding], trials: Sequence[Trial]) -> list[Confirmation]:
    """What is still to be asked: keys that each alone make no difference could together. One key alone has been asked for."""
    kept = dict.fromkeys(finding.join_keys for finding in findings if finding.verdict is Verdict.LEARNT)
    return [Confirmation(trial, keys) for keys in kept for trial in trials if len(trial.sample.join_keys) - len(keys) > 1]


def confirmed(findings: Sequence[Finding], answers: Sequence[tuple[Confirmation, Answer | None]]) -> list[Finding]:
    """The findings, without those that an answer speaks against."""
    return [_undecided(finding) if any(_speaks_against(*one, finding) for one in answers) else finding for finding in findings]


def _speaks_against(confirmation: Confirmation, answer: Answer | None, finding: Finding) -> bool:
    if finding.verdict is not Verdict.LEARNT or confirmation.kept != finding.join_keys or answer is None:
        return False
    seen = answer.get(finding.view)
    return (
        _steady(confirmation.trial, finding.view) and seen is not None and seen.content != confirmation.trial.before[finding.view].content
    )


def _undecided(finding: Finding) -> Finding:
    reason = f"it changed when every join key but {', '.join(finding.join_keys)} was null at once: try again"
    return Finding(finding.view, Verdict.UNDECIDED, reason=reason, evidence=finding.evidence)
