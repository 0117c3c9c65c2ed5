"""Every example request of `/openapi.json`, asked of the demo as it stands there."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.definitions import SERVICE, WORKSPACE
from gateway.web.openapi import document
from gateway.web.openapi.wildcards import SERVICE as WILDCARD
from tests.harness.houses import OPERATOR, House, demo_settings, open_house


def examples(*, wildcards: bool = False) -> Iterator[tuple[str, str, str, Any]]:
    """Method, path, the example's name and its body; those of wildcard reads, of which the demo has none, apart from the others."""
    for path, item in document(version="0")["paths"].items():
        if path.endswith(("/query-features", "/features:query")) != wildcards:
            continue
        for method, operation in item.items():
            if isinstance(operation, dict) and "operationId" in operation:
                content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
                where = path.replace("{workspace}", WORKSPACE).replace("{feature_service}", WILDCARD if wildcards else SERVICE)
                for name, example in (content.get("examples") or {"none": {"value": None}}).items():
                    yield method.upper(), where, name, example["value"]


@pytest.fixture
def house(demo_copy: Path) -> Iterator[House]:
    with open_house(demo_settings(demo_copy), OPERATOR) as house:
        yield house


def test_every_example_is_answered(house: House) -> None:
    asked = list(examples())
    assert len(asked) > 15
    for method, path, name, body in asked:
        reply = house.client.request(method, path, content=None if body is None else json.dumps(body))
        assert reply.status_code == 200, (path, name, reply.text)


def test_the_examples_of_wildcard_reads_are_of_a_service_that_the_demo_does_not_have(house: House) -> None:
    asked = list(examples(wildcards=True))
    assert len(asked) == 2
    for method, path, name, body in asked:
        assert house.client.request(method, path, json=body).status_code == 404, (path, name)


def test_the_example_of_a_read_is_the_demos_own_answer(house: House) -> None:
    operation = document(version="0")["paths"]["/v1/workspaces/{workspace}/feature-services/{feature_service}/features"]["post"]
    bodies = operation["requestBody"]["content"]["application/json"]["examples"]
    told = operation["responses"]["200"]["content"]["application/json"]["examples"]
    path = f"/v1/workspaces/{WORKSPACE}/feature-services/{SERVICE}/features"
    answer = house.client.post(path, json=bodies["everything"]["value"]).json()
    [shown] = [example["value"] for name, example in told.items() if "status" in example["value"]]
    for name, value in shown["features"].items():
        assert answer["features"][name] == value
        assert answer["status"][name] == shown["status"][name]
