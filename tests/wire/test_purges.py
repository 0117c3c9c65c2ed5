"""What a purge asks for, however it is spelt; a refusal names the field and never what stood there."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidRequest
from gateway.features import Purge
from gateway.wire.purges import service_drop, service_purge, whole_purge, workspace_purge

TOKEN = "t0ken-7731"
Decode = Callable[[bytes], Purge]
DOORS: dict[str, Decode] = {"service": service_purge, "workspace": workspace_purge, "whole": whole_purge}
KEYS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(["views", "joinKeys", "join_keys", "soft", "everything", "other"])


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def refusal(decode: Decode, body: Any) -> str:
    with pytest.raises(InvalidRequest) as refused:
        decode(body if isinstance(body, bytes) else encoded(body))
    return refused.value.message


@given(
    st.none() | st.lists(st.text(), min_size=1, max_size=4),
    st.none() | st.dictionaries(st.text(), KEYS, min_size=1, max_size=4),
    st.none() | st.booleans(),
    st.sampled_from(["joinKeys", "join_keys"]),
)
def test_what_is_said_is_what_is_read_and_null_is_unset(
    views: list[str] | None,
    join_keys: dict[str, Any] | None,
    soft: bool | None,  # noqa: FBT001 - drawn
    spelling: str,
) -> None:
    body = {"views": views, spelling: join_keys, "soft": soft}
    purge = service_purge(encoded(body))
    assert purge == Purge(None, None if views is None else frozenset(views), join_keys or {}, bool(soft))
    if views or join_keys:
        assert workspace_purge(encoded(body | {"everything": None})) == purge
    else:
        refusal(workspace_purge, body)


@pytest.mark.parametrize("door", DOORS)
@given(body=JSON | st.dictionaries(FIELDS, JSON, max_size=3), soft=st.none() | st.booleans())
def test_any_json_is_a_purge_or_a_refusal(door: str, body: Any, soft: bool | None) -> None:  # noqa: FBT001 - drawn
    if isinstance(body, dict) and soft is not None:
        body = body | {"soft": soft}
    try:
        purge = DOORS[door](encoded(body))
    except InvalidRequest:
        return
    assert isinstance(body, dict)
    assert purge.soft == bool(body.get("soft"))
    assert purge.workspace is None
    assert purge.views is None or purge.views == frozenset(body["views"])
    assert {type(value) for value in purge.join_keys.values()} <= {str, int, float, bool, type(None)}
    said_all = body.get("everything") is True
    assert door == "service" or (said_all and purge == Purge(soft=purge.soft)) or (door == "workspace" and (purge.views or purge.join_keys))


@pytest.mark.parametrize("body", [b"", b"{}", b'{"views":null,"joinKeys":null,"soft":null}'])
def test_a_service_is_purged_whole_unless_something_is_said(body: bytes) -> None:
    assert service_purge(body) == Purge()


@pytest.mark.parametrize("decode", [workspace_purge, whole_purge])
@pytest.mark.parametrize("body", [b"", b"{}", b'{"everything":false}', b'{"soft":true}'])
def test_more_than_a_service_is_never_purged_for_want_of_words(decode: Decode, body: bytes) -> None:
    assert '"everything": true' in refusal(decode, body)


@pytest.mark.parametrize("decode", [workspace_purge, whole_purge])
def test_everything_is_everything(decode: Decode) -> None:
    assert decode(b'{"everything":true}') == Purge()
    assert decode(b'{"everything":true,"soft":true}') == Purge(soft=True)


@pytest.mark.parametrize(
    ("decode", "body", "field"),
    [
        (service_purge, {"views": []}, "views"),
        (service_purge, {"views": TOKEN}, "views"),
        (service_purge, {"views": [TOKEN, 1]}, "views"),
        (service_purge, {"joinKeys": {}}, "joinKeys"),
        (service_purge, {"joinKeys": [TOKEN]}, "joinKeys"),
        (service_purge, {"joinKeys": {"user": [TOKEN]}}, "user"),
        (service_purge, {"join_keys": {"user": {"a": TOKEN}}}, "user"),
        (service_purge, {"soft": TOKEN}, "soft"),
        (service_purge, {"soft": 1}, "soft"),
        (service_purge, {"joinKeys": {"user": TOKEN}, "join_keys": {"user": TOKEN}}, "join_keys twice"),
        (service_purge, {"everything": True}, "[views joinKeys soft]"),
        (workspace_purge, {"everything": TOKEN}, "everything"),
        (workspace_purge, {"everything": True, "views": [TOKEN]}, "everything"),
        (workspace_purge, {"everything": True, "joinKeys": {"user": TOKEN}}, "everything"),
        (workspace_purge, {"workspace": TOKEN}, "[views joinKeys everything soft]"),
        (whole_purge, {"everything": True, "views": [TOKEN]}, "[everything soft]"),
        (whole_purge, {"everything": TOKEN}, "everything"),
        (service_purge, [TOKEN], "The body"),
        (service_purge, b"{", "The body"),
        (service_purge, b'{"joinKeys":{"user":"t0ken-7731","user":"t0ken-7731"}}', "The body"),
        (service_purge, b'{"joinKeys":{"user":NaN}}', "The body"),
        (service_drop, b"{}", "DELETE takes no body"),
    ],
)
def test_a_refusal_names_the_field_and_not_its_value(decode: Decode, body: Any, field: str) -> None:
    message = refusal(decode, body)
    assert field in message
    assert TOKEN not in message


def test_a_drop_is_of_all_that_a_service_has() -> None:
    assert service_drop(b"") == Purge()
