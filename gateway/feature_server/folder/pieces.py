"""The definitions of all documents, one by one: read what is well-shaped, and set aside what is not with all that leans on it.

So that mistakes of sense can be told beside mistakes of form, and none is told that only follows from another.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gateway.feature_server.folder.documents import Document, Path, Slip
from gateway.feature_server.folder.shapes import (
    DocumentShape,
    EntityShape,
    FeatureServiceShape,
    FeatureViewShape,
    OnDemandViewShape,
    Shape,
    SourceShape,
    read_shape,
)
from gateway.features import DataType

SECTIONS: dict[str, type[Shape]] = {
    "entities": EntityShape,
    "sources": SourceShape,
    "feature_views": FeatureViewShape,
    "on_demand_views": OnDemandViewShape,
    "feature_services": FeatureServiceShape,
}
S = TypeVar("S", bound=Shape)
Need = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Piece:
    """One definition where it is written. `shape` is what was read of it: a type for a request-context key, None for what is ill-shaped."""

    document: Document
    workspace: str
    section: str
    path: Path
    name: str
    shape: Shape | DataType | None

    @property
    def provides(self) -> Need:
        return _kind(self.section), self.name

    def needs(self) -> Iterator[Need]:
        """What it names of its workspace."""
        match self.shape:
            case FeatureViewShape():
                yield "sources", self.shape.source
                yield from (("entities", name) for name in self.shape.entities)
            case OnDemandViewShape():
                yield from (("context", name) for name in self.shape.context)
                yield from (("views", name) for name in self.shape.inputs)
            case FeatureServiceShape():
                yield from (("views", use.view) for use in self.shape.views)


def read_pieces(documents: Sequence[Document], slips: list[Slip]) -> list[Piece]:
    """The definitions that make sense on their own, with everything that they need of what was written."""
    pieces: list[Piece] = []
    nameless = False
    for document in documents:
        found = list(_pieces(document, slips))
        nameless = nameless or any(piece.shape is None and not piece.name for piece in found)
        pieces += found
    return [] if nameless else _sound(pieces)


def _pieces(document: Document, slips: list[Slip]) -> Iterator[Piece]:
    data = document.data if isinstance(document.data, dict) else {}
    items = {section: value for section, value in data.items() if section in SECTIONS and isinstance(value, list)}
    around = {name: [] if name in items else value for name, value in data.items()}
    frame = _shape(DocumentShape, document, (), around or document.data, slips)
    if frame is None:
        yield Piece(document, "", "", (), "", None)
        return
    for name, dtype in frame.context.items():
        yield Piece(document, frame.workspace, "context", ("context", name), name, dtype)
    for section, shape in SECTIONS.items():
        for at, item in enumerate(items.get(section, ())):
            named = item.get("name") if isinstance(item, dict) else None
            read = _shape(shape, document, (section, at), item, slips)
            yield Piece(document, frame.workspace, section, (section, at), named if isinstance(named, str) else "", read)


def _shape(shape: type[S], document: Document, path: Path, data: object, slips: list[Slip]) -> S | None:
    read = read_shape(shape, data)
    if isinstance(read, list):
        slips.extend(document.slip((*path, *inner), text) for inner, text in read)
        return None
    return read


def _sound(pieces: list[Piece]) -> list[Piece]:
    while True:
        lacking = {(piece.workspace, *piece.provides) for piece in pieces if piece.shape is None}
        leaning = [piece.shape is not None and any((piece.workspace, *need) in lacking for need in piece.needs()) for piece in pieces]
        if not any(leaning):
            return [piece for piece in pieces if piece.shape is not None]
        pieces = [
            Piece(one.document, one.workspace, one.section, one.path, one.name, None) if leans else one
            for one, leans in zip(pieces, leaning, strict=True)
        ]


def _kind(section: str) -> str:
    """On-demand views share their names with feature views."""
    return "views" if section in {"feature_views", "on_demand_views"} else section
