"""The document is valid OpenAPI, its examples are valid against its schemas, and the doors' own decoders take them."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator, oas31_format_checker
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from gateway.errors import InvalidRequest
from gateway.features import Purge, ServiceRef
from gateway.web.openapi import document
from gateway.web.openapi.examples import SERVED, SERVICE, WORKSPACE, positional
from gateway.wire.purges import service_purge, whole_purge, workspace_purge
from gateway.wire.requests import ReadRequest, TectonReads, named_batch, named_query, named_single
from gateway.wire.values import compile_reader, compile_writer

DOCUMENT = document(version="1.2.3")
URI = "urn:gateway:openapi"
REGISTRY: Registry[Any] = Registry().with_resource(URI, DRAFT202012.create_resource(DOCUMENT))
V2 = "/api/v2/workspaces/{workspace}/feature-services/{feature_service}"
NAMED = "/v1/workspaces/{workspace}/feature-services/{feature_service}"
DOORS = {
    "/api/v1/feature-service/get-features": {"post"},
    "/api/v1/feature-service/get-features-batch": {"post"},
    "/api/v1/feature-service/query-features": {"post"},
    "/api/v1/feature-service/metadata": {"post"},
    f"{V2}/get-features": {"post"},
    f"{V2}/get-features-batch": {"post"},
    f"{V2}/metadata": {"get"},
    f"{NAMED}/features": {"post", "delete"},
    f"{NAMED}/features:batch": {"post"},
    f"{NAMED}/features:query": {"post"},
    f"{NAMED}/features:explain": {"post"},
    f"{NAMED}/schema": {"get"},
    f"{NAMED}/features:purge": {"post"},
    "/v1/workspaces/{workspace}/features:purge": {"post"},
    "/v1/features:purge": {"post"},
    "/ingest": {"post"},
    "/v2/ingest": {"post"},
    "/livez": {"get"},
    "/readyz": {"get"},
    "/metrics": {"get"},
    "/v1/slo": {"get"},
    "/openapi.json": {"get"},
    "/docs": {"get"},
    "/console": {"get"},
}
OPERATIONS = {"/livez", "/readyz", "/metrics", "/v1/slo", "/openapi.json", "/docs", "/console"}

UNASKED = {"/v1/workspaces/{workspace}/features:purge", "/v1/features:purge"}
"""The doors behind which the feature store is not asked."""


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for verb, operation in item.items():
            if verb != "parameters":
                yield path, verb, operation


def resolve(node: dict[str, Any]) -> dict[str, Any]:
    found: Any = node
    if "$ref" in node:
        found = DOCUMENT
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step]
    return dict(found)


def validator(schema: dict[str, Any]) -> OAS31Validator:
    """Of a schema as it stands in the document: its references are to the document."""
    located = {"$ref": URI + schema["$ref"]} if "$ref" in schema else schema
    return OAS31Validator(located, registry=REGISTRY, format_checker=oas31_format_checker)


def errors(schema: dict[str, Any], value: Any) -> list[str]:
    return [error.message for error in validator(schema).iter_errors(value)]


def component(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def exchanges() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every request and response content of the document."""
    for path, verb, operation in operations():
        if "requestBody" in operation:
            yield f"{verb} {path} request", operation["requestBody"]
        for status, response in operation["responses"].items():
            yield f"{verb} {path} {status}", resolve(response)


def examples() -> Iterator[tuple[str, dict[str, Any], Any]]:
    for where, exchange in exchanges():
        for media in exchange.get("content", {}).values():
            for name, example in media.get("examples", {}).items():
                yield f"{where} {name}", media["schema"], example["value"]


def bodies(path: str) -> list[bytes]:
    content = DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    return [json.dumps(example["value"]).encode() for example in content["examples"].values()]


def refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for inner in node:
            yield from refs(inner)


def test_the_document_is_valid_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()

    assert DOCUMENT["openapi"] == "3.1.0"
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT


def test_version_and_server_are_the_callers() -> None:
    told = document(server_url="https://features.example", version="9.9.9")

    assert told["info"]["version"] == "9.9.9"
    assert told["servers"] == [{"url": "https://features.example"}]
    assert DOCUMENT["servers"] == [{"url": "/"}]


def test_documents_share_nothing() -> None:
    def spoil(node: Any) -> None:
        for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            spoil(inner)
        if isinstance(node, dict | list):
            node.clear()

    spoil(document(version="1.2.3"))

    assert document(version="1.2.3") == DOCUMENT


def test_every_door_of_this_gateway_is_described_and_no_other() -> None:
    described: dict[str, set[str]] = {}
    for path, verb, _ in operations():
        described.setdefault(path, set()).add(verb)

    assert described == DOORS


def test_without_a_cluster_the_clusters_own_metrics_are_the_gateways() -> None:
    alone = document(version="1.2.3", clustered=False)["paths"]
    assert alone.keys() - DOCUMENT["paths"].keys() == {"/api/v1/observability/metrics"}
    told = alone["/api/v1/observability/metrics"]["get"]
    assert told["responses"] == DOCUMENT["paths"]["/metrics"]["get"]["responses"]


@pytest.mark.parametrize(("path", "verb", "operation"), list(operations()))
def test_every_operation_says_what_it_does_and_who_may(path: str, verb: str, operation: dict[str, Any]) -> None:
    schemes = set(DOCUMENT["components"]["securitySchemes"])
    asked = [name for choice in operation["security"] for name in choice]

    assert operation["summary"]
    assert operation["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}
    assert "200" in operation["responses"]
    assert set(asked) <= schemes
    assert bool(asked) == (path not in OPERATIONS - {"/metrics", "/v1/slo", "/console"})
    assert ("requestBody" in operation) == (verb == "post")


@pytest.mark.parametrize(("path", "verb", "operation"), list(operations()))
def test_every_door_lists_its_errors(path: str, verb: str, operation: dict[str, Any]) -> None:
    if path in OPERATIONS:
        return
    if path in UNASKED:
        assert set(operation["responses"]) - {"200"} == {"400", "401", "403", "413", "500"}
        return
    expected = {"400", "401", "403", "404", "429", "500", "502", "503", "504"} | ({"413"} if verb == "post" else set())

    assert set(operation["responses"]) - {"200"} == expected


def test_operation_ids_are_unique() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]

    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("path", ["/ingest", *UNASKED])
def test_ingest_and_wide_purges_take_api_keys_only(path: str) -> None:
    assert DOCUMENT["paths"][path]["post"]["security"] == [{"TectonKey": []}]


def test_every_component_is_used() -> None:
    kinds = ("schemas", "responses")
    defined = {f"#/components/{kind}/{name}" for kind in kinds for name in DOCUMENT["components"][kind]}

    assert set(refs(DOCUMENT)) == defined


@pytest.mark.parametrize(("schema", "value"), [pytest.param(schema, value, id=where) for where, schema, value in examples()])
def test_every_example_fits_its_schema(schema: dict[str, Any], value: Any) -> None:
    assert errors(schema, value) == []


def test_every_json_request_and_answer_of_a_door_has_an_example() -> None:
    with_example = {where.rpartition(" ")[0] for where, _, _ in examples()}
    doors = {(path, verb) for path, verb, _ in operations() if path not in OPERATIONS}
    expected = {f"{verb} {path} 200" for path, verb in doors} | {f"post {path} request" for path, verb in doors if verb == "post"}

    assert expected <= with_example


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Error", {"error": "no", "message": "no"}),
        ("Error", {"error": "no", "message": "no", "code": "5"}),
        ("GetFeaturesRequest", {}),
        ("GetFeaturesRequest", {"params": {"joinKeyMap": {"origin": True}}}),
        ("GetFeaturesRequest", {"params": {"metadataOptions": {"includeNames": "yes"}}}),
        ("GetFeaturesRequest", {"params": {"requestOptions": {"latencyBudgetMs": "soon"}}}),
        ("GetFeaturesBatchRequest", {"params": {"requestData": [{}] * 11}}),
        ("QueryFeaturesResponse", {"results": [{"features": []}]}),
        ("QueryFeaturesResponse", {"results": [], "metadata": {"features": [{"status": ["PRESENT"]}]}}),
        ("QueryResponse", {"results": [{"features": {}}]}),
        ("QueryResponse", {"results": [{"joinKeys": {}}]}),
        ("ReadRequest", {"include": ["everything"]}),
        ("ReadRequest", {"deadlineMs": 0}),
        ("BatchRequest", {"rows": []}),
        ("BatchRequest", {"rows": [{}] * 1001}),
        ("RowResponse", {"error": {"message": "no"}}),
        ("GetFeaturesResponse", {"result": {"features": []}, "metadata": {"features": [{"status": "ERROR"}]}}),
        ("GetFeaturesResponse", {"result": {"features": []}, "metadata": {"sloInfo": {"sloIneligibilityReasons": ["TIRED"]}}}),
        ("ServicePurgeRequest", {"views": []}),
        ("ServicePurgeRequest", {"joinKeys": {}}),
        ("ServicePurgeRequest", {"joinKeys": {"origin": ["JFK"]}}),
        ("ServicePurgeRequest", {"soft": "yes"}),
        ("WholePurgeRequest", {}),
        ("WholePurgeRequest", {"everything": False}),
        ("DataType", {"type": "array"}),
        ("DataType", {"type": "decimal"}),
        ("IngestRequest", {"records": {"departures": [{"record": {}}] * 11}}),
    ],
)
def test_schemas_refuse_what_the_contract_refuses(name: str, value: Any) -> None:
    assert errors(component(name), value) != []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GetFeaturesRequest", {"params": {"joinKeyMap": {"id": 5417, "other": "5417", "none": None}, "requestContextMap": None}}),
        ("GetFeaturesRequest", {"params": {"requestOptions": {"latencyBudgetMs": "200", "cacheTtl": "Infinity"}}}),
        ("DataType", {"type": "array", "elementType": {"type": "map", "keyType": {"type": "string"}, "valueType": {"type": "int64"}}}),
        ("DataType", {"type": "struct", "fields": [{"name": "a", "dataType": {"type": "array", "elementType": {"type": "string"}}}]}),
    ],
)
def test_schemas_take_what_the_contract_takes(name: str, value: Any) -> None:
    assert errors(component(name), value) == []


REF = ServiceRef(WORKSPACE, SERVICE)


@pytest.mark.parametrize("body", bodies("/api/v1/feature-service/get-features"))
def test_the_door_takes_the_read_examples(body: bytes) -> None:
    assert TectonReads().single(body).service == REF


@pytest.mark.parametrize("body", bodies(f"{V2}/get-features"))
def test_the_door_takes_the_v2_read_examples(body: bytes) -> None:
    assert TectonReads().single(body, REF).rows[0].join_keys["origin"] == "JFK"


def test_the_doors_take_the_batch_examples() -> None:
    (v1,), (v2,) = bodies("/api/v1/feature-service/get-features-batch"), bodies(f"{V2}/get-features-batch")

    assert TectonReads().batch(v1) == TectonReads().batch(v2, REF)
    assert len(TectonReads().batch(v1).rows) == 2


def test_the_door_takes_the_metadata_example() -> None:
    (body,) = bodies("/api/v1/feature-service/metadata")

    assert TectonReads().locator(body) == REF


def test_the_named_doors_take_their_examples() -> None:
    everything, selection = (named_single(body, REF) for body in bodies(f"{NAMED}/features"))
    (batch,) = (named_batch(body, REF) for body in bodies(f"{NAMED}/features:batch"))

    assert (everything.deadline_ms, everything.selectors) == (200, None)
    assert selection.selectors == ("route_history.*", "airport_departures.flight_count_1h_10m")
    assert len(batch.rows) == 3


def test_the_query_doors_take_their_examples() -> None:
    (told,), (by_name,) = bodies("/api/v1/feature-service/query-features"), bodies(f"{NAMED}/features:query")

    assert TectonReads().single(told).rows == named_query(by_name, REF).rows


@pytest.mark.parametrize(
    ("path", "decode"),
    [
        (f"{NAMED}/features:purge", service_purge),
        ("/v1/workspaces/{workspace}/features:purge", workspace_purge),
        ("/v1/features:purge", whole_purge),
    ],
)
def test_the_purge_doors_take_their_examples(path: str, decode: Callable[[bytes], Purge]) -> None:
    read = [decode(body) for body in bodies(path)]

    assert len({repr(one) + repr(one.join_keys) for one in read}) == len(read)


@pytest.mark.parametrize(
    ("schema", "decode"),
    [("ServicePurgeRequest", service_purge), ("WorkspacePurgeRequest", workspace_purge), ("WholePurgeRequest", whole_purge)],
)
def test_every_field_of_a_purge_is_known_to_its_door_and_no_other(schema: str, decode: Callable[[bytes], Purge]) -> None:
    told = set(DOCUMENT["components"]["schemas"][schema]["properties"])

    with pytest.raises(InvalidRequest) as refused:
        decode(b'{"nothing":1}')
    assert set(refused.value.message.partition("[")[2].rstrip("]").split()) == told


@pytest.mark.parametrize("field", list(DOCUMENT["components"]["schemas"]["QueryRequest"]["properties"]))
def test_every_field_of_a_named_query_is_known_to_the_door(field: str) -> None:
    value: Any = {
        "features": ["a.*"],
        "include": ["status"],
        "deadlineMs": 5,
        "allowPartialResults": True,
    }.get(field, {"origin": "JFK"})

    assert errors(component("QueryRequest"), {field: value}) == []
    assert named_query(json.dumps({field: value}).encode(), REF) != named_query(b"{}", REF)


def read_with(options: str, name: str, value: Any) -> ReadRequest:
    params = {"workspaceName": WORKSPACE, "featureServiceName": SERVICE, options: {name: value}}
    return TectonReads().single(json.dumps({"params": params}).encode())


@pytest.mark.parametrize("flag", list(DOCUMENT["components"]["schemas"]["MetadataOptions"]["properties"]))
def test_every_metadata_option_is_known_to_the_door(flag: str) -> None:
    assert read_with("metadataOptions", flag, value=True) != read_with("metadataOptions", flag, value=False)


OPTION_VALUES = {
    "readFromCache": False,
    "writeToCache": False,
    "ignoreExtraRequestContextFields": True,
    "latencyBudgetMs": "200",
    "coerceNullCountsToZero": True,
    "aggregationLeadingEdge": "AGGREGATION_MODE_LATEST_EVENT_TIME",
    "highWatermarkOverride": "2013-06-14T12:00:00Z",
}


@pytest.mark.parametrize("option", list(DOCUMENT["components"]["schemas"]["RequestOptions"]["properties"]))
def test_every_request_option_is_known_to_the_door(option: str) -> None:
    value = OPTION_VALUES[option]

    assert errors(component("RequestOptions"), {option: value}) == []
    assert read_with("requestOptions", option, value).options != read_with("requestOptions", option, None).options


@pytest.mark.parametrize("served", SERVED, ids=lambda served: served.feature.name)
def test_example_values_are_spelled_as_both_doors_spell_them(served: Any) -> None:
    dtype = served.feature.dtype
    for value in (served.value, served.other_value):
        on_tecton, by_name = compile_writer(dtype)(value)
        assert json.loads(on_tecton) == positional(value, dtype)
        assert json.loads(by_name) == value
        assert compile_reader(dtype)(on_tecton) == (on_tecton, by_name)
