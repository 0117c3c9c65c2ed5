"""What the cache machine holds every reply against: each served view must be one of the origin's own answers, and served by right.

For each view of each row it looks for an answer (or default, or null in place of a late one) that the reply could have been made of: its
values, statuses, times, types and age, told as the README says for a cached, stale or fresh one, and nothing against it in `cache_rights`.
Where there is none, it says what speaks against each. An error must have had a reason.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from gateway.errors import (
    DeadlineExceeded,
    GatewayError,
    InvalidRequest,
    NotFound,
    OriginError,
    PermissionDenied,
    SchemaDisagreement,
    Unauthenticated,
)
from gateway.features import CACHED, ReadOptions
from tests.serving.cache_replies import UNTOLD, Broken, Read, Told, features_of, spelled
from tests.serving.cache_rights import EPSILON_S, Rights
from tests.serving.cache_world import SCORE, Answer, Row, Service, View, tecton_value, variant

_KEPT = ("cache", "stale")
_LEAVES: Sequence[type[GatewayError]] = (
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    SchemaDisagreement,
    *OriginError.__subclasses__(),
)


@dataclass(slots=True)
class Judge:
    """`seen` counts what replies were made of, so that a run can show that it met all there is."""

    rights: Rights
    seen: Counter[str] = field(default_factory=Counter)

    def judge(self, read: Read) -> None:
        """Raises Broken."""
        if read.error is not None:
            self._judge_error(read, read.error)
            return
        assert read.body is not None
        document = json.loads(read.body)
        sources: list[str] = []
        for row, told in zip(read.rows, features_of(read, document), strict=True):
            if isinstance(told, Mapping):
                self._judge_row_error(read, told)
            else:
                sources += self._judge_row(read, row, told)
                self._judge_staleness(read, told)
        self.seen.update(sources)
        if "stale" in sources and read.stale is None:
            raise Broken(f"{read}: something stale went into a reply that does not say so")
        if not read.slo and "labels" not in read.told and (right := spelled(read, document)) != read.body:
            raise Broken(f"{read}: {read.body!r} should be spelled {right!r}")

    def _judge_staleness(self, read: Read, told: Sequence[Told]) -> None:
        """What a reply's headers say: at least the age of the oldest stale view that it shows."""
        ages_s = [one.age_s for one in told if one.source == "stale" and one.age_s is not UNTOLD]
        if ages_s and (read.stale is None or read.stale.oldest_s < max(ages_s) - EPSILON_S):
            raise Broken(f"{read}: a view is stale and {max(ages_s)} s old, and the reply says {read.stale}")

    def ends(self, service: Service, rows: Sequence[Row]) -> Iterator[float]:
        """When what was last answered of these rows ends, in its several ways, and so do grants."""
        rules = self.rights.rules
        for view, _ in service.views:
            terms = rules.terms[service.ref, view.name]
            for row in rows:
                for answer in self._answers(view, row, ReadOptions())[-1:]:
                    by_ttl_s = answer.call.asked_s + (terms.negative_ttl_s if answer.missing else terms.ttl_s)
                    until_s = min(by_ttl_s, answer.effective_s + terms.max_age_s)
                    yield from (until_s, until_s + terms.revalidate_s, until_s + terms.error_s)
                    if rules.grant_life_s is not None:
                        yield answer.call.asked_s + rules.grant_life_s

    def _answers(self, view: View, row: Row, options: ReadOptions) -> Sequence[Answer]:
        return self.rights.world.answers[view.place(row), row[2] if view.by_context else None, variant(options)]

    # Replies

    def _judge_row(self, read: Read, row: Row, told: Sequence[Told]) -> list[str]:
        """Where its views came from. Without names any schema that the service ever had may be meant, as long as one fits all."""
        reasons: list[str] = []
        named = tuple(one.name for one in told)
        for generation in self.rights.world.generations[read.service.ref]:
            names = tuple(feature.name for feature in generation if _selects(read, feature.name))
            if (None in named and len(names) == len(named)) or names == named:
                try:
                    return self._explain(read, row, [replace(one, name=name) for name, one in zip(names, told, strict=True)])
                except Broken as error:
                    reasons.append(str(error))
        raise Broken("; or ".join(reasons) or f"{read}: the features {named} are those of no schema that it ever had")

    def _explain(self, read: Read, row: Row, features: Sequence[Told]) -> list[str]:
        sources = []
        served = {feature.name: feature.value for feature in features}
        for name, group in groupby(features, key=lambda feature: str(feature.name).partition(".")[0]):
            view = list(group)
            if len({(one.source, one.age_s) for one in view}) > 1:
                raise Broken(f"{read}: {name} has more than one source or age")
            sources += self._score_sources(read, row, view[0], served) if name == SCORE else [self._source(read, row, name, view)]
        return sources

    def _score_sources(self, read: Read, row: Row, told: Told, served: Mapping[str, Any]) -> list[str]:
        """Of the on-demand view, which shows what it was computed from, and of its input."""
        if told.source not in (UNTOLD, "computed", "timeout"):
            raise Broken(f"{read}: {told} should have been computed")
        if told.value is None and told.status in (UNTOLD, "TIME_OUT"):
            return ["timeout"]
        a, _, amount = str(told.value).partition("*")
        value = None if a == "None" else a
        if amount != f"{row[2]:g}" or served.get("user.a", value) != value:
            raise Broken(f"{read}: {told} was computed from something else than {row} and {served}")
        return ["computed", self._source(read, row, "user", [Told("user.a", value)])]

    def _source(self, read: Read, row: Row, name: str, features: Sequence[Told]) -> str:
        view, told = read.service.view(name), features[0].source
        place = view.place(row)
        against: list[str] = []
        if told in (UNTOLD, "default") and self._is_default(name, features):
            if self.rights.excused(read, place):
                return "default"
            against.append("a default, where nothing failed")
        if told in (UNTOLD, "timeout") and all(one.value is None and one.status in (UNTOLD, "TIME_OUT") for one in features):
            if read.budget_s is not None and self.rights.late(read):
                return "timeout"
            against.append("null, before its time was over")
        for source in ("origin", "cache", "stale") if told is UNTOLD else (told,):
            for answer in reversed(self._answers(view, row, read.options)):
                if not _has_values(answer, features, tecton=read.tecton):
                    continue
                why_not = _mislabelled(read, answer, source, features) or self.rights.why_not(read, view, place, answer, source)
                if why_not is None:
                    self.seen["incomplete"] += not answer.complete
                    self.seen["negative hit"] += answer.missing and source == "cache"
                    return source
                against.append(f"as {source} of the answer asked for at {answer.call.asked_s} (#{answer.call.asked_seq}): {why_not}")
        shown = [(one.name, one.value) for one in features]
        raise Broken(f"{read}: {place} {shown}: {'; '.join(against) or 'was never answered of it'}")

    def _is_default(self, name: str, features: Sequence[Told]) -> bool:
        default = self.rights.rules.defaults.get(name)
        if default is None:
            return False
        return all(one.value == default.get(one.name.partition(".")[2]) and one.status in (UNTOLD, "UNKNOWN_STATUS") for one in features)

    # Errors

    def _judge_error(self, read: Read, error: BaseException) -> None:
        self.seen[f"error {type(error).__name__}"] += 1
        if not isinstance(error, GatewayError) or not self._deserved(read, type(error)):
            raise Broken(f"{read} ended with {error!r}, and nothing had failed") from error

    def _judge_row_error(self, read: Read, told: Mapping[str, Any]) -> None:
        self.seen["row error"] += 1
        if not any(int(kind.code) == told["code"] and self._deserved(read, kind) for kind in _LEAVES):
            raise Broken(f"{read}: a row ended with {told}, and nothing had failed")

    def _deserved(self, read: Read, kind: type[GatewayError]) -> bool:
        """Whether something happened during the read that explains the error."""
        world, calls = self.rights.world, self.rights.during(read)
        if issubclass(kind, DeadlineExceeded):
            return self.rights.late(read)
        if issubclass(kind, SchemaDisagreement):
            return any(call.spoilt or call.asked_seq < world.changed_seq for call in calls)
        if issubclass(kind, InvalidRequest) and read.selectors is not None and len(world.generations[read.service.ref]) > 1:
            return True  # a selector of a feature that was, or will be
        return any(call.error is not None and issubclass(kind, type(call.error)) for call in calls)


def _selects(read: Read, name: str) -> bool:
    return read.selectors is None or name in read.selectors or f"{name.partition('.')[0]}.*" in read.selectors


def _has_values(answer: Answer, features: Sequence[Told], *, tecton: bool) -> bool:
    for one in features:
        if one.name not in answer.values:
            return False
        value, _, _, dtype = answer.values[one.name]
        right = tecton_value(value, dtype) if tecton else value
        if right != one.value or type(right) is not type(one.value):
            return False
    return True


def _mislabelled(read: Read, answer: Answer, source: str, features: Sequence[Told]) -> str | None:
    """What is said beside the values, where it is not as it should be."""
    as_cached = read.tecton and source in _KEPT
    age_s = read.end_s - answer.call.asked_s
    for one in features:
        _, status, time, dtype = answer.values[one.name]
        wrong = (
            ("status", one.status, CACHED.get(status, status) if as_cached else status),
            ("effective time", one.time, None if as_cached else time),
            ("type", one.dtype, {"type": str(dtype)}),
        )
        for what, told, right in wrong:
            if told is not UNTOLD and told != right:
                return f"{one.name} has the {what} {told} instead of {right}"
        if one.age_s is not UNTOLD and abs(one.age_s - age_s) > EPSILON_S:
            return f"its age is told as {one.age_s} instead of {age_s}"
    return None
