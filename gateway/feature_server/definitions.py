"""What a feature repository declares: workspaces, entities, stream sources, feature views, on-demand views, feature services.

Plain frozen data and what follows from it by name: feature names, result types, served order, ids. `validation` says whether a repository
makes sense and `folder` reads one from disk; nothing here checks. Knows nothing of stores, reads or requests.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import md5

from gateway.feature_server.functions import FUNCTIONS, Parameters
from gateway.features import DataType, Feature, Field, Labels
from gateway.on_demand import OnDemandView

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
_UNITS = ((DAY_S, "d"), (HOUR_S, "h"), (MINUTE_S, "m"), (1, "s"))
LIFETIME = "lifetime"
CONTINUOUS = "continuous"


def spell_duration(seconds: int) -> str:
    """As feature names spell it, in the largest unit that divides it: 3600 → `1h`, 5400 → `90m`."""
    size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0)
    return f"{seconds // size}{unit}"


@dataclass(frozen=True, slots=True)
class Entity:
    """Something features are about, and the typed join keys that say which one is meant."""

    name: str
    join_keys: tuple[Field, ...]
    description: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A stream of events. `record_key` names the columns that, with the timestamp, say which event a record is: a record sent again
    replaces the one before. Without it, an event is whatever each view's own join keys and the timestamp say it is.

    `files`: where its history lies, as patterns of CSV, JSONL and Parquet files.
    """

    name: str
    columns: tuple[Field, ...]
    timestamp: str
    record_key: tuple[str, ...] = ()
    description: str = ""
    files: tuple[str, ...] = ()

    def position(self, column: str) -> int:
        return [one.name for one in self.columns].index(column)

    def dtype(self, column: str) -> DataType:
        return self.columns[self.position(column)].dtype


@dataclass(frozen=True, slots=True)
class Aggregation:
    """A function of one column over a time window. `window_s` None: all time. The parameters belong to the functions that take them.

    `alias`: a feature name of its own, in the place of the one that follows from the rest.
    """

    column: str
    function: str
    window_s: int | None
    n: int | None = None
    percentile: float | None = None
    precision: int | None = None
    description: str | None = None
    alias: str | None = None

    @property
    def parameters(self) -> Parameters:
        return Parameters(self.n, self.percentile, self.precision)

    def name(self, interval_s: int | None) -> str:
        """Named as Tecton names them: `dep_delay_mean_1h_10m`, `dest_last_5_1d_10m`, `amt_sum_1h_continuous`, `amt_count_lifetime_1d`."""
        if self.alias is not None:
            return self.alias
        window = LIFETIME if self.window_s is None else spell_duration(self.window_s)
        interval = CONTINUOUS if interval_s is None else spell_duration(interval_s)
        return f"{self.column}_{FUNCTIONS[self.function].spell(self.function, self.parameters)}_{window}_{interval}"

    def result(self, source: Source) -> DataType:
        return FUNCTIONS[self.function].result(source.dtype(self.column))


@dataclass(frozen=True, slots=True)
class Attribute:
    """The value of one column in a key's newest event; null where that event has none."""

    column: str
    description: str | None = None
    alias: str | None = None

    @property
    def name(self) -> str:
        return self.alias or self.column


@dataclass(frozen=True, slots=True)
class FeatureView:
    """What is known of one set of join keys from one source: windowed aggregations, or the attributes of the newest event; not both.

    `interval_s`: windows end at whole intervals; None: windows are continuous, they end at the instant of the read. `ttl_s`: older events
    are neither taken in nor kept, and an attribute's event older than that is no data; None: any age. `serving_index`: the join keys that
    a wildcard read gives, to be answered with every set of the others that exists.
    """

    name: str
    source: str
    join_keys: tuple[str, ...]
    aggregations: tuple[Aggregation, ...] = ()
    interval_s: int | None = None
    ttl_s: int | None = None
    description: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    attributes: tuple[Attribute, ...] = ()
    entities: tuple[str, ...] = ()
    serving_index: tuple[str, ...] = ()

    @property
    def served(self) -> tuple[Aggregation, ...]:
        """The aggregations in served order: by feature name."""
        return tuple(sorted(self.aggregations, key=lambda one: one.name(self.interval_s)))

    @property
    def served_attributes(self) -> tuple[Attribute, ...]:
        return tuple(sorted(self.attributes, key=lambda one: one.name))

    def features(self, source: Source) -> tuple[Feature, ...]:
        """In served order; aggregations or attributes, whichever the view has."""
        return (
            *(Feature(f"{self.name}.{one.name(self.interval_s)}", one.result(source)) for one in self.served),
            *(Feature(f"{self.name}.{one.name}", source.dtype(one.column)) for one in self.served_attributes),
        )

    def labels(self) -> dict[str, Labels]:
        tags = tuple(self.tags.items())
        described = {one.name(self.interval_s): one.description for one in self.served}
        described |= {one.name: one.description for one in self.served_attributes}
        return {f"{self.name}.{name}": Labels(text or self.description, tags) for name, text in described.items()}


@dataclass(frozen=True, slots=True)
class ViewUse:
    """How a feature service serves a view. `features`: only these (their names in the view). `alias`: under this name instead of its own.
    `renames`: features under other names. `join_keys`: join keys under other names, the view's → the service's."""

    view: str
    features: tuple[str, ...] | None = None
    alias: str | None = None
    renames: Mapping[str, str] = field(default_factory=dict)
    join_keys: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.alias or self.view

    @property
    def plain(self) -> bool:
        """Whether names are served as the view has them."""
        return not (self.alias or self.renames or self.join_keys)


@dataclass(frozen=True, slots=True)
class FeatureService:
    """What a model reads in one call: feature views and on-demand views, by name or with a `ViewUse`. Their order does not matter."""

    name: str
    views: tuple[str | ViewUse, ...]
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def uses(self) -> tuple[ViewUse, ...]:
        return tuple(ViewUse(one) if isinstance(one, str) else one for one in self.views)


@dataclass(frozen=True, slots=True)
class Workspace:
    """Definitions that see one another. `context` types the request-context keys that on-demand views read."""

    name: str
    sources: tuple[Source, ...]
    views: tuple[FeatureView, ...]
    services: tuple[FeatureService, ...]
    on_demand: tuple[OnDemandView, ...] = ()
    context: tuple[Field, ...] = ()
    entities: tuple[Entity, ...] = ()


@dataclass(frozen=True, slots=True)
class Repository:
    workspaces: tuple[Workspace, ...]


def object_id(kind: str, workspace: str, name: str) -> str:
    """32 hex digits that stay the same as long as the names do; an identifier, not a secret."""
    return md5(f"{kind}\0{workspace}\0{name}".encode(), usedforsecurity=False).hexdigest()
