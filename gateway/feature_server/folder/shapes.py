"""What a document may say: its sections and their fields, and what an ill-shaped one is told.

The fields of each shape are the reference of the format. Knows nothing of whether the definitions make sense together.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Annotated, Any, Self, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from gateway.feature_server.folder.documents import Nothing, Path
from gateway.feature_server.folder.spellings import (
    parse_decimal,
    parse_duration,
    parse_interval,
    parse_name,
    parse_text,
    parse_time_limit,
    parse_type,
    parse_whole,
    parse_window,
)
from gateway.features import DataType

Text = Annotated[str, BeforeValidator(parse_text)]
Name = Annotated[str, BeforeValidator(parse_name)]
Whole = Annotated[int, BeforeValidator(parse_whole)]
Decimal = Annotated[float, BeforeValidator(parse_decimal)]
Duration = Annotated[int, BeforeValidator(parse_duration)]
Window = Annotated[int | None, BeforeValidator(parse_window)]
Interval = Annotated[int | None, BeforeValidator(parse_interval)]
TimeLimit = Annotated[float, BeforeValidator(parse_time_limit)]
Type = Annotated[DataType, BeforeValidator(parse_type)]
Types = dict[Name, Type]
Names = Annotated[list[Name], Field(min_length=1)]


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    def gives(self, field: str) -> bool:
        return field in self.model_fields_set


class EntityShape(Shape):
    name: Name
    join_keys: Types
    description: Text = ""


class SourceShape(Shape):
    name: Name
    columns: Types
    timestamp: Name
    record_key: Names = []
    files: Names = []
    description: Text = ""


class AggregationShape(Shape):
    column: Name
    function: Name
    window: Window = None
    windows: Annotated[list[Window], Field(min_length=1)] = []
    n: Whole | None = None
    percentile: Decimal | None = None
    precision: Whole | None = None
    name: Name | None = None
    description: Text | None = None

    @model_validator(mode="after")
    def _one_window_or_more(self) -> Self:
        if self.gives("window") == self.gives("windows"):
            raise ValueError("must have window or windows, one of the two.")
        if self.name is not None and len(self.windows) > 1:
            raise ValueError("has one name for several windows; give each window an aggregation of its own.")
        return self


class AttributeShape(Shape):
    """A column's name alone, or this."""

    column: Name
    name: Name | None = None
    description: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _column_alone(cls, given: object) -> object:
        return {"column": given} if isinstance(given, str) else given


class FeatureViewShape(Shape):
    name: Name
    source: Name
    entities: Names = []
    join_keys: Names = []
    interval: Interval = None
    ttl: Duration | None = None
    aggregations: Annotated[list[AggregationShape], Field(min_length=1)] = []
    attributes: Annotated[list[AttributeShape], Field(min_length=1)] = []
    serving_index: Names = []
    description: Text | None = None
    tags: dict[Name, Text] = {}

    @model_validator(mode="after")
    def _keyed_and_timed(self) -> Self:
        if not self.entities and not self.join_keys:
            raise ValueError("must have entities or join_keys.")
        if self.aggregations and not self.gives("interval"):
            raise ValueError("must have an interval for its aggregations: a duration, such as 10m, or continuous.")
        if self.attributes and self.gives("interval"):
            raise ValueError("has an interval, which attributes have no use for.")
        return self


class OnDemandViewShape(Shape):
    name: Name
    function: Name
    context: Names = []
    inputs: dict[Name, Names] = {}
    outputs: Types
    time_limit: TimeLimit | None = None
    description: Text | None = None
    tags: dict[Name, Text] = {}


class ViewUseShape(Shape):
    """A view's name alone, or this."""

    view: Name
    alias: Name | None = Field(None, alias="as")
    features: Names | None = None
    rename: dict[Name, Name] = {}
    join_keys: dict[Name, Name] = {}

    @model_validator(mode="before")
    @classmethod
    def _view_alone(cls, given: object) -> object:
        return {"view": given} if isinstance(given, str) else given


class FeatureServiceShape(Shape):
    name: Name
    views: Annotated[list[ViewUseShape], Field(min_length=1)]
    description: Text = ""
    tags: dict[Name, Text] = {}


class DocumentShape(Shape):
    workspace: Name
    entities: list[EntityShape] = []
    sources: list[SourceShape] = []
    context: Types = {}
    feature_views: list[FeatureViewShape] = []
    on_demand_views: list[OnDemandViewShape] = []
    feature_services: list[FeatureServiceShape] = []


S = TypeVar("S", bound=Shape)
_ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        "aggregation_interval": "interval",
        "alias": "name",
        "batch_source": "source",
        "data_source": "sources",
        "data_sources": "sources",
        "feature_service": "feature_services",
        "feature_view": "feature_views",
        "features": "attributes",
        "input_column": "column",
        "join_key": "join_keys",
        "on_demand_feature_views": "on_demand_views",
        "online_serving_index": "serving_index",
        "override_join_keys": "join_keys",
        "path": "files",
        "realtime_feature_views": "on_demand_views",
        "schema": "columns",
        "stream_source": "source",
        "time_window": "window",
        "timestamp_field": "timestamp",
    }
)
"""What Tecton, Feast and a first guess call a field that has another name here."""
_WANTED: Mapping[str, str] = MappingProxyType(
    {
        "missing": "is missing.",
        "list_type": "must be a list.",
        "dict_type": "must be a mapping of names to values.",
        "model_type": "must be a mapping of fields.",
        "too_short": "must not be empty.",
    }
)


def read_shape(shape: type[S], data: object) -> S | list[tuple[Path, str]]:
    """The shape that the data has, or else what is wrong with it and where."""
    try:
        return shape.model_validate(data)
    except ValidationError as error:
        return [_told(shape, one) for one in error.errors(include_url=False, include_input=True)]


def _told(shape: type[Shape], error: ErrorDetails) -> tuple[Path, str]:
    kind = error["type"]
    if kind == "extra_forbidden":
        return error["loc"], _unknown(shape, error["loc"])
    path: Path = tuple(step for step in error["loc"] if step != "[key]")  # pydantic's mark behind a name that is wrong itself
    if kind == "value_error":
        return path, str(error["ctx"]["error"])
    if error["input"] is Nothing.NOTHING and kind != "missing":
        return path, "has no value: give it one, or leave it out."
    return path, _WANTED.get(kind) or f"is not valid: {error['msg']}."


def _unknown(shape: type[Shape], path: Path) -> str:
    for step in path[:-1]:
        if isinstance(step, str):
            shape = _inner(shape, step)
    fields = [field.alias or name for name, field in shape.model_fields.items()]
    given = str(path[-1])
    near = [_ELSEWHERE[given.lower()]] if _ELSEWHERE.get(given.lower()) in fields else get_close_matches(given.lower(), fields, 1)
    return f"is not a field here; did you mean {near[0]}?" if near else f"is not a field here; there are {', '.join(fields)}."


def _inner(shape: type[Shape], field: str) -> type[Shape]:
    return next(inner for inner in _shapes(shape.model_fields[field].annotation))


def _shapes(annotation: Any) -> Iterator[type[Shape]]:
    if isinstance(annotation, type) and issubclass(annotation, Shape):
        yield annotation
    for inner in get_args(annotation):
        yield from _shapes(inner)
