"""What is promised: the settings' word for all, and for one."""

import pytest

from gateway.measures.ledgers import Slo
from gateway.measures.objectives import Objectives
from gateway.settings import SettingsError, checked


def test_defaults() -> None:
    objectives = Objectives(checked({}))
    assert objectives.shares("prod", "fraud") == {Slo.AVAILABILITY: 0.9995, Slo.LATENCY: 0.99, Slo.STALE: 0.99}
    assert objectives.latency_s("prod", "fraud") == 0.1
    assert objectives.bound_s("user") is None
    assert objectives.freshness("user") == 0.99


def test_a_feature_service_and_a_view_may_have_promises_of_their_own() -> None:
    objectives = Objectives(
        checked(
            {
                "slo": {"availability": 0.9, "latency": 0.8, "latency_ms": 50, "stale": 0.7, "freshness": 0.6},
                "services": {
                    "prod/fraud": {"slo_availability": 0.99, "slo_latency_ms": 20},
                    "prod/churn": {"slo_latency": 0.5, "slo_stale": 0.4},
                },
                "views": {"user": {"fresh_within_s": 300}, "item": {"fresh_within_s": 60, "slo_freshness": 0.95}},
            }
        )
    )
    assert objectives.shares("prod", "fraud") == {Slo.AVAILABILITY: 0.99, Slo.LATENCY: 0.8, Slo.STALE: 0.7}
    assert objectives.shares("prod", "churn") == {Slo.AVAILABILITY: 0.9, Slo.LATENCY: 0.5, Slo.STALE: 0.4}
    assert objectives.shares("lab", "fraud") == {Slo.AVAILABILITY: 0.9, Slo.LATENCY: 0.8, Slo.STALE: 0.7}
    assert [objectives.latency_s("prod", name) for name in ("fraud", "churn")] == [0.02, 0.05]
    assert [objectives.bound_s(name) for name in ("user", "item", "shop")] == [300, 60, None]
    assert [objectives.freshness(name) for name in ("user", "item")] == [0.6, 0.95]


@pytest.mark.parametrize("share", [0, 1, 1.5, -0.1])
def test_a_promise_allows_something_and_not_everything(share: float) -> None:
    with pytest.raises(SettingsError, match=r"slo\.availability"):
        checked({"slo": {"availability": share}})
    with pytest.raises(SettingsError, match=r"slo_stale"):
        checked({"services": {"prod/fraud": {"slo_stale": share}}})
