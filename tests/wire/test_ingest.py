import json
from typing import Any

import pytest

from gateway.errors import InvalidRequest, MalformedBody
from gateway.wire.ingest import Sent, named_workspace, read_fed_views, read_purpose, read_sent


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


@pytest.mark.parametrize(
    ("given", "dry"),
    [
        ({"dryRun": True}, True),
        ({"dry_run": True, "workspace_name": "live"}, True),
        *[({"dryRun": value}, False) for value in (False, None, 1, 1.0, "true", [True])],
        ({}, False),
        ([], False),
        ({"dryrun": True}, False),
        ({"records": {"dryRun": True}}, False),
    ],
)
def test_what_is_told_apart_from_a_dry_run_by_rights_is_the_literal_true(given: Any, *, dry: bool) -> None:
    assert read_purpose(json.dumps(given).encode()).dry is dry


@pytest.mark.parametrize("second", [False, None, True])
def test_a_dry_run_said_twice_is_refused(*, second: bool | None) -> None:
    with pytest.raises(InvalidRequest):
        read_purpose(json.dumps({"dryRun": True, "dry_run": second}).encode())


@pytest.mark.parametrize("body", [b"", b"{", b'{"workspaceName":"a","workspaceName":"b"}', b"\xff", b"[" * 1_000])
def test_a_body_that_is_not_strict_json_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        named_workspace(body)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"workspaceName": "live", "records": {"s": [{"record": {"a": 1}}, {"record": {}}]}}, Sent("live", [[{"a": 1}, {}]])),
        ({"workspace_name": "live", "records": {"s": [], "t": [{"record": {"a": None}}]}}, Sent("live", [[], [{"a": None}]])),
        ({"workspace_name": "live", "workspaceName": None, "dryRun": None, "records": {}}, Sent("live", [])),
        ({"workspace_name": "live", "dryRun": True, "records": {}}, Sent("live", [], dry=True)),
        ({"workspace_name": "live", "dry_run": True, "records": {}}, Sent("live", [], dry=True)),
        ({"workspace_name": "live", "dry_run": True, "dryRun": False, "records": {}}, Sent("live", [])),
        (
            {"workspace_name": "live", "more": [{}], "records": {"s": [{"record": {"a": [1]}, "more": 1}]}},
            Sent("live", [[{"a": [1]}]]),
        ),
        ({"workspace_name": "live"}, Sent("live", None)),
        ({"workspace_name": "live", "records": {"s": [{"a": 1}]}}, Sent("live", None)),
        ({"workspace_name": "live", "records": {"s": {"record": {"a": 1}}}}, Sent("live", None)),
        ({"workspace_name": "live", "records": [{"record": {"a": 1}}]}, Sent("live", None)),
    ],
)
def test_what_was_sent(given: Any, sent: Sent) -> None:
    assert read_sent(json.dumps(given).encode()) == sent


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"[]",
        b"{}",
        b'{"workspace_name":null}',
        b'{"workspace_name":5}',
        b'{"workspace_name":"a","workspaceName":"a"}',
        b'{"workspace_name":"a","dry_run":"true"}',
        b"\xff",
    ],
)
def test_a_body_of_which_it_cannot_be_told_where_it_went(given: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_sent(given)


def reply(*views: Any, **more: Any) -> bytes:
    metrics = [{"featureViewName": view, "onlineRecordIngestCount": "1"} for view in views]
    return json.dumps({"workspaceName": "live", "ingestMetrics": {"featureViewIngestMetrics": metrics, **more}, "more": 1}).encode()


def test_the_views_that_took_it_in_are_told_once_each() -> None:
    assert read_fed_views(reply("a", "b", "a", dataSourceIngestMetrics=[])) == ["a", "b"]
    assert read_fed_views(reply()) == []


@pytest.mark.parametrize("body", [b"", b"{}", b'{"ingestMetrics":{}}', b'{"ingestMetrics":null}', reply(5), reply(None), b"\xff"])
def test_a_reply_that_does_not_tell(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_fed_views(body)


@pytest.mark.parametrize(
    ("records", "count"),
    [
        ({"flights": [{"record": {}}] * 3, "trains": [{}]}, 4),
        ({"flights": []}, 0),
        ({"flights": {"record": {}}, "trains": [1, None]}, 2),
        ({}, 0),
        ([], 0),
        (None, 0),
        ("records", 0),
    ],
)
def test_records_are_counted_where_they_stand(records: Any, count: int) -> None:
    assert read_purpose(json.dumps({"workspace_name": "live", "records": records}).encode()).records == count
