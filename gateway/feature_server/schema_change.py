"""A feature view that gains, loses or retypes a feature: its descriptions, layouts and values changed alike.

Pure: knows nothing of clocks, of origins or of who asks.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, TypeVar

import msgspec

from gateway.feature_server.timestamps import NS_PER_S, parse_timestamp
from gateway.features import DataType, Feature, Kind, Status, ViewLayout, ViewValues
from gateway.origins.base import Description
from gateway.settings.faults import FaultSchemaChange
from gateway.wire.values import compile_writer

T = TypeVar("T")
_SAMPLES: Mapping[Kind, object] = MappingProxyType(
    {Kind.INT64: 7, Kind.FLOAT64: 7.5, Kind.STRING: "seven", Kind.BOOLEAN: True, Kind.TIMESTAMP: "2007-07-07T07:07:07Z"}
)
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_Value = tuple[bytes, bytes, Status, str | None]
"""One feature's value in both spellings, its status, its effective time."""


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """`feature`: the one that is gained, lost or retyped, with its new type (a lost one's is not looked at)."""

    kind: Literal["gain", "lose", "retype"]
    feature: Feature

    def description(self, before: Description) -> Description:
        """The feature service after the change; the same where it does not read the view."""
        views = {name: replace(facts, features=self._features(facts.features)) for name, facts in before.views.items()}
        return replace(before, features=self._features(before.features), views=views)

    def values(self, before: ViewValues) -> ViewValues:
        """The view's values after the change: a gained feature has a sample value, and so has a retyped one that is not null."""
        features = before.layout.features
        if before.layout.view != self.feature.view:
            return before
        told: list[_Value] = list(
            zip(
                map(bytes, _decode_list(b"[%b]" % before.positional)),
                map(bytes, _decode_members(b"{%b}" % before.named).values()),
                before.statuses,
                before.effective_times,
                strict=True,
            )
        )
        after = self._edited(features, told, self._new_value(features, told))
        layout = ViewLayout(before.layout.view, self._features(features))
        return ViewValues(
            layout,
            b",".join([positional for positional, _, _, _ in after]),
            b",".join([msgspec.json.encode(name) + b":" + one[1] for name, one in zip(layout.names, after, strict=True)]),
            tuple([status for _, _, status, _ in after]),
            tuple([effective_time for _, _, _, effective_time in after]),
            before.complete,
        )

    def _new_value(self, features: Sequence[Feature], told: Sequence[_Value]) -> _Value:
        sample = compile_writer(self.feature.dtype)(_SAMPLES[self.feature.dtype.kind])
        if self.kind != "retype":
            return (*sample, Status.PRESENT, told[0][3])
        positional, named, status, effective_time = told[self._place(features)]
        return (positional, named, status, effective_time) if named == b"null" else (*sample, status, effective_time)

    def _features(self, before: tuple[Feature, ...]) -> tuple[Feature, ...]:
        return self._edited(before, before, self.feature)

    def _edited(self, features: Sequence[Feature], items: Sequence[T], new: T) -> tuple[T, ...]:
        """`items`, one for each of `features`, after the change. Features of other views stay as they are."""
        if all(feature.view != self.feature.view for feature in features):
            return tuple(items)
        place = self._place(features)
        instead = () if self.kind == "lose" else (new,)
        return (*items[:place], *instead, *items[place + (self.kind != "gain") :])

    def _place(self, features: Sequence[Feature]) -> int:
        """Where the change is: at the feature, or for a gain at the view's first one."""
        if self.kind == "gain":
            return next(index for index, feature in enumerate(features) if feature.view == self.feature.view)
        return [feature.name for feature in features].index(self.feature.name)


def planned_change(section: FaultSchemaChange) -> SchemaChange | None:
    """The change that the settings plan, if they plan one."""
    if section.kind is None:
        return None
    return SchemaChange(section.kind, Feature(f"{section.view}.{section.feature}", DataType(Kind(section.data_type or Kind.STRING))))


def instant_s(section: FaultSchemaChange, started_s: float) -> float:
    """When the change comes, in seconds since 1970; never, where none is planned. Raises ValueError for an instant that is none."""
    if section.after_s is not None:
        return started_s + section.after_s
    return math.inf if section.at is None else parse_timestamp(section.at) / NS_PER_S
