"""What a feature repository declares: workspaces, stream sources, feature views with windowed aggregations, feature services.

Plain frozen data and what follows from it by name: feature names, result types, served order, ids. `validation` says whether a repository
makes sense; nothing here checks. Knows nothing of stores, reads or requests.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import md5

from gateway.feature_server.functions import FUNCTIONS
from gateway.features import DataType, Feature, Field, Labels
from gateway.on_demand import OnDemandView

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
_UNITS = ((DAY_S, "d"), (HOUR_S, "h"), (MINUTE_S, "m"), (1, "s"))


def spell_duration(seconds: int) -> str:
    """As feature names spell it, in the largest unit that divides it: 3600 → `1h`, 5400 → `90m`."""
    size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0)
    return f"{seconds // size}{unit}"


@dataclass(frozen=True, slots=True)
class Source:
    """A stream of events. `record_key` names the columns that, with the timestamp, say which event a record is: a record sent again
    replaces the one before. Without it, an event is whatever each view's own join keys and the timestamp say it is."""

    name: str
    columns: tuple[Field, ...]
    timestamp: str
    record_key: tuple[str, ...] = ()
    description: str = ""

    def position(self, column: str) -> int:
        return [one.name for one in self.columns].index(column)

    def dtype(self, column: str) -> DataType:
        return self.columns[self.position(column)].dtype


@dataclass(frozen=True, slots=True)
class Aggregation:
    """A function of one column over a time window. `n` belongs to the functions that take one (last_n)."""

    column: str
    function: str
    window_s: int
    n: int | None = None
    description: str | None = None

    def name(self, interval_s: int) -> str:
        """Named as Tecton names them: `dep_delay_mean_1h_10m`, `dest_last_5_1d_10m`."""
        function = self.function.removesuffix("_n") + f"_{self.n}" if self.n is not None else self.function
        return f"{self.column}_{function}_{spell_duration(self.window_s)}_{spell_duration(interval_s)}"

    def result(self, source: Source) -> DataType:
        return FUNCTIONS[self.function].result(source.dtype(self.column))


@dataclass(frozen=True, slots=True)
class FeatureView:
    """Windowed aggregations of one source for one set of join keys. `ttl_s` None: events of any age are taken in."""

    name: str
    source: str
    join_keys: tuple[str, ...]
    aggregations: tuple[Aggregation, ...]
    interval_s: int
    ttl_s: int | None = None
    description: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def served(self) -> tuple[Aggregation, ...]:
        """The aggregations in served order: by feature name."""
        return tuple(sorted(self.aggregations, key=lambda one: one.name(self.interval_s)))

    def features(self, source: Source) -> tuple[Feature, ...]:
        return tuple(Feature(f"{self.name}.{one.name(self.interval_s)}", one.result(source)) for one in self.served)

    def labels(self) -> dict[str, Labels]:
        tags = tuple(self.tags.items())
        return {f"{self.name}.{one.name(self.interval_s)}": Labels(one.description or self.description, tags) for one in self.served}


@dataclass(frozen=True, slots=True)
class FeatureService:
    """What a model reads in one call. `views` names feature views and on-demand views; their order does not matter."""

    name: str
    views: tuple[str, ...]
    description: str = ""


@dataclass(frozen=True, slots=True)
class Workspace:
    """Definitions that see one another. `context` types the request-context keys that on-demand views read."""

    name: str
    sources: tuple[Source, ...]
    views: tuple[FeatureView, ...]
    services: tuple[FeatureService, ...]
    on_demand: tuple[OnDemandView, ...] = ()
    context: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class Repository:
    workspaces: tuple[Workspace, ...]


def object_id(kind: str, workspace: str, name: str) -> str:
    """32 hex digits that stay the same as long as the names do; an identifier, not a secret."""
    return md5(f"{kind}\0{workspace}\0{name}".encode(), usedforsecurity=False).hexdigest()


def served_order(service: FeatureService, workspace: Workspace) -> tuple[list[OnDemandView], list[FeatureView]]:
    """The views of a service as its features are served: on-demand views, then the others, each by name (contract §2.1)."""
    on_demand = sorted((view for view in workspace.on_demand if view.name in service.views), key=lambda view: view.name)
    views = sorted((view for view in workspace.views if view.name in service.views), key=lambda view: view.name)
    return on_demand, views
