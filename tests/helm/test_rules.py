"""The rules: well formed, true to the metrics there are, each alert seen to fire and to hold its peace, each with what to do about it."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness.helm import CHART
from tests.helm.alarms import ALARMS, Series

RULES = CHART / "files" / "rules.yaml"
RUNBOOK = CHART.parent / "runbook.md"
GROUPS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule}
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="needs promtool: apt-get install prometheus")


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    return subprocess.run([PROMTOOL, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120)


@needs_promtool
def test_the_rules_are_rules() -> None:
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stdout + done.stderr


def scenario(name: str, alert: str, series: Series, *, minutes: int, after_min: int, firing: bool) -> dict[str, Any]:
    return {
        "name": name,
        "interval": f"{minutes}m",
        "input_series": [{"series": one, "values": values} for one, values in series],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})',
                "eval_time": f"{after_min}m",
                "exp_samples": [{"labels": "{}", "value": 1}] if firing else [],
            }
        ],
    }


def scenarios(alert: str) -> list[dict[str, Any]]:
    alarm = ALARMS[alert]
    when = {"minutes": alarm.minutes, "after_min": alarm.after_min}
    fires = scenario(f"{alert} fires", alert, alarm.fires, firing=True, **when)
    return [fires, *[scenario(f"{alert}: {name}", alert, series, firing=False, **when) for name, series in alarm.silent.items()]]


def rules_of(alert: str) -> dict[str, Any]:
    """The alert, and what is recorded for it, in the groups where they stand: all others would be evaluated too, for most of the time."""
    recorded = {rule["record"]: rule["expr"] for group in GROUPS for rule in group["rules"] if "record" in rule}
    wanted, looked_at = {alert}, [ALERTS[alert]["expr"]]
    while looked_at:
        expression = looked_at.pop()
        found = {name for name in recorded if name in expression} - wanted
        wanted |= found
        looked_at += [recorded[name] for name in found]
    groups = [{**group, "rules": [rule for rule in group["rules"] if rule.get("alert", rule.get("record")) in wanted]} for group in GROUPS]
    return {"groups": [group for group in groups if group["rules"]]}


@needs_promtool
@pytest.mark.parametrize("alert", ALARMS)
def test_each_alert_fires_when_it_should_and_holds_its_peace_otherwise(alert: str, tmp_path: Path) -> None:
    file, rules = tmp_path / "tests.yaml", tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump(rules_of(alert)))
    # of days, every minute would take a minute; rarer than every five, an alert that comes before its recording rules finds none of them
    every = "4m" if ALARMS[alert].after_min > 1_000 else "1m"
    file.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": every, "tests": scenarios(alert)}))
    done = promtool("test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_put_to_the_test() -> None:
    assert set(ALARMS) == set(ALERTS)
    assert all(alarm.silent for alarm in ALARMS.values())


def test_few_alerts_wake_anybody() -> None:
    severities = [rule["labels"]["severity"] for rule in ALERTS.values()]
    assert set(severities) == {"page", "ticket"}
    assert severities.count("page") == 4


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_says_what_it_is_and_has_a_paragraph_in_the_runbook(alert: str) -> None:
    told = ALERTS[alert]["annotations"]
    assert set(told) == {"summary", "description", "runbook_url"}
    assert told["runbook_url"] == f"helm/runbook.md#{alert.lower()}"
    paragraph = re.search(rf"^### {alert}\n\n(.+?)(?=\n\n###|\n\n##|\Z)", RUNBOOK.read_text(), re.MULTILINE | re.DOTALL)
    assert paragraph is not None
    assert len(paragraph[1]) > 150


def test_the_runbook_has_no_alert_of_the_past() -> None:
    assert set(re.findall(r"^### (\w+)$", RUNBOOK.read_text(), re.MULTILINE)) == set(ALERTS)
