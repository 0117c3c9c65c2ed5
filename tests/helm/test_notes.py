"""NOTES.txt: how to reach it, and what is well formed, and yet may not be what was meant."""

import re

import pytest

from tests.harness.helm import CHART, Helm, Values
from tests.helm.releases import CLUSTER, EVERYTHING, ON_REDIS, VALUES, secret

DEMO = "it serves the demo's feature definitions"
FLEETING = "persistence.enabled is false"
PRINTED = "prints its key to the pod's log"
APART = "each replica has a cache of its own"
REFUSED = "scrapes\nare refused"
SHUT_OUT = "networkPolicy.scrapers is empty"
IN_CLEAR = "Prometheus' key travels in clear"
ALL = (DEMO, FLEETING, PRINTED, APART, REFUSED, SHUT_OUT, IN_CLEAR)
SCRAPED = {"serviceMonitor": {"enabled": True}}


def notes(helm: Helm, values: Values) -> str:
    ended = helm.run("install", "prices", str(CHART), "--dry-run=client", "--namespace", "features", values=values)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.partition("NOTES:\n")[2]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {DEMO, PRINTED}),
        ({"persistence": {"enabled": False}, "definitions": {"configMap": "ours"}}, {FLEETING, PRINTED}),
        ({"definitions": {"configMap": "ours"}, "secrets": {"authAdminKey": secret("admin")}}, set()),
        (CLUSTER | {"persistence": {"enabled": False}}, {APART}),
        (CLUSTER | {"secrets": {"cacheSharedUrl": secret("cache")}, "monitoring": SCRAPED}, set()),
        ({"monitoring": SCRAPED, "networkPolicy": {"enabled": True}}, {DEMO, PRINTED, REFUSED, SHUT_OUT}),
        ({"monitoring": SCRAPED, "settings": {"auth": {"metrics": "open"}}}, {DEMO, PRINTED}),
        (ON_REDIS, set()),
        (EVERYTHING, {IN_CLEAR}),
        (VALUES["everything on one port"], set()),
    ],
)
def test_should_warn_of_what_may_not_be_meant_and_of_nothing_else(helm: Helm, values: Values, expected: set[str]) -> None:
    said = notes(helm, values)
    assert {one for one in ALL if one in said} == expected
    assert said.count("NOTE:") == len(expected)
    assert "http" in said


def test_should_name_commands_that_there_are(helm: Helm) -> None:
    from gateway.cli import main

    said = notes(helm, {}) + notes(helm, {"monitoring": SCRAPED})
    for command, rest in re.findall(r"feature-gateway (new-key|check|keys \w+)(.*)", said):
        group, _, name = command.partition(" ")
        found = main.commands[group]
        options = {option for parameter in getattr(found, "commands", {"": found})[name].params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= options
    assert "feature-gateway keys create" in said
