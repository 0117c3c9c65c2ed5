"""Names in the fault lab's settings that the feature repository does not have are told before anything is opened."""

from typing import Any

import pytest

from gateway.feature_server.definitions import object_id
from gateway.feature_server.fault_names import check_names
from gateway.settings import SettingsError
from gateway.settings.faults import Faults
from tests.feature_server.purchases import REPOSITORY

GAIN = {"kind": "gain", "view": "by_user", "feature": "aaa", "data_type": "int64", "after_s": 5}
LOSE = {"kind": "lose", "view": "by_user", "feature": "items_sum_10m_1m", "after_s": 5}


@pytest.mark.parametrize(
    "tree",
    [
        {"workspaces": ["shop"], "services": ["shop/checkout", "shop/visits:v1"], "views": ["by_user", "user_visits"]},
        {"services": [f"shop/{object_id('service', 'shop', 'checkout')}"]},
        {"schema_change": GAIN},
        {"schema_change": LOSE},
        {"schema_change": {**LOSE, "kind": "retype", "data_type": "string", "after_s": None, "at": "2013-01-14T23:00:00Z"}},
    ],
)
def test_names_that_exist_pass(tree: dict[str, Any]) -> None:
    check_names(Faults.model_validate(tree), REPOSITORY)


@pytest.mark.parametrize(
    ("tree", "lines"),
    [
        ({"workspaces": ["shop", "store"]}, ["workspaces: the feature repository has no store"]),
        ({"services": ["checkout"]}, ["services: the feature repository has no checkout"]),
        (
            {"views": ["by_nobody", "overspend"]},
            ["views: the feature repository has no by_nobody", "views: the feature repository has no overspend"],
        ),
        ({"schema_change": {**GAIN, "view": "nothing"}}, ["schema_change.view: the feature repository has no nothing"]),
        (
            {"schema_change": {**GAIN, "feature": LOSE["feature"]}},
            ["schema_change.feature: by_user has items_sum_10m_1m already"],
        ),
        ({"schema_change": {**LOSE, "feature": "nothing"}}, ["schema_change.feature: by_user has no nothing"]),
        (
            {"schema_change": {**LOSE, "view": "shop_visits", "feature": "seconds_sum_10m_1m"}},
            ["schema_change.feature: shop_visits has only this one to lose"],
        ),
        (
            {"schema_change": {**LOSE, "feature": "amount_mean_10m_1m"}},
            ["schema_change.feature: an on-demand view reads by_user.amount_mean_10m_1m"],
        ),
        (
            {"schema_change": {**GAIN, "after_s": None, "at": "tomorrow"}},
            ["schema_change.at: not an RFC 3339 instant, e.g. 2013-01-14T23:00:00Z"],
        ),
    ],
)
def test_names_and_instants_that_do_not_exist_are_told(tree: dict[str, Any], lines: list[str]) -> None:
    with pytest.raises(SettingsError) as refused:
        check_names(Faults.model_validate(tree), REPOSITORY)
    assert str(refused.value).splitlines() == [f"feature_server.faults.{line}" for line in lines]
