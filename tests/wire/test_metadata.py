import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.features import BOOLEAN, FLOAT64, INT64, STRING, Feature, Field, ServiceRef, array_of
from gateway.wire.metadata import named_schema, read_inputs, tecton_metadata
from gateway.wire.upstream import read_metadata
from tests.wire.strategies import DATA_TYPES

KEYS = (Field("user", STRING), Field("shop", INT64))
CONTEXT = (Field("amounts", array_of(INT64)),)
FEATURES = (Feature("a.x", INT64), Feature("b.y", BOOLEAN), Feature("a.z", STRING))


def test_metadata_is_told_as_the_contract_tells_it() -> None:
    assert json.loads(tecton_metadata("DEFAULT", KEYS, CONTEXT, FEATURES)) == {
        "featureServiceType": "DEFAULT",
        "inputJoinKeys": [{"name": "user", "dataType": {"type": "string"}}, {"name": "shop", "dataType": {"type": "int64"}}],
        "inputRequestContextKeys": [{"name": "amounts", "dataType": {"type": "array", "elementType": {"type": "int64"}}}],
        "featureValues": [
            {"name": "a.x", "dataType": {"type": "int64"}},
            {"name": "b.y", "dataType": {"type": "boolean"}},
            {"name": "a.z", "dataType": {"type": "string"}},
        ],
    }


def test_output_keys_are_told_of_wildcard_services_alone() -> None:
    told = json.loads(tecton_metadata("WILDCARD", KEYS, (), FEATURES, (Field("item", STRING),)))
    assert told["outputJoinKeys"] == [{"name": "item", "dataType": {"type": "string"}}]
    assert "outputJoinKeys" not in json.loads(tecton_metadata("DEFAULT", KEYS, (), FEATURES))


@given(
    st.lists(st.builds(Field, st.text(max_size=5), DATA_TYPES), max_size=3, unique_by=lambda field: field.name).map(tuple),
    st.lists(st.builds(Feature, st.text(max_size=5), DATA_TYPES), max_size=4, unique_by=lambda feature: feature.name).map(tuple),
)
def test_what_is_told_downstream_reads_as_what_came_from_upstream(fields: tuple[Field, ...], features: tuple[Feature, ...]) -> None:
    assert read_metadata(tecton_metadata("DEFAULT", fields, fields, features, fields)) == ("DEFAULT", fields, fields, features, fields)


def test_the_named_schema_tells_each_view_once_and_what_is_known_of_it() -> None:
    told = json.loads(named_schema(ServiceRef("live", "fraud"), KEYS, CONTEXT, FEATURES, lambda view: {"ttlSeconds": len(view)}))
    assert told["workspace"] == "live"
    assert told["featureService"] == "fraud"
    assert [one["name"] for one in told["joinKeys"]] == ["user", "shop"]
    assert [one["name"] for one in told["requestContext"]] == ["amounts"]
    assert told["features"] == [
        {"name": "a.x", "dataType": {"type": "int64"}, "view": "a"},
        {"name": "b.y", "dataType": {"type": "boolean"}, "view": "b"},
        {"name": "a.z", "dataType": {"type": "string"}, "view": "a"},
    ]
    assert told["views"] == [{"name": "a", "ttlSeconds": 1}, {"name": "b", "ttlSeconds": 1}]


def test_a_schema_can_be_read_for_what_a_read_takes() -> None:
    join_keys, context = (Field("user", INT64), Field("tags", array_of(STRING))), (Field("amount", FLOAT64),)
    spelled = named_schema(ServiceRef("w", "s"), join_keys, context, (), lambda _: {})
    assert read_inputs(spelled) == ({"user": INT64, "tags": array_of(STRING)}, {"amount": FLOAT64})


@pytest.mark.parametrize("body", [b"", b"{}", b'{"joinKeys":[{"name":"a","dataType":{"type":"strange"}}],"requestContext":[]}'])
def test_what_is_no_schema_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        read_inputs(body)
