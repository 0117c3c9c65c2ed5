"""What is forwarded, in the gateway's own description."""

import json

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.origins.targets import GROUPS, OAUTH
from gateway.web.openapi import document

PLAIN = document(version="1")
FORWARDED = document(version="1", forwarded=GROUPS)
ADDED = {path: item for path, item in FORWARDED["paths"].items() if path not in PLAIN["paths"]}


def test_a_document_with_all_that_is_forwarded_is_valid() -> None:
    OpenAPIV31SpecValidator(FORWARDED).validate()
    assert json.loads(json.dumps(FORWARDED)) == FORWARDED
    assert {path: FORWARDED["paths"][path] for path in PLAIN["paths"]} == PLAIN["paths"]


def test_every_path_of_every_group_is_told_with_its_methods() -> None:
    told = {path: {verb for verb in item if verb != "parameters"} for path, item in ADDED.items()}
    assert told == {path: {method.lower() for method in methods} for group in GROUPS for path, methods in group.paths.items()}
    ids = [operation["operationId"] for item in FORWARDED["paths"].values() for verb, operation in item.items() if verb != "parameters"]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("group", GROUPS, ids=[group.name for group in GROUPS])
def test_a_group_names_its_setting_its_credential_and_its_errors(group: object) -> None:
    assert group in GROUPS
    [told] = [one for one in GROUPS if one is group]
    for path in told.paths:
        for verb, operation in ADDED[path].items():
            if verb == "parameters":
                continue
            assert f"forward.{told.name}" in operation["description"]
            assert ("TectonKey" in str(operation["security"])) is (told is not OAUTH)
            assert {"200", "400", "401", "403", "404", "502", "503", "504"} <= set(operation["responses"])
            assert ("413" in operation["responses"]) == ("requestBody" in operation) == (verb in {"post", "put", "patch"})


def test_what_is_off_is_not_told() -> None:
    assert "ClientCredentials" not in document(version="1", forwarded=GROUPS[:1])["components"]["securitySchemes"]
    assert document(version="1", forwarded=[]) == PLAIN
