"""By what right an answer of the origin is served: the promises of the README, over the cache machine's log of all that happened.

Bounds of age and windows, grants, purges, acknowledged ingests, changed definitions, completeness. Knows what was answered and when, and
nothing of how replies are spelled.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.cache.policy import Terms
from gateway.errors import CallerError, GatewayError, OriginError, PermissionDenied, Unauthenticated
from gateway.features import ReadOptions, ServiceRef
from tests.serving.cache_origin import ModelOrigin
from tests.serving.cache_replies import Read
from tests.serving.cache_world import Answer, OriginCall, Place, View, World, variant

EPSILON_S = 1e-3
"""What times may be off by: effective times are told in microseconds, ages in milliseconds."""
_REFUSALS = (PermissionDenied, Unauthenticated)


@dataclass(slots=True)
class PurgeLog:
    """`views` None: all. `done_seq`: when it was acknowledged."""

    workspace: str | None
    views: frozenset[str] | None
    join_keys: Mapping[str, Any]
    soft: bool
    begin_seq: int = 0
    done_seq: int | None = None
    done_s: float = 0.0

    def done_by(self, seq: int) -> bool:
        return self.done_seq is not None and self.done_seq < seq

    def covers(self, view: View, place: Place) -> bool:
        if self.workspace not in (None, view.workspace) or (self.views is not None and view.name not in self.views):
            return False
        used = [(name, value) for name, value in zip(view.join_keys, place[2], strict=True) if name in self.join_keys]
        return not self.join_keys or (bool(used) and all(self.join_keys[name] == value for name, value in used))


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings, as the model reads them."""

    terms: Mapping[tuple[ServiceRef, str], Terms]
    defaults: Mapping[str, Mapping[str, Any]]
    jitter: bool
    grant_life_s: float | None
    patience_s: float


@dataclass(slots=True)
class Rights:
    """`purges` and `reads`: the log, beside the origin's."""

    world: World
    origin: ModelOrigin
    rules: Rules
    purges: list[PurgeLog] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)

    def why_not(self, read: Read, view: View, place: Place, answer: Answer, source: str) -> str | None:
        """What speaks against having served this answer so."""
        call = answer.call
        if not call.ended_by(read.end_seq):
            return "it had not come yet"
        if not answer.complete and not (source == "origin" and call.asked_seq > read.begin_seq and call.caller == read.key):
            return "it is incomplete, and was asked for by another read"
        age_s = read.begin_s - call.asked_s
        if read.max_age_s is not None and (age_s > read.max_age_s if source == "origin" else age_s >= read.max_age_s):
            return f"older than {read.max_age_s} s"
        return self._overtaken(read, view, place, answer, source) or (
            self._why_not_fetched(read, call) if source == "origin" else self._why_not_kept(read, view, place, answer, source)
        )

    def _overtaken(self, read: Read, view: View, place: Place, answer: Answer, source: str) -> str | None:
        """Read your writes: what was acknowledged between the asking and the read."""
        asked_seq = answer.call.asked_seq
        for purge in self.purges:
            if (
                purge.done_by(read.begin_seq)
                and asked_seq < purge.begin_seq
                and purge.covers(view, place)
                and not (purge.soft and source == "stale")
            ):
                return f"purged (#{purge.begin_seq}-{purge.done_seq}) before the read began"
        for ingest in self.origin.ingests:
            acked = ingest.acked_seq is not None and ingest.acked_seq < read.begin_seq
            if acked and answer.version < ingest.versions.get(place, 0):
                return f"an ingest was acknowledged (#{ingest.acked_seq}) that made version {ingest.versions[place]} of {answer.version}"
        if self.world.single_views and asked_seq < self.world.changed_seq < read.begin_seq:
            return "definitions changed in between"
        return None

    def _why_not_fetched(self, read: Read, call: OriginCall) -> str | None:
        """As fresh from the origin: a flight of its own, or one that it joined."""
        if call.ended_by(read.begin_seq):
            return "it came before the read began"
        if call.asked_seq < read.begin_seq and not read.options.read_from_cache:
            return "asked for before a read that reads past the cache"
        if call.caller != read.key and not self._granted(read):
            return "another caller's flight, without a grant"
        return None

    def _why_not_kept(self, read: Read, view: View, place: Place, answer: Answer, source: str) -> str | None:
        """As cached, or as stale."""
        terms = self.rules.terms[read.service.ref, view.name]
        if terms.ttl_s <= 0 or not read.options.read_from_cache or read.options.high_watermark_override is not None:
            return "not to be had from the cache at all"
        if not self._granted(read):
            return "no grant"
        if not self._wanted(answer.call):
            return "nobody wanted it stored"
        until_s, slack_s = self._end(read.begin_seq if source == "cache" else read.end_seq, view, place, answer, terms)
        if source == "cache":
            return None if read.begin_s < until_s + slack_s else f"its time was over at {until_s}"
        if not self.rules.jitter and read.end_s < until_s - slack_s:
            return f"it was not stale before {until_s}"
        if read.begin_s < until_s + terms.revalidate_s + slack_s:
            return None
        if read.end_s >= until_s + terms.error_s + slack_s:
            return f"both windows after {until_s} were over"
        if not self._granted(read, at_the_end=True):
            return "no grant any more"
        if self._refusal(read, place) is not None:
            return "the origin refused this caller or request"
        return None if self.excused(read, place) else "the origin did not fail"

    def _end(self, before_seq: int, view: View, place: Place, answer: Answer, terms: Terms) -> tuple[float, float]:
        """Until when, at most, it is fresh (jitter may end it earlier), and by how much that may be off. Soft purges that were done before
        `before_seq` count: what is served stale may have become so while the read was under way."""
        ended_s = [
            purge.done_s
            for purge in self.purges
            if purge.soft and purge.covers(view, place) and purge.done_by(before_seq) and answer.call.ended_by(purge.done_seq or 0)
        ]
        by_age_s = answer.effective_s + terms.max_age_s
        until_s = min(answer.call.asked_s + (terms.negative_ttl_s if answer.missing else terms.ttl_s), by_age_s, *ended_s)
        return until_s, EPSILON_S if until_s == by_age_s else 0.0

    def _wanted(self, call: OriginCall) -> bool:
        """Whether who asked, or anyone who waited with it, let it be stored."""
        return _stores(call.options) or any(
            _stores(read.options) and read.variant == variant(call.options) and not call.ended_by(read.begin_seq)
            for read in self.reads
            if read.end_seq == 0 or call.ended_by(read.end_seq)
        )

    def _granted(self, read: Read, *, at_the_end: bool = False) -> bool:
        """Whether the origin had answered this caller, and had not refused it since: at some time during the read, or at its end."""
        life_s = self.rules.grant_life_s
        if life_s is None:
            return True
        now_s, seq = (read.end_s, read.end_seq) if at_the_end else (read.begin_s, read.begin_seq)
        mine = [call for call in self.origin.calls if (call.caller, call.service) == (read.key, read.service.ref)]
        refusals = [call for call in mine if isinstance(call.error, _REFUSALS) and call.ended_by(seq)]
        return any(
            call.error is None
            and call.places
            and call.ended_by(read.end_seq)
            and now_s < call.asked_s + life_s
            and all(refusal.judged_seq < call.judged_seq or refusal.ended_s == call.asked_s for refusal in refusals)
            for call in mine
        )

    def during(self, read: Read) -> list[OriginCall]:
        """The calls that ended while the read was under way."""
        return [call for call in self.origin.calls if call.ended_seq is not None and read.begin_seq < call.ended_seq < read.end_seq]

    def late(self, read: Read) -> bool:
        return read.end_s >= read.begin_s + (self.rules.patience_s if read.budget_s is None else read.budget_s) - EPSILON_S

    def excused(self, read: Read, place: Place) -> bool:
        """Whether the origin failed for this place, or for others that a flight was to bring with it, or was late, while the read was under
        way. What it said in part counts as late."""
        failed = [call for call in self.during(read) if isinstance(call.error, OriginError)]
        spoilt = any(not answer.complete for answer in self._landed(read, place))
        return self.late(read) or spoilt or any(place in call.places or call.service == read.service.ref for call in failed)

    def _landed(self, read: Read, place: Place) -> Iterator[Answer]:
        for (known, _, options), answers in list(self.world.answers.items()):
            if known == place and options == read.variant:
                yield from (one for one in answers if one.call.ended_seq is not None and read.begin_seq < one.call.ended_seq < read.end_seq)

    def _refusal(self, read: Read, place: Place) -> GatewayError | None:
        """What the origin said last of this very read, where it is against its caller or itself. Nothing where that is not certain: other
        reads were under way. (Of a batch that is refused, rows are asked for alone; if one of these fails, so have those after it.)"""
        mine = [
            call
            for call in self.during(read)
            if call.asked_seq > read.begin_seq and (call.caller, call.service) == (read.key, read.service.ref)
        ]
        last = mine[-1] if mine and read.alone else None
        return last.error if last is not None and place in last.places and isinstance(last.error, CallerError) else None


def _stores(options: ReadOptions) -> bool:
    return options.write_to_cache and options.high_watermark_override is None
