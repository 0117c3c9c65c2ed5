"""The fault lab's settings: off unless something is set, and refused where they cannot be meant."""

from typing import Any

import pytest

from gateway.settings import SettingsError, checked
from gateway.settings.faults import Faults

CHANGE = {"kind": "gain", "view": "plane_history", "feature": "aaa", "data_type": "int64", "after_s": 5}


def faults(**tree: Any) -> Faults:
    return checked({"feature_server": {"faults": tree}}).feature_server.faults


@pytest.mark.parametrize(
    ("tree", "active"),
    [
        ({}, ()),
        ({"seed": 7, "calls": ["fetch"], "workspaces": ["prod"], "services": ["prod/flight_delay"], "views": ["plane_history"]}, ()),
        ({"latency": {"shape": "uniform"}, "errors": {"retry_after_s": 9, "failed_share": 0}}, ()),
        ({"latency": {"p50_ms": 1}}, ("latency",)),
        ({"latency": {"spike_share": 0.1, "spike_ms": 5}}, ("latency",)),
        ({"errors": {"malformed_share": 0.1}, "not_ready": True}, ("errors", "not_ready")),
        ({"answers": {"missing_share": 0.1}, "schema_change": CHANGE}, ("answers", "schema_change")),
    ],
)
def test_a_lab_is_on_where_something_can_be_hit(tree: dict[str, Any], active: tuple[str, ...]) -> None:
    assert faults(**tree).active == active


def test_shares_may_add_up_to_one_as_they_are_written_down() -> None:
    errors = {"failed_share": 0.7, "unavailable_share": 0.2, "timeout_share": 0.1}
    assert faults(errors=errors, answers={"timed_out_share": 0.9, "missing_share": 0.1, "partial_share": 1}).active == ("errors", "answers")


@pytest.mark.parametrize(
    ("tree", "named"),
    [
        ({"errors": {"failed_share": 1.01}}, ["errors.failed_share"]),
        ({"errors": {"failed_share": -0.01}}, ["errors.failed_share"]),
        ({"errors": {"throttled_share": float("nan")}}, ["errors.throttled_share"]),
        ({"errors": {"failed_share": 0.6, "throttled_share": 0.5}}, ["errors"]),
        ({"errors": {"retry_after_s": -1}}, ["errors.retry_after_s"]),
        ({"answers": {"timed_out_share": 0.6, "missing_share": 0.5}}, ["answers"]),
        ({"answers": {"partial_share": 2}}, ["answers.partial_share"]),
        ({"latency": {"p50_ms": 10, "p99_ms": 9}}, ["latency.p99_ms"]),
        ({"latency": {"p99_ms": 9}}, ["latency.p99_ms"]),
        ({"latency": {"p50_ms": -1}}, ["latency.p50_ms"]),
        ({"latency": {"shape": "pareto"}}, ["latency.shape"]),
        ({"latency": {"spike_share": 0.5}}, ["latency.spike_share and latency.spike_ms"]),
        ({"latency": {"spike_ms": 50}}, ["latency.spike_share and latency.spike_ms"]),
        ({"schema_change": {"kind": "gain"}}, ["schema_change", "schema_change", "schema_change.data_type"]),
        ({"schema_change": {"view": "plane_history"}}, ["schema_change.kind"]),
        ({"schema_change": {**CHANGE, "at": "2013-01-14T23:00:00Z"}}, ["schema_change"]),
        ({"schema_change": {**CHANGE, "kind": "lose"}}, ["schema_change.data_type"]),
        ({"schema_change": {**CHANGE, "data_type": "decimal"}}, ["schema_change.data_type"]),
        ({"calls": ["query-everything"]}, ["calls.0"]),
        ({"latencies": {}}, ["latencies"]),
        ({"errors": {"failed_share": 0.9, "throttled_share": 0.9}, "latency": {"p50_ms": 2, "p99_ms": 1}}, ["latency.p99_ms", "errors"]),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(tree: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(SettingsError) as refused:
        faults(**tree)
    prefix = "feature_server.faults."
    assert [line.removeprefix(prefix).partition(": ")[0] for line in str(refused.value).splitlines()] == named


def test_a_cluster_has_no_fault_lab() -> None:
    tree = {"origin": {"kind": "tecton", "url": "https://acme.tecton.ai"}, "feature_server": {"faults": {"not_ready": True}}}
    with pytest.raises(SettingsError, match=r"^feature_server\.faults: only the embedded feature server has a fault lab"):
        checked(tree)
