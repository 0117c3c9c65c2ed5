import json
from typing import Any

import pytest

from gateway.errors import InvalidRequest, MalformedBody
from gateway.wire.ingest import named_workspace


@pytest.mark.parametrize("name", ["workspaceName", "workspace_name"])
def test_the_workspace_is_named_in_either_spelling(name: str) -> None:
    assert named_workspace(json.dumps({name: "live", "records": {}}).encode()) == "live"


@pytest.mark.parametrize("given", [{}, [], None, 5, {"workspaceName": None}, {"workspacename": "live"}])
def test_a_body_that_names_no_workspace_names_none(given: Any) -> None:
    assert named_workspace(json.dumps(given).encode()) is None


@pytest.mark.parametrize("given", [{"workspaceName": 5}, {"workspaceName": ["live"]}, {"workspaceName": "a", "workspace_name": "b"}])
def test_a_workspace_that_another_reader_could_take_for_another_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        named_workspace(json.dumps(given).encode())


@pytest.mark.parametrize("body", [b"", b"{", b'{"workspaceName":"a","workspaceName":"b"}', b"\xff", b"[" * 1_000])
def test_a_body_that_is_not_strict_json_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        named_workspace(body)
