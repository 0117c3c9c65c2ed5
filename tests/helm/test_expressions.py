"""Every expression of rules and dashboard is PromQL over metrics and labels that there are."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.helm import CHART
from tests.helm.expressions import OURS, SCRAPED, labels_named, selectors, series
from tests.helm.test_rules import ALERTS, GROUPS

DASHBOARD = json.loads((CHART / "files" / "dashboard.json").read_text())
RULES = [rule for group in GROUPS for rule in group["rules"]]
TOLD = series()


def recorded() -> dict[str, frozenset[str]]:
    """What recording rules make, and the labels that it may have: those of what it is made of."""
    made: dict[str, frozenset[str]] = {}
    for rule in RULES:
        if "record" in rule:
            known = [TOLD.get(name, made.get(name, frozenset())) for name, _ in selectors(rule["expr"])]
            made[rule["record"]] = frozenset[str]().union(*known)
    return made


KNOWN = TOLD | recorded() | OURS


def panels() -> Iterator[dict[str, Any]]:
    return (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def expressions(*, panels_alone: bool = False) -> Iterator[tuple[str, str]]:
    for rule in () if panels_alone else RULES:
        yield rule.get("alert") or rule["record"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", target["expr"].replace("$__rate_interval", "5m")


@pytest.mark.parametrize(("name", "text"), [pytest.param(name, text, id=name) for name, text in expressions()])
def test_it_speaks_of_metrics_and_labels_that_there_are(name: str, text: str) -> None:
    spoken = list(selectors(text))
    assert spoken, name
    labels = set[str]()
    for metric, matchers in spoken:
        assert metric in KNOWN, metric
        assert set(matchers) - {"__name__"} <= KNOWN[metric] | SCRAPED, metric
        labels |= KNOWN[metric]
    assert labels_named(text) <= labels | SCRAPED


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_tells_labels_that_its_series_have(alert: str) -> None:
    rule = ALERTS[alert]
    told = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
    had = set().union(*[KNOWN[metric] for metric, _ in selectors(rule["expr"])]) | SCRAPED
    assert told <= had
    summed = re.findall(r"without \(([^)]*)\)", rule["expr"])
    if summed and not re.search(r"\bon\b|slo_burn|freshness_burn|features_missing", rule["expr"]):
        assert not told & set.intersection(*[set(re.split(r",\s*", one)) for one in summed])


def test_every_panel_says_what_it_shows() -> None:
    titles = [panel["title"] for panel in panels()]
    assert len(titles) == len(set(titles))
    for panel in panels():
        assert panel["description"].endswith(".")
        assert panel["datasource"]["uid"] == "${datasource}"


def test_panels_do_not_lie_on_one_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken
        taken |= cells


def test_whoever_is_woken_sees_on_the_dashboard_what_woke_them() -> None:
    shown = {metric for _, text in expressions(panels_alone=True) for metric, _ in selectors(text)}
    assert {"feature_gateway:slo_burn:ratio1h", "feature_gateway_guard_open", "feature_gateway_origin_duration_seconds_count"} <= shown
