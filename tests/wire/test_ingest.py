import json
from typing import Any

import pytest

from gateway.wire.ingest import named_workspace


@pytest.mark.parametrize("name", ["workspaceName", "workspace_name"])
def test_the_workspace_is_named_in_either_spelling(name: str) -> None:
    assert named_workspace(json.dumps({name: "live", "records": {}}).encode()) == "live"


@pytest.mark.parametrize(
    "given", [{}, [], None, 5, {"workspaceName": None}, {"workspaceName": 5}, {"workspaceName": ["live"]}, {"workspacename": "live"}]
)
def test_a_body_that_names_no_workspace_names_none(given: Any) -> None:
    assert named_workspace(json.dumps(given).encode()) is None


def test_two_workspaces_are_none() -> None:
    assert named_workspace(b'{"workspaceName":"a","workspace_name":"b"}') is None


@pytest.mark.parametrize("body", [b"", b"{", b'{"workspaceName":"a","workspaceName":"b"}', b"\xff", b"[" * 1_000])
def test_a_body_that_is_not_strict_json_names_none(body: bytes) -> None:
    assert named_workspace(body) is None
