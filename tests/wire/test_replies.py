"""Every reply against a model that builds plain dictionaries, slowly, from the same vectors."""

import json
from collections.abc import Sequence
from functools import cache
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.fragments import Fragment
from gateway.errors import InvalidRequest, NotFound, OriginTimeout
from gateway.features import FLOAT64, INT64, STRING, Feature, Labels, SloInfo, Source, Status, ViewLayout, ViewValues, struct_of
from gateway.wire.replies import (
    Vector,
    VectorText,
    batch_slo,
    cut,
    error_body,
    named_batch,
    named_single,
    slo_text,
    tecton_batch,
    tecton_single,
)
from gateway.wire.requests import Show
from gateway.wire.types import encode_type
from gateway.wire.values import compile_writer
from tests.wire.strategies import named_model, positional_model

USER = ViewLayout("user", (Feature("user.count", INT64), Feature("user.city", STRING), Feature("user.mean", FLOAT64)))
SHOP = ViewLayout("shop", (Feature("shop.place", struct_of(x=FLOAT64, y=INT64)),))
RISK = ViewLayout("risk", (Feature("risk.score", FLOAT64), Feature('risk."é"', INT64)))
LABELS = {
    "user.count": Labels("How many", (("team", "growth"), ("pii", "no"))),
    "shop.place": Labels(None, (("team", "shops"),)),
    "risk.score": Labels('A "score"'),
}
NOW_S = 5_000.0
EARLY, LATE = "2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z"
SLO = SloInfo(
    eligible=False,
    server_time_s=0.5,
    slo_server_time_s=0.25,
    store_max_latency_s=0.125,
    store_response_size_bytes=2048,
    dynamodb_response_size_bytes=1024,
    ineligibility_reasons=("UNKNOWN",),
)
SLO_JSON = {
    "sloEligible": False,
    "serverTimeSeconds": 0.5,
    "sloServerTimeSeconds": 0.25,
    "storeMaxLatency": 0.125,
    "storeResponseSizeBytes": 2048,
    "dynamodbResponseSizeBytes": 1024,
    "sloIneligibilityReasons": ["UNKNOWN"],
}
TECTON_FLAGS = [flag for flag in Show if flag <= Show.TAGS]
NAMED_FLAGS = [Show.STATUSES, Show.EFFECTIVE_TIMES, Show.AGES, Show.SOURCES, Show.DATA_TYPES]


class Told:
    """One view in one reply, as plain Python beside the encoded form."""

    def __init__(
        self,
        layout: ViewLayout,
        values: Sequence[Any],
        statuses: Sequence[Status],
        times: Sequence[str | None],
        source: Source,
        age_s: float = 0.0,
    ) -> None:
        self.layout, self.values, self.statuses, self.times, self.source, self.age_s = layout, values, statuses, times, source, age_s

    def encoded(self) -> Fragment:
        pairs = [compile_writer(feature.dtype)(value) for feature, value in zip(self.layout.features, self.values, strict=True)]
        named = [
            json.dumps(name, ensure_ascii=False).encode() + b":" + pair[1] for name, pair in zip(self.layout.names, pairs, strict=True)
        ]
        values = ViewValues(self.layout, b",".join(pair[0] for pair in pairs), b",".join(named), tuple(self.statuses), tuple(self.times))
        return Fragment.of(values, NOW_S - self.age_s)

    def told_status(self, index: int) -> str:
        plain = self.statuses[index].value
        cached = self.source is Source.CACHE and plain in {"PRESENT", "MISSING_DATA", "UNKNOWN_STATUS"}
        return f"CACHED_{plain.removesuffix('_STATUS')}" if cached else plain

    def told_time(self, index: int) -> str | None:
        return None if self.source is Source.CACHE else self.times[index]


P, M, U, T = Status.PRESENT, Status.MISSING_DATA, Status.UNKNOWN, Status.TIME_OUT
FRESH = [
    Told(RISK, [0.5, 7], [P, P], [None, None], Source.COMPUTED),
    Told(SHOP, [{"x": 1.5, "y": 2}], [P], [EARLY], Source.ORIGIN),
    Told(USER, [42, None, float("nan")], [P, M, U], [LATE, EARLY, None], Source.ORIGIN),
]
HALF_CACHED = [
    Told(RISK, [None, None], [T, T], [None, None], Source.TIMEOUT),
    Told(SHOP, [None], [M], [EARLY], Source.CACHE, 12.3456),
    Told(USER, [-1, "é", float("inf")], [P, U, Status.CACHED_PRESENT], [LATE, EARLY, None], Source.CACHE, 0.0004),
]
ROWS = {"fresh": FRESH, "half cached": HALF_CACHED}


@cache
def text_of(layouts: tuple[ViewLayout, ...]) -> VectorText:
    """One for each shape of vector, as a plan has it, so that what it remembers is put to the test too."""
    return VectorText([feature for layout in layouts for feature in layout.features], LABELS)


def vector(row: Sequence[Told]) -> Vector:
    return Vector.of(text_of(tuple(told.layout for told in row)), [told.encoded() for told in row], [told.source for told in row], NOW_S)


def shown(flags: Sequence[Show]) -> int:
    return sum(flag.value for flag in flags)


def subsets(flags: Sequence[Show]) -> list[list[Show]]:
    return [[flag for bit, flag in enumerate(flags) if number >> bit & 1] for number in range(1 << len(flags))]


def positional(row: Sequence[Told]) -> list[Any]:
    return [positional_model(one.dtype, value) for told in row for one, value in zip(told.layout.features, told.values, strict=True)]


def item_model(rows: Sequence[Sequence[Told]], view: int, index: int, flags: Sequence[Show], *, batch: bool) -> dict[str, Any]:
    feature = rows[0][view].layout.features[index]
    labels = LABELS.get(feature.name, Labels())
    statuses = [row[view].told_status(index) for row in rows]
    moments = [moment for row in rows if (moment := row[view].told_time(index)) is not None]
    item = {
        Show.NAMES: ("name", feature.name),
        Show.DATA_TYPES: ("dataType", encode_type(feature.dtype)),
        Show.EFFECTIVE_TIMES: ("effectiveTime", max(moments, default=None)),
        Show.STATUSES: ("status", statuses if batch else statuses[0]),
        Show.DESCRIPTIONS: ("description", labels.description),
        Show.TAGS: ("tags", dict(labels.tags)),
    }
    return {name: value for flag in flags if flag in item for name, value in [item[flag]] if value is not None}


def items_model(rows: Sequence[Sequence[Told]], flags: Sequence[Show], *, batch: bool) -> dict[str, Any]:
    if not set(flags) - {Show.SLO_INFO}:
        return {}
    items = [item_model(rows, view, index, flags, batch=batch) for view, told in enumerate(rows[0]) for index in range(len(told.layout))]
    return {"features": items}


def single_model(row: Sequence[Told], flags: Sequence[Show]) -> dict[str, Any]:
    metadata = items_model([row], flags, batch=False)
    if Show.SLO_INFO in flags:
        metadata["sloInfo"] = SLO_JSON
    return {"result": {"features": positional(row)}, **({"metadata": metadata} if metadata else {})}


def named_reply_model(row: Sequence[Told], flags: Sequence[Show]) -> dict[str, Any]:
    def by_name(value: Any) -> dict[str, Any]:
        return {name: value(told, index) for told in row for index, name in enumerate(told.layout.names)}

    maps = {
        Show.STATUSES: ("status", lambda told, index: told.statuses[index].removeprefix("CACHED_")),
        Show.EFFECTIVE_TIMES: ("effectiveTime", lambda told, index: told.times[index]),
        Show.AGES: ("ageSeconds", lambda told, _: round(told.age_s, 3) if told.source in (Source.CACHE, Source.ORIGIN) else 0.0),
        Show.SOURCES: ("source", lambda told, _: told.source.value),
        Show.DATA_TYPES: ("dataType", lambda told, index: encode_type(told.layout.features[index].dtype)),
    }
    features = by_name(lambda told, index: named_model(told.layout.features[index].dtype, told.values[index]))
    return {"features": features, **{maps[flag][0]: by_name(maps[flag][1]) for flag in flags}}


def parsed(reply: bytes) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({name for name, _ in pairs}) == len(pairs)
        return dict(pairs)

    return json.loads(reply, object_pairs_hook=unique)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("flags", subsets(TECTON_FLAGS), ids=lambda flags: str(shown(flags)))
def test_a_tecton_reply_shows_what_was_asked_for(row: str, flags: list[Show]) -> None:
    model = single_model(ROWS[row], flags)
    for _ in range(2):  # the second time from what was remembered
        assert parsed(tecton_single(vector(ROWS[row]), shown(flags), slo_text(SLO))) == model


@pytest.mark.parametrize("flags", subsets(TECTON_FLAGS), ids=lambda flags: str(shown(flags)))
def test_a_tecton_batch_says_per_row_only_what_differs(flags: list[Show]) -> None:
    rows = [FRESH, HALF_CACHED, FRESH]
    metadata = items_model(rows, flags, batch=True)
    if Show.SLO_INFO in flags:
        metadata |= {
            "sloInfo": [SLO_JSON, {"sloEligible": True}, SLO_JSON],
            "batchSloInfo": {"sloEligible": True, "serverTimeSeconds": 1.5},
        }
    reply = tecton_batch([vector(row) for row in rows], shown(flags), [SLO, SloInfo(), SLO], SloInfo(server_time_s=1.5))
    assert parsed(reply) == {"result": [{"features": positional(row)} for row in rows], "metadata": metadata}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("flags", subsets(NAMED_FLAGS), ids=lambda flags: str(shown(flags)))
def test_a_named_reply_has_one_map_for_each_thing_asked_for(row: str, flags: list[Show]) -> None:
    for _ in range(2):
        assert parsed(named_single(vector(ROWS[row]), shown(flags))) == named_reply_model(ROWS[row], flags)


@given(st.data())
def test_any_pattern_of_statuses_and_times_is_told(data: st.DataObject) -> None:
    statuses = data.draw(st.lists(st.sampled_from(list(Status)), min_size=3, max_size=3))
    times = data.draw(st.lists(st.none() | st.sampled_from([EARLY, LATE]), min_size=3, max_size=3))
    source = data.draw(st.sampled_from([Source.ORIGIN, Source.CACHE]))
    row = [Told(USER, [1, "a", 0.5], statuses, times, source, data.draw(st.floats(0, 1e6)))]
    flags, named_flags = data.draw(st.sets(st.sampled_from(TECTON_FLAGS))), data.draw(st.sets(st.sampled_from(NAMED_FLAGS)))
    ordered, named_ordered = [flag for flag in TECTON_FLAGS if flag in flags], [flag for flag in NAMED_FLAGS if flag in named_flags]
    model = named_reply_model(row, named_ordered)
    model.setdefault("status", {})
    if Show.STATUSES in named_flags:
        unknown = {name: "UNKNOWN_STATUS" if status == "UNKNOWN" else status for name, status in model["status"].items()}
        model["status"] = unknown
    else:
        del model["status"]
    assert parsed(tecton_single(vector(row), shown(ordered), slo_text(SLO))) == single_model(row, ordered)
    told = parsed(named_single(vector(row), shown(named_ordered)))
    ages, model_ages = told.pop("ageSeconds", {}), model.pop("ageSeconds", {})
    assert told == model
    assert ages == pytest.approx(model_ages, abs=0.0011)


def test_a_reply_without_flags_is_the_bare_result() -> None:
    assert tecton_single(vector(FRESH), 0, slo_text(SLO)) == b'{"result":{"features":[0.5,"7",[1.5,"2"],"42",null,"NaN"]}}'


def test_a_batch_without_flags_still_has_metadata() -> None:
    assert tecton_batch([vector(FRESH[:1])], 0, [SLO], SLO) == b'{"result":[{"features":[0.5,"7"]}],"metadata":{}}'


def test_partial_results_are_told_with_and_without_flags() -> None:
    assert parsed(tecton_single(vector(FRESH), 0, slo_text(SLO), partial=True))["metadata"] == {"partialResults": True}
    assert parsed(tecton_single(vector(FRESH), Show.SLO_INFO, slo_text(SLO), partial=True))["metadata"] == {
        "sloInfo": SLO_JSON,
        "partialResults": True,
    }


def test_only_what_is_known_of_the_service_is_told() -> None:
    reply = parsed(tecton_single(vector([]), Show.SLO_INFO, slo_text(SloInfo(server_time_s=0.0, store_response_size_bytes=0))))
    assert reply["metadata"]["sloInfo"] == {"sloEligible": True, "serverTimeSeconds": 0.0, "storeResponseSizeBytes": 0}


@pytest.mark.parametrize(
    ("status", "cached"),
    [
        (Status.PRESENT, "CACHED_PRESENT"),
        (Status.MISSING_DATA, "CACHED_MISSING_DATA"),
        (Status.UNKNOWN, "CACHED_UNKNOWN"),
        (Status.CACHED_PRESENT, "CACHED_PRESENT"),
        (Status.CACHED_MISSING_DATA, "CACHED_MISSING_DATA"),
        (Status.CACHED_UNKNOWN, "CACHED_UNKNOWN"),
        (Status.TIME_OUT, "TIME_OUT"),
    ],
)
def test_a_cached_view_says_so_and_has_no_effective_times(status: Status, cached: str) -> None:
    told = vector([Told(SHOP, [None], [status], [EARLY], Source.CACHE)])
    assert told.told_times() == [None]
    item = parsed(tecton_single(told, Show.STATUSES | Show.EFFECTIVE_TIMES, slo_text(SLO)))["metadata"]["features"]
    assert item == [{"status": cached}]


def test_a_view_fresh_from_the_origin_is_told_as_it_is() -> None:
    told = vector([Told(SHOP, [None], [Status.PRESENT], [EARLY], Source.ORIGIN, 7.0)])
    assert (told.told, told.told_times(), told.ages_s()) == ("P", [EARLY], [7.0])


def test_ages_are_those_of_views_that_the_origin_was_asked_for() -> None:
    assert vector(HALF_CACHED).ages_s() == pytest.approx([0.0, 12.3456, 0.0004])


def test_the_first_cached_pattern_is_not_remembered_for_fresh_values() -> None:
    for source, status in [(Source.CACHE, "CACHED_PRESENT"), (Source.ORIGIN, "PRESENT"), (Source.CACHE, "CACHED_PRESENT")]:
        reply = parsed(tecton_single(vector([Told(SHOP, [None], [Status.PRESENT], [None], source)]), Show.STATUSES, slo_text(SLO)))
        assert reply["metadata"]["features"] == [{"status": status}]


def test_more_patterns_than_are_remembered_are_still_told() -> None:
    layout = ViewLayout("wide", tuple(Feature(f"wide.f{index}", INT64) for index in range(8)))
    for statuses in product([P, M, U], repeat=8):
        row = Told(layout, [None] * 8, statuses, [None] * 8, Source.ORIGIN)
        told = parsed(named_single(vector([row]), Show.STATUSES))["status"]
        assert list(told.values()) == [status.value for status in statuses]


def test_a_view_without_labels_tells_empty_tags_and_no_description() -> None:
    told = Vector.of(VectorText(SHOP.features), [FRESH[1].encoded()], [Source.ORIGIN], NOW_S)
    assert parsed(tecton_single(told, Show.LABELS, slo_text(SLO)))["metadata"]["features"] == [{"tags": {}}]


@pytest.mark.parametrize(
    ("moments", "newest"),
    [
        ([EARLY, LATE], LATE),
        ([LATE, None], LATE),
        ([None, None], None),
        (["2024-01-01T00:00:00Z", "2024-01-01T00:00:00.5Z"], "2024-01-01T00:00:00.5Z"),
        (["2024-01-01T00:00:00.5Z", "2024-01-01T00:00:00.25Z"], "2024-01-01T00:00:00.5Z"),
        (["2024-01-01T00:00:00.123Z", "2024-01-01T00:00:00.123456Z"], "2024-01-01T00:00:00.123456Z"),
    ],
)
def test_a_batch_tells_the_newest_effective_time(moments: list[str | None], newest: str | None) -> None:
    rows = [vector([Told(SHOP, [None], [Status.PRESENT], [moment], Source.ORIGIN)]) for moment in moments]
    (item,) = parsed(tecton_batch(rows, Show.EFFECTIVE_TIMES, [SLO] * 2, SLO))["metadata"]["features"]
    assert item.get("effectiveTime") == newest


@pytest.mark.parametrize(
    ("slos", "total"),
    [
        ([SloInfo()], SloInfo(server_time_s=2.0)),
        (
            [
                SloInfo(slo_server_time_s=0.5, store_max_latency_s=0.1),
                SloInfo(slo_server_time_s=0.25, store_max_latency_s=0.2, server_time_s=9.0, store_response_size_bytes=5),
            ],
            SloInfo(server_time_s=2.0, slo_server_time_s=0.5, store_max_latency_s=0.2),
        ),
        (
            [
                SloInfo(eligible=False, ineligibility_reasons=("UNKNOWN", "REDIS_LATENCY_LIMIT_EXCEEDED")),
                SloInfo(slo_server_time_s=0.0),
                SloInfo(eligible=False, ineligibility_reasons=("UNKNOWN",)),
            ],
            SloInfo(
                eligible=False,
                server_time_s=2.0,
                slo_server_time_s=0.0,
                ineligibility_reasons=("UNKNOWN", "REDIS_LATENCY_LIMIT_EXCEEDED"),
            ),
        ),
    ],
)
def test_a_batchs_service_is_its_worst_rows(slos: list[SloInfo], total: SloInfo) -> None:
    assert batch_slo(slos, 2.0) == total


def test_a_named_batch_gives_each_row_its_features_or_its_error() -> None:
    reply = named_batch([vector(FRESH), InvalidRequest('no "key"'), vector(HALF_CACHED), OriginTimeout("late"), NotFound("gone")], 0)
    assert parsed(reply) == {
        "rows": [
            named_reply_model(FRESH, []),
            {"error": {"message": 'no "key"', "code": 3}},
            named_reply_model(HALF_CACHED, []),
            {"error": {"message": "late", "code": 4}},
            {"error": {"message": "gone", "code": 5}},
        ]
    }


def test_an_empty_vector_is_still_json() -> None:
    assert parsed(tecton_single(vector([]), 0, slo_text(SLO))) == {"result": {"features": []}}
    assert parsed(tecton_single(vector([]), Show.NAMES, slo_text(SLO))) == {"result": {"features": []}, "metadata": {"features": []}}
    assert parsed(named_single(vector([]), Show.STATUSES)) == {"features": {}, "status": {}}
    assert parsed(named_batch([], 0)) == {"rows": []}


def test_an_error_body_is_what_official_clients_read() -> None:
    assert parsed(error_body('say "no"', 3)) == {"error": 'say "no"', "message": 'say "no"', "code": 3}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("positions", [(0,), (1,), (2,), (0, 2), (1, 2), (0, 1, 2), ()])
def test_a_cut_keeps_the_chosen_features_and_what_belongs_to_them(row: str, positions: tuple[int, ...]) -> None:
    whole = ROWS[row][2]
    layout = ViewLayout("user", tuple(USER.features[index] for index in positions))
    chosen = Told(
        layout,
        [whole.values[index] for index in positions],
        [whole.statuses[index] for index in positions],
        [whole.times[index] for index in positions],
        whole.source,
        whole.age_s,
    )
    values = cut(whole.encoded(), positions)
    assert values.positional == chosen.encoded().positional
    assert values.pattern == "".join(whole.encoded().pattern[index] for index in positions)
    reply = named_single(Vector.of(VectorText(layout.features), [values], [whole.source], NOW_S), shown(NAMED_FLAGS))
    assert parsed(reply) == named_reply_model([chosen], NAMED_FLAGS)


def test_a_cut_finds_features_whatever_their_names() -> None:
    values = cut(FRESH[0].encoded(), (1,))
    assert parsed(b"{%b}" % values.named) == {'risk."é"': 7}
