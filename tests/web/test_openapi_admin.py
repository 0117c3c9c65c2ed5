"""The administrative doors, in the gateway's own description: they are there where the doors are, and as the doors are."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_schema_validator import OAS31Validator, oas31_format_checker
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from starlette.routing import Route

from gateway.access.vault import MAX_VALUE_BYTES
from gateway.errors import InvalidRequest
from gateway.settings import Paths
from gateway.web.admin.authorization import PRINCIPALS, RESOURCES, ROLES
from gateway.web.openapi import document
from gateway.wire import accounts, authorization
from gateway.wire.secrets import secret_value
from tests.harness.houses import House
from tests.harness.offices import open_offices
from tests.web.test_openapi import refs

PLAIN = document(version="1", clustered=False)
PLACES = Paths()
DOCUMENT = document(version="1", administered=PLACES, clustered=False)
ADDED = {path: item for path, item in DOCUMENT["paths"].items() if path not in PLAIN["paths"]}
URI = "urn:gateway:openapi"
REGISTRY: Registry[Any] = Registry().with_resource(URI, DRAFT202012.create_resource(DOCUMENT))


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in ADDED.items():
        for verb, operation in item.items():
            if verb != "parameters":
                yield path, verb, operation


def errors(schema: dict[str, Any], value: Any) -> list[str]:
    located = {"$ref": URI + schema["$ref"]} if "$ref" in schema else schema
    return [one.message for one in OAS31Validator(located, registry=REGISTRY, format_checker=oas31_format_checker).iter_errors(value)]


def examples() -> Iterator[tuple[str, dict[str, Any], Any]]:
    for path, verb, operation in operations():
        exchanges = {"request": operation.get("requestBody", {}), **operation["responses"]}
        for name, exchange in exchanges.items():
            for media in exchange.get("content", {}).values():
                for which, example in media["examples"].items():
                    yield f"{verb} {path} {name} {which}", media["schema"], example["value"]


def test_a_document_with_the_administrative_doors_is_valid() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT
    assert {path: DOCUMENT["paths"][path] for path in PLAIN["paths"]} == PLAIN["paths"]
    assert set(PLAIN["components"]["schemas"]) < set(DOCUMENT["components"]["schemas"])


def test_every_operation_is_named_once_and_every_schema_is_used() -> None:
    ids = [operation["operationId"] for item in DOCUMENT["paths"].values() for verb, operation in item.items() if verb != "parameters"]
    assert len(set(ids)) == len(ids)
    kinds = ("schemas", "responses")
    assert set(refs(DOCUMENT)) == {f"#/components/{kind}/{name}" for kind in kinds for name in DOCUMENT["components"][kind]}


@pytest.mark.parametrize(("path", "verb", "operation"), list(operations()))
def test_every_operation_says_what_it_does_who_may_and_what_it_refuses(path: str, verb: str, operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}
    assert {name for choice in operation["security"] for name in choice} <= set(DOCUMENT["components"]["securitySchemes"])
    if not path.startswith("/oauth2") or not path.endswith("/keys"):
        assert {"400", "401", "500", "503"} <= set(operation["responses"])
        assert len({"200", "201", "204"} & set(operation["responses"])) == 1
        assert ("requestBody" in operation) == ("413" in operation["responses"]) == (verb in {"post", "put", "patch"})


@pytest.mark.parametrize(("schema", "value"), [pytest.param(schema, value, id=where) for where, schema, value in examples()])
def test_every_example_fits_its_schema(schema: dict[str, Any], value: Any) -> None:
    assert errors(schema, value) == []


@pytest.mark.parametrize("value", [{"name": ""}, {}, {"name": "x", "credentials_type": "PASSWORD"}])
def test_schemas_refuse_what_the_doors_refuse(value: dict[str, Any]) -> None:
    assert errors({"$ref": "#/components/schemas/CreateServiceAccountRequest"}, value)
    with pytest.raises(InvalidRequest):
        accounts.creation(json.dumps(value).encode())


@pytest.mark.parametrize(
    ("schema", "decode"),
    [
        ("CreateServiceAccountRequest", accounts.creation),
        ("GetServiceAccountsRequest", accounts.search),
        ("UpdateServiceAccountRequest", accounts.update),
        ("ServiceAccountId", accounts.account_id),
        ("ClientSecretRef", accounts.secret_ref),
    ],
)
def test_every_field_is_known_to_its_door(schema: str, decode: Callable[[bytes], object]) -> None:
    told = DOCUMENT["components"]["schemas"][schema]
    whole: dict[str, Any] = dict.fromkeys(told["properties"], "x")
    whole |= {name: one for name, one in {"is_active": True, "ids": ["x"], "credentials_type": accounts.OAUTH}.items() if name in whole}
    assert errors({"$ref": f"#/components/schemas/{schema}"}, whole) == []
    read = decode(json.dumps(whole).encode())
    required = {name: whole[name] for name in told.get("required", ())}
    for name in whole.keys() - required.keys():
        assert decode(json.dumps({**required, name: whole[name]}).encode()) != decode(json.dumps(required).encode()), name
    for name in required:
        with pytest.raises(InvalidRequest, match=name):
            decode(json.dumps({one: value for one, value in whole.items() if one != name}).encode())
    assert read == decode(json.dumps(whole | {"unknown": 1}).encode())


@pytest.fixture(scope="module")
def house(demo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_offices(demo_dir, tmp_path_factory.mktemp("access"), auth={"paths": {"service_accounts": "/api/v1/elsewhere"}}) as opened:
        yield opened[0]


def doors_of(house: House) -> dict[str, set[str]]:
    routes = [route for route in house.app.routes if isinstance(route, Route)]
    return {route.path: {method.lower() for method in route.methods or () if method != "HEAD"} for route in routes}


def test_every_door_is_described_and_no_other(house: House, demo: House) -> None:
    others = doors_of(demo)
    told = house.client.get("/openapi.json").json()
    described = {path: set(item) - {"parameters"} for path, item in told["paths"].items() if path not in PLAIN["paths"]}
    assert "/api/v1/elsewhere/create-service-account" in described
    assert described == {path: methods for path, methods in doors_of(house).items() if path not in others}


def test_where_there_is_no_store_there_are_no_such_doors(demo: House) -> None:
    told = demo.client.get("/openapi.json").json()
    assert set(told["paths"]) == set(PLAIN["paths"])
    for path in ADDED:
        with httpx.Client(base_url=demo.url) as client:
            assert client.post(path).status_code in {404, 501}


@pytest.mark.parametrize(
    ("schema", "decode"),
    [
        ("ListAssignedPrincipalsRequest", authorization.said_place),
        ("ListAssignedRolesRequest", authorization.said_principal),
        ("SecretValue", lambda body: secret_value(body, 100)),
    ],
)
def test_every_field_of_secrets_and_roles_is_known_to_its_door(schema: str, decode: Callable[[bytes], object]) -> None:
    told = DOCUMENT["components"]["schemas"][schema]
    lists = {"roles": ["read_scope_role"], "principal_types": ["PRINCIPAL_TYPE_USER"], "resource_ids": ["etl"]}
    texts = {"resource_type": "RESOURCE_TYPE_WORKSPACE", "principal_type": "PRINCIPAL_TYPE_USER"}
    whole: dict[str, Any] = dict.fromkeys(told["properties"], "x")
    whole |= {name: one for name, one in (lists | texts).items() if name in whole}
    assert errors({"$ref": f"#/components/schemas/{schema}"}, whole) == []
    for name in whole.keys() - set(told["required"]):
        assert decode(json.dumps(whole).encode()) != decode(json.dumps({**whole, name: None}).encode()), name
    for name in told["required"]:
        with pytest.raises(InvalidRequest, match=name):
            decode(json.dumps({**whole, name: None}).encode())


def test_the_words_of_the_document_are_those_of_the_doors() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    told = schemas["RoleAssignments"]["properties"]["assignments"]
    assert told["maxItems"] == authorization.MOST_ASSIGNMENTS
    words = {name: set(one["enum"]) for name, one in told["items"]["properties"].items() if "enum" in one}
    roles = {role for of_kind in ROLES.values() for role in of_kind}
    assert words == {"resource_type": set(RESOURCES), "principal_type": set(PRINCIPALS), "role": roles}
    assert schemas["SecretValue"]["properties"]["value"]["maxLength"] == MAX_VALUE_BYTES
