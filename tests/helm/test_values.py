"""values.yaml says what each value is; values.schema.json refuses everything else, and names it."""

import json
import re
from collections.abc import Iterator
from functools import reduce
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from tests.harness.helm import CHART, Helm, Values
from tests.harness.settings_schema import DECIDED_BY_THE_CHART, settings_schema
from tests.helm.releases import EVERYTHING, ON_REDIS, OWN_DEFINITIONS, TOGETHER

VALIDATOR = Draft7Validator(json.loads((CHART / "values.schema.json").read_text()))
TEXT = (CHART / "values.yaml").read_text()
VALUES = yaml.safe_load(TEXT)
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
TEMPLATES = "\n".join(path.read_text() for path in sorted((CHART / "templates").rglob("*")) if path.is_file())


def told() -> Iterator[tuple[str, list[str], str]]:
    """Each value that values.yaml speaks of: its path, its types, and what is said."""
    above: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in TEXT.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            comment.append(stripped.removeprefix("#").strip())
            continue
        key = re.match(r"( *)([A-Za-z]\w*):", line)
        if key is not None:
            above = [(depth, name) for depth, name in above if depth < len(key[1])] + [(len(key[1]), key[2])]
            said = re.fullmatch(r"\(([a-z, ]+)\) (.+)", " ".join(comment))
            if said is not None:
                yield ".".join(name for _, name in above), said[1].split(", "), said[2]
        comment = []


TOLD = {path: (types, sentence) for path, types, sentence in told()}


def value_at(path: str) -> Any:
    value: Any = VALUES
    for name in path.split("."):
        value = value[name]
    return value


def schema_at(path: str) -> Any:
    node: Any = SCHEMA
    for name in path.split("."):
        node = node["properties"][name]
    return node


def leaves(tree: Any, schema: Any, path: str = "") -> Iterator[str]:
    """The values that are told of one by one: those below which the schema names no more."""
    for name, value in tree.items():
        below = schema["properties"][name]
        if isinstance(value, dict) and "properties" in below and f"{path}{name}" not in TOLD:
            yield from leaves(value, below, f"{path}{name}.")
        else:
            yield f"{path}{name}"


def test_should_say_of_every_value_what_it_is() -> None:
    silent = [path for path in leaves(VALUES, SCHEMA) if path not in TOLD]
    assert not silent
    assert all(sentence.endswith(".") for _, sentence in TOLD.values())


@pytest.mark.parametrize("path", sorted(TOLD))
def test_should_have_the_type_that_it_says(path: str) -> None:
    types, _ = TOLD[path]
    there = schema_at(path)["type"]
    assert set(types) == ({there} if isinstance(there, str) else set(there))
    kinds: dict[str, Any] = {
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "object": dict,
        "array": list,
        "null": type(None),
    }
    assert any(isinstance(value_at(path), kinds[one]) for one in types)


def test_should_know_no_value_that_is_not_in_values_yaml() -> None:
    """But for what Helm adds, and the settings, which the README has."""

    def known(schema: Any, tree: Any, path: str = "") -> Iterator[str]:
        for name, below in schema["properties"].items():
            where = f"{path}{name}"
            if where not in TOLD and "properties" in below and isinstance(tree.get(name), dict):
                yield from known(below, tree[name], f"{where}.")
            elif name not in tree:
                yield where

    assert list(known(SCHEMA, VALUES)) == ["global"]


OTHER: dict[str, Any] = {
    "image.digest": f"sha256:{'0b' * 32}",
    "definitions.files": {"other.yaml": "kind: Workspace"},
    "definitions.startEmpty": ["prod.other"],
    "definitions.python": "other:REPOSITORY",
    "persistence.size": "11Gi",
    "telemetry.otlpEndpoint": "http://other:4319",
    "podDisruptionBudget.maxUnavailable": 2,
    "topologySpreadConstraints": [{"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}],
    "monitoring.serviceMonitor.interval": "16s",
    "monitoring.serviceMonitor.scrapeTimeout": "9s",
    "ingress.hosts": ["other.example.org"],
    "resources": {"limits": {"memory": "3Gi"}},
}
BASES: tuple[Values, ...] = (
    EVERYTHING,
    {},
    {"service": {"type": "NodePort"}},
    ON_REDIS,
    OWN_DEFINITIONS,
    {"serviceAccount": {"create": False}},
    EVERYTHING | {"settings": EVERYTHING["settings"] | TOGETHER},
)


def another(path: str) -> Any:
    """A value of the same type, as the schema wants it."""
    if path in OTHER:
        return OTHER[path]
    schema, value = schema_at(path), value_at(path)
    if "enum" in schema:
        return next(one for one in schema["enum"] if one != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return "other"
    if isinstance(value, list):
        return [{"podSelector": {"matchLabels": {"other": "other"}}}] if path.startswith("networkPolicy") else [{"name": "other"}]
    return {"periodSeconds": 17} if path.startswith("probes") else {"other": "other"}


def with_value(base: Values, path: str, value: Any) -> Values:
    changed = json.loads(json.dumps(base))
    *above, last = path.split(".")
    node = changed
    for name in above:
        node = node.setdefault(name, {})
    node[last] = value
    return dict(changed)


@pytest.mark.slow
def test_should_make_a_difference_with_every_value(helm: Helm) -> None:
    def outcome(values: Values) -> str:
        ended = helm.run("template", "prices", str(CHART), values=values)
        assert "specifications of the schema" not in ended.stderr, ended.stderr
        return ended.stdout + ended.stderr

    idle = dict.fromkeys(path for path in TOLD if path != "settings")
    for base in BASES:
        before = outcome(base)
        for path in list(idle):
            if outcome(with_value(base, path, another(path))) != before:
                del idle[path]
    assert not idle


def test_should_refuse_settings_as_the_gateway_would() -> None:
    """Where this fails: python -m tests.harness.settings_schema."""
    assert SCHEMA["properties"]["settings"] == settings_schema()


def test_should_leave_out_of_settings_what_the_chart_decides() -> None:
    for path in DECIDED_BY_THE_CHART:
        section, name = path.split(".")
        assert name not in schema_at(f"settings.{section}")["properties"]


BAD: dict[str, tuple[Values, str]] = {
    "an unknown value": ({"replicaCount": 2}, "replicaCount"),
    "an unknown value further down": ({"image": {"registry": "x"}}, "registry"),
    "a number that is text": ({"replicas": "two"}, "replicas"),
    "fewer pods than none": ({"replicas": -1}, "replicas"),
    "a pull policy that there is none of": ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
    "a digest that is none": ({"image": {"digest": "sha256:abc"}}, "digest"),
    "a repository with a digest in it": ({"image": {"repository": "a@sha256:abc"}}, "repository"),
    "a setting that there is none of": ({"settings": {"server": {"prot": 80}}}, "prot"),
    "a section that there is none of": ({"settings": {"severs": {}}}, "severs"),
    "a setting out of its range": ({"settings": {"server": {"workers": 65}}}, "workers"),
    "a setting of another type": ({"settings": {"cache": {"ttl_s": "a minute"}}}, "ttl_s"),
    "a choice that is none": ({"settings": {"origin": {"kind": "feast"}}}, "kind"),
    "a setting of a view that there is none of": ({"settings": {"views": {"orders": {"tll_s": 1}}}}, "tll_s"),
    "a secret among the settings": ({"settings": {"origin": {"api_key": "canary-5e1f"}}}, "api_key"),
    "a URL with a password among the settings": ({"settings": {"cache": {"shared": {"url": "redis://canary-5e1f"}}}}, "url"),
    "the chart's own folder": ({"settings": {"feature_server": {"data_dir": "/data"}}}, "data_dir"),
    "a key that is no digest": ({"settings": {"auth": {"keys": {"scoring": {"digest": "canary"}}}}}, "digest"),
    "a Secret's name that is none": ({"secrets": {"authKek": {"name": "No Such"}}}, "authKek"),
    "a secret's value in place of its name": ({"secrets": {"originApiKey": "canary-5e1f"}}, "originApiKey"),
    "a secret that there is none of": ({"secrets": {"apiKey": {"name": "x"}}}, "apiKey"),
    "definitions that are not YAML files": ({"definitions": {"files": {"orders.json": "{}"}}}, "orders.json"),
    "a view without its workspace": ({"definitions": {"startEmpty": ["user_spend"]}}, "startEmpty"),
    "a shared volume": ({"persistence": {"accessMode": "ReadWriteMany"}}, "accessMode"),
    "a size without a unit": ({"persistence": {"size": "10"}}, "size"),
    "a receiver that is no URL": ({"telemetry": {"otlpEndpoint": "collector:4317"}}, "otlpEndpoint"),
    "a protocol that there is none of": ({"telemetry": {"otlpProtocol": "http/json"}}, "otlpProtocol"),
    "a port that there is none of": ({"service": {"port": 70_000}}, "port"),
    "a kind of Service that there is none of": ({"service": {"type": "ExternalName"}}, "type"),
    "a probe with a path": ({"probes": {"liveness": {"httpGet": {"path": "/"}}}}, "httpGet"),
    "memory that is none": ({"resources": {"limits": {"memory": "lots"}}}, "memory"),
    "a budget of nothing": ({"podDisruptionBudget": {"maxUnavailable": 0}}, "maxUnavailable"),
    "a spread without a key": ({"topologySpreadConstraints": [{"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}]}, "topologyKey"),
    "a peer that is no peer": ({"networkPolicy": {"clients": ["models"]}}, "clients"),
    "a peer that says nothing": ({"networkPolicy": {"clients": [{}]}}, "clients"),
    "a label that is no text": ({"podLabels": {"a": 1}}, "a"),
    "an interval without a unit": ({"monitoring": {"serviceMonitor": {"interval": "15"}}}, "interval"),
    "a variable without a name": ({"extraEnv": [{"value": "x"}]}, "name"),
}


@pytest.mark.parametrize("case", BAD)
def test_should_refuse(case: str) -> None:
    values, named = BAD[case]
    [error] = VALIDATOR.iter_errors(values)
    assert named in (*error.absolute_path, *re.findall(r"[\w.]+", error.message))


def test_should_refuse_all_of_it_at_once_in_both_and_name_it(each_helm: Helm) -> None:
    said = each_helm.refusal(reduce(together, (values for values, _ in BAD.values())))
    assert "values don't meet the specifications of the schema" in said
    assert not [case for case, (_, named) in BAD.items() if named not in said]
    assert "canary-5e1f" not in said


def together(one: Values, other: Values) -> Values:
    both = dict(one)
    for name, value in other.items():
        before = both.get(name)
        both[name] = together(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return both
