"""Pieces → a repository, and the way back: where in the documents each part of it was written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.feature_server.definitions import (
    Aggregation,
    Attribute,
    Entity,
    FeatureService,
    FeatureView,
    Repository,
    Source,
    ViewUse,
    Workspace,
)
from gateway.feature_server.folder.documents import Path, Slip
from gateway.feature_server.folder.modules import Modules, NoFunction
from gateway.feature_server.folder.pieces import Piece
from gateway.feature_server.folder.shapes import (
    AggregationShape,
    EntityShape,
    FeatureServiceShape,
    FeatureViewShape,
    OnDemandViewShape,
    SourceShape,
    ViewUseShape,
)
from gateway.feature_server.validation.mistakes import Mistake
from gateway.features import DataType, Field, Labels
from gateway.on_demand import Function, OnDemandView

_SECTIONS = {
    "entities": "entities",
    "sources": "sources",
    "views": "feature_views",
    "on_demand": "on_demand_views",
    "services": "feature_services",
    "context": "context",
}
"""Attributes of a workspace → sections."""
_FIELDS = {"interval_s": "interval", "ttl_s": "ttl", "time_limit_s": "time_limit", "context_keys": "context"}
_INNER_FIELDS = {
    "aggregations": {"alias": "name"},
    "attributes": {"alias": "name"},
    "views": {"alias": "as", "renames": "rename"},
}
"""Attributes → fields, where the two differ."""


@dataclass(slots=True)
class Building:
    """`functions` are read from `modules`; one that cannot be had goes to `slips`, and the rest goes on without it."""

    pieces: Sequence[Piece]
    modules: Modules
    slips: list[Slip]
    _placed: dict[tuple[int, str], list[Piece]] = field(default_factory=dict)

    def repository(self) -> Repository:
        """With its mistakes: nothing is checked here but that there are such functions."""
        names = dict.fromkeys(piece.workspace for piece in self.pieces)
        return Repository(tuple(self._workspace(at, name) for at, name in enumerate(names)))

    def slip(self, mistake: Mistake) -> Slip:
        """A mistake of the repository, told where it was written."""
        where = mistake.where
        at = where[1] if len(where) > 1 and isinstance(where[1], int) else 0
        attribute, index = (where[2], where[3]) if len(where) > 3 else ("", 0)
        if isinstance(attribute, str) and isinstance(index, int) and (at, attribute) in self._placed:
            piece = self._placed[at, attribute][index]
            return piece.document.slip((*piece.path, *_path(piece, where[4:])), mistake.text)
        first = next(piece for (workspace, _), pieces in self._placed.items() if workspace == at for piece in pieces)
        return first.document.slip(("workspace",), mistake.text)

    def _workspace(self, at: int, name: str) -> Workspace:
        for attribute, section in _SECTIONS.items():
            self._placed[at, attribute] = [one for one in self.pieces if (one.workspace, one.section) == (name, section)]

        def of(attribute: str) -> list[Piece]:
            return self._placed[at, attribute]

        entities = tuple(_entity(piece.shape) for piece in of("entities") if isinstance(piece.shape, EntityShape))
        return Workspace(
            name=name,
            sources=tuple(_source(piece.shape) for piece in of("sources") if isinstance(piece.shape, SourceShape)),
            views=tuple(_view(piece.shape, entities) for piece in of("views") if isinstance(piece.shape, FeatureViewShape)),
            services=tuple(_service(piece.shape) for piece in of("services") if isinstance(piece.shape, FeatureServiceShape)),
            on_demand=tuple(self._on_demand(piece, piece.shape) for piece in of("on_demand") if isinstance(piece.shape, OnDemandViewShape)),
            context=tuple(Field(piece.name, piece.shape) for piece in of("context") if isinstance(piece.shape, DataType)),
            entities=entities,
        )

    def _on_demand(self, piece: Piece, shape: OnDemandViewShape) -> OnDemandView:
        return OnDemandView(
            name=shape.name,
            function=self._function(piece, shape.function),
            context_keys=tuple(shape.context),
            inputs=tuple((name, tuple(wanted)) for name, wanted in shape.inputs.items()),
            outputs=tuple(shape.outputs.items()),
            labels=Labels(shape.description, tuple(shape.tags.items())),
            time_limit_s=shape.time_limit,
        )

    def _function(self, piece: Piece, text: str) -> Function:
        try:
            return self.modules.function(text)
        except NoFunction as error:
            self.slips.append(piece.document.slip((*piece.path, "function"), str(error)))
            return _nothing


def _nothing(_context: Mapping[str, object], _inputs: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """Stands where a function could not be had, in a repository that is never served."""
    return {}


def _entity(shape: EntityShape) -> Entity:
    return Entity(shape.name, _fields(shape.join_keys), shape.description)


def _source(shape: SourceShape) -> Source:
    return Source(
        shape.name,
        _fields(shape.columns),
        shape.timestamp,
        tuple(shape.record_key),
        description=shape.description,
        files=tuple(shape.files),
    )


def _view(shape: FeatureViewShape, entities: Sequence[Entity]) -> FeatureView:
    theirs = dict.fromkeys(key.name for name in shape.entities for one in entities if one.name == name for key in one.join_keys)
    return FeatureView(
        name=shape.name,
        source=shape.source,
        join_keys=tuple(shape.join_keys or theirs),
        aggregations=tuple(_aggregation(one, window_s) for one in shape.aggregations for window_s in _windows(one)),
        interval_s=shape.interval,
        ttl_s=shape.ttl,
        description=shape.description,
        tags=shape.tags,
        attributes=tuple(Attribute(one.column, one.description, one.name) for one in shape.attributes),
        entities=tuple(shape.entities),
        serving_index=tuple(shape.serving_index),
    )


def _aggregation(shape: AggregationShape, window_s: int | None) -> Aggregation:
    return Aggregation(
        shape.column, shape.function, window_s, shape.n, shape.percentile, shape.precision, shape.description, alias=shape.name
    )


def _windows(shape: AggregationShape) -> list[int | None]:
    return shape.windows or [shape.window]


def _service(shape: FeatureServiceShape) -> FeatureService:
    return FeatureService(shape.name, tuple(_use(use) for use in shape.views), shape.description, shape.tags)


def _use(shape: ViewUseShape) -> str | ViewUse:
    if shape.model_fields_set == {"view"}:
        return shape.view
    return ViewUse(shape.view, None if shape.features is None else tuple(shape.features), shape.alias, shape.rename, shape.join_keys)


def _fields(types: Mapping[str, DataType]) -> tuple[Field, ...]:
    return tuple(Field(name, dtype) for name, dtype in types.items())


def _path(piece: Piece, where: Path) -> Path:
    """Of attributes within a definition, as fields of its piece."""
    if not where:
        return ()
    first, *rest = where
    if piece.section == "context":
        return ()
    if isinstance(piece.shape, FeatureViewShape):
        if first == "aggregations" and rest:
            return _aggregation_path(piece.shape, *rest)
        if first == "join_keys" and not piece.shape.join_keys:
            return ("entities",)
    inner = _INNER_FIELDS.get(str(first), {})
    return (_FIELDS.get(str(first), first), *rest[:1], *(inner.get(str(step), step) for step in rest[1:2]), *rest[2:])


def _aggregation_path(shape: FeatureViewShape, index: str | int, *rest: str | int) -> Path:
    places = [(at, window) for at, one in enumerate(shape.aggregations) for window in range(len(_windows(one)))]
    at, window = places[int(index)]
    if rest[:1] == ("window_s",):
        return ("aggregations", at, "windows", window) if shape.aggregations[at].windows else ("aggregations", at, "window")
    return ("aggregations", at, *("name" if step == "alias" else step for step in rest))
