"""What the cache machine's origin serves: two workspaces of views whose every value names what it is of, and all that was ever true.

A value is a number that stands for (workspace, view, join keys, request context, options, feature, version) in a register, so no two are
the same, and whatever is served under another name or key shows. `seq` orders everything that happens, as time may stand still.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from gateway.features import (
    FLOAT64,
    INT64,
    STRING,
    DataType,
    Feature,
    Field,
    Labels,
    ReadOptions,
    ServiceRef,
    Status,
    ViewLayout,
    ViewValues,
)
from gateway.on_demand import OnDemandView
from gateway.origins.base import Description, FetchedRow, ViewFacts

AS_OF = "2024-05-01T12:00:00Z"
"""The origin's own time, which stands still: effective times are told against it when an answer leaves."""
START_S = 1_000.0
SCORE = "score"
KEY_FIELDS = {"user": Field("user", STRING), "shop": Field("shop", INT64)}
AMOUNT = Field("amount", FLOAT64)
Place = tuple[str, str, tuple[Any, ...]]
"""A workspace, what tells the view apart from all others in it, and its join-key values."""
Row = tuple[str | None, int | None, float]
"""User, shop, amount."""


@dataclass(slots=True)
class View:
    """`origin_name`: what tells it apart from others of its name. `features`: its own, without prefix; they change (`edition`).
    `by_context`: its values depend on the request context."""

    workspace: str
    name: str
    origin_name: str
    join_keys: tuple[str, ...]
    features: list[tuple[str, DataType]]
    by_context: bool = False
    edition: int = 0

    @property
    def identity(self) -> str:
        return f"{self.origin_name}#{self.edition}"

    def place(self, row: Row) -> Place:
        given = {"user": row[0], "shop": row[1]}
        return self.workspace, self.origin_name, tuple(given[name] for name in self.join_keys)

    def layout(self, cut: Iterable[str] | None = None) -> ViewLayout:
        chosen = [(name, dtype) for name, dtype in self.features if cut is None or name in cut]
        return ViewLayout(self.name, tuple(Feature(f"{self.name}.{name}", dtype) for name, dtype in chosen))

    def change(self, kind: str) -> None:
        """Insert a feature at position 0, retype one, or remove one; `a`, which the on-demand view reads, stays."""
        self.edition += 1
        places = [place for place, (name, _) in enumerate(self.features) if name != "a"]
        if kind == "insert" or not places:
            self.features.insert(0, (f"x{self.edition}", STRING))
        elif kind == "retype":
            name, dtype = self.features[places[-1]]
            self.features[places[-1]] = name, INT64 if dtype == STRING else STRING
        elif len(self.features) > 1:
            del self.features[places[0]]


@dataclass(frozen=True, slots=True)
class Service:
    """`views` in served order, each with the features that are served of it (None: all). `scored`: it ends with the on-demand view."""

    ref: ServiceRef
    join_keys: tuple[str, ...]
    views: tuple[tuple[View, tuple[str, ...] | None], ...]
    scored: bool = False

    def view(self, name: str) -> View:
        return next(view for view, _ in self.views if view.name == name)

    @property
    def features(self) -> tuple[Feature, ...]:
        scores = (Feature(f"{SCORE}.s", STRING),) if self.scored else ()
        return (*(feature for view, cut in self.views for feature in view.layout(cut).features), *scores)


@dataclass(frozen=True, slots=True)
class Version:
    """What is true of a place. `missing`: nothing, or all but the last feature, or all of its values are there."""

    number: int
    effective_s: float
    missing: str = "none"


@dataclass(frozen=True, slots=True)
class Answer:
    """One view of a row, as the origin answered it once."""

    values: Mapping[str, tuple[Any, Status, str | None, DataType]]
    version: int
    effective_s: float
    complete: bool
    call: "OriginCall"

    @property
    def missing(self) -> bool:
        return all(status is Status.MISSING_DATA for _, status, _, _ in self.values.values())


@dataclass(slots=True)
class OriginCall:
    """One fetch, or look at the metadata (no `places`). `judged_seq`: when the caller's right to it was looked up."""

    caller: bytes
    service: ServiceRef
    asked_seq: int
    asked_s: float
    places: frozenset[Place] = frozenset()
    options: ReadOptions = ReadOptions()  # noqa: RUF009 - immutable
    judged_seq: int = 0
    ended_seq: int | None = None
    ended_s: float = 0.0
    error: Exception | None = None
    spoilt: bool = False

    def ended_by(self, seq: int) -> bool:
        return self.ended_seq is not None and self.ended_seq < seq


@dataclass(slots=True)
class World:
    """`now_s` is the cache's clock. Answers are kept by place, amount and variant."""

    single_views: bool
    now_s: float = START_S
    seq: int = 0
    services: dict[ServiceRef, Service] = field(default_factory=dict)
    versions: defaultdict[Place, list[Version]] = field(default_factory=lambda: defaultdict(lambda: [Version(0, START_S - 2.0)]))
    answers: defaultdict[tuple[Place, float | None, Any], list[Answer]] = field(default_factory=lambda: defaultdict(list))
    generations: dict[ServiceRef, list[tuple[Feature, ...]]] = field(default_factory=dict)
    changed_seq: int = 0
    tokens: dict[tuple[Any, ...], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for workspace in ("prod", "test"):
            user = View(workspace, "user", "user", ("user",), [("a", STRING), ("b", INT64)])
            shop = View(workspace, "shop", "shop", ("shop",), [("a", INT64), ("n", STRING)])
            both = View(workspace, "both", "both", ("user", "shop"), [("a", STRING), ("b", INT64)])
            asked = View(workspace, "asked", "asked", ("user", "shop"), [("a", STRING)], by_context=True)
            live = View(workspace, "live", "live", ("user",), [("a", STRING)])
            # a cluster's view goes by its name; an embedded one may be another under the same name
            other = View(workspace, "user", "other", ("user",), [("a", STRING), ("b", INT64)]) if self.single_views else user
            alpha = Service(ServiceRef(workspace, "alpha"), ("user", "shop"), ((user, None), (shop, None), (both, None)), scored=True)
            beta = Service(ServiceRef(workspace, "beta"), ("shop", "user"), ((shop, None), (user, None), (both, ("a",)), (asked, None)))
            gamma = Service(ServiceRef(workspace, "gamma"), ("user",), ((user, None),))
            delta = Service(ServiceRef(workspace, "delta"), ("user",), ((live, None), (other, None)))
            for service in (alpha, beta, gamma, delta) if workspace == "prod" else (alpha,):
                self.services[service.ref] = service
                self.generations[service.ref] = [service.features]

    @property
    def views(self) -> list[View]:
        told = {id(view): view for service in self.services.values() for view, _ in service.views}
        return list(told.values())

    def next(self) -> int:
        self.seq += 1
        return self.seq

    def change_value(self, place: Place, lag_s: float, missing: str) -> Version:
        """From now on something else is true of the place, as of `lag_s` ago."""
        known = self.versions[place]
        known.append(Version(known[-1].number + 1, self.now_s - lag_s, missing))
        return known[-1]

    def change_schema(self, view: View, kind: str) -> None:
        view.change(kind)
        self.changed_seq = self.next()
        for ref, service in self.services.items():
            if service.features != self.generations[ref][-1]:
                self.generations[ref].append(service.features)

    def describe(self, ref: ServiceRef) -> Description:
        service = self.services[ref]
        facts = {}
        for view, _ in service.views:
            if self.single_views:
                context = (AMOUNT.name,) if view.by_context else ()
                facts[view.name] = ViewFacts(view.join_keys, context, features=view.layout().features, identity=view.identity)
            elif not view.by_context:  # of which a cluster's settings say nothing
                facts[view.name] = ViewFacts(view.join_keys, ())
        return Description(
            ref,
            tuple(KEY_FIELDS[name] for name in service.join_keys),
            (AMOUNT,),
            service.features,
            views=facts,
            on_demand={SCORE: OnDemandView(SCORE, _score, (AMOUNT.name,), (("user", ("a",)),), (("s", STRING),))} if service.scored else {},
            labels={} if self.single_views else None,
        )

    def labels(self, ref: ServiceRef) -> dict[str, Labels]:
        return {feature.name: Labels(f"This is {feature.name}.") for feature in self.services[ref].features}

    def read_row(self, service: Service, wanted: frozenset[str], row: Row, options: ReadOptions) -> "Snapshot":
        """What is true now of a row."""
        views = [(view, cut) for view, cut in service.views if view.name in wanted or not self.single_views]
        return Snapshot(
            self,
            service,
            row,
            options,
            [(view, view.layout(None if self.single_views else cut), self.versions[view.place(row)][-1]) for view, cut in views],
        )

    def token(self, view: View, row: Row, options: ReadOptions, feature: Feature, version: Version) -> Any:
        told = (view.place(row), row[2] if view.by_context else None, variant(options), feature.name, version.number)
        number = self.tokens.setdefault(told, len(self.tokens))
        return number if feature.dtype == INT64 else f"t{number}"

    def told_time(self, moment_s: float) -> str:
        """A moment of the cache's clock, as the origin tells it now."""
        moment = datetime.fromisoformat(AS_OF) - timedelta(seconds=self.now_s - moment_s)
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was true of a row at one moment; it may be told later."""

    world: World
    service: Service
    row: Row
    options: ReadOptions
    views: list[tuple[View, ViewLayout, Version]]

    def tell(self, call: OriginCall, spoilt: str | None) -> FetchedRow:
        """As an answer, which the world remembers. `spoilt`: `late`, the first view is not there in time; `partial`: the last is left out;
        `garbage`: the first has a feature less."""
        answered: list[ViewValues] = []
        for number, (view, layout, version) in enumerate(self.views):
            gone = (spoilt == "late" and number == 0) or (spoilt == "partial" and number == len(self.views) - 1)
            if spoilt == "garbage" and number == 0:
                layout = ViewLayout(view.name, (*layout.features[1:], Feature(f"{view.name}.strange", STRING)))  # noqa: PLW2901 - another one
            answered.append(self._view(call, view, layout, version, gone=gone, complete=not gone, partial=spoilt == "partial"))
        if self.service.scored and not self.world.single_views:
            answered.append(self._scored(answered))
        return FetchedRow(tuple(answered), partial=spoilt == "partial")

    def _view(
        self, call: OriginCall, view: View, layout: ViewLayout, version: Version, *, gone: bool, complete: bool, partial: bool
    ) -> ViewValues:
        world, told = self.world, dict[str, tuple[Any, Status, str | None, DataType]]()
        effective_s = []
        for number, feature in enumerate(layout.features):
            if gone:
                told[feature.name] = None, Status.TIME_OUT, None, feature.dtype
            elif version.missing == "all" or (version.missing == "last" and number == len(layout) - 1):
                told[feature.name] = None, Status.MISSING_DATA, None, feature.dtype
            else:
                effective_s.append(version.effective_s - number)
                value = world.token(view, self.row, self.options, feature, version)
                told[feature.name] = value, Status.PRESENT, world.told_time(effective_s[-1]), feature.dtype
        answer = Answer(told, version.number, min(effective_s, default=float("inf")), complete and not partial, call)
        amount = self.row[2] if view.by_context else None
        world.answers[view.place(self.row), amount, variant(self.options)].append(answer)
        return encoded(layout, told, complete=complete)

    def _scored(self, answered: list[ViewValues]) -> ViewValues:
        [user] = [values for values in answered if values.layout.view == "user"]
        there = msgspec.json.decode(b"{%b}" % user.named)
        layout = ViewLayout(SCORE, (Feature(f"{SCORE}.s", STRING),))
        value = (score(there.get("user.a"), self.row[2]), Status.PRESENT, None, STRING)
        return encoded(layout, {f"{SCORE}.s": value}, complete=user.complete)


def variant(options: ReadOptions) -> tuple[object, ...]:
    """What of a read's options makes other values."""
    return (
        options.coerce_null_counts_to_zero,
        options.aggregation_leading_edge,
        options.ignore_extra_request_context_fields,
        options.high_watermark_override,
    )


def encoded(layout: ViewLayout, told: Mapping[str, tuple[Any, Status, str | None, DataType]], *, complete: bool) -> ViewValues:
    values = [told[name] for name in layout.names]
    return ViewValues(
        layout,
        b",".join([msgspec.json.encode(tecton_value(value, dtype)) for value, _, _, dtype in values]),
        b",".join([msgspec.json.encode(name) + b":" + msgspec.json.encode(told[name][0]) for name in layout.names]),
        tuple(status for _, status, _, _ in values),
        tuple(time for _, _, time, _ in values),
        complete,
    )


def tecton_value(value: Any, dtype: DataType) -> Any:
    return str(value) if dtype == INT64 and value is not None else value


def score(a: str | None, amount: float) -> str:
    return f"{a}*{amount:g}"


def _score(context: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    return {"s": score(inputs["user"]["a"], context["amount"])}
