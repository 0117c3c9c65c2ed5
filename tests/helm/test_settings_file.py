"""gateway.toml is what the values say, to the type, and the gateway takes it."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.settings import PREFIX, Cache, Settings, load
from tests.harness.helm import Documents, Helm, Values
from tests.helm.releases import CLUSTER, EVERYTHING, ON_REDIS, VALUES

SECRET = {
    "FEATURE_GATEWAY_ORIGIN__API_KEY": "a-key",
    "FEATURE_GATEWAY_CACHE__SHARED__URL": "redis://127.0.0.1",
    "FEATURE_GATEWAY_FEATURE_SERVER__REDIS__URL": "redis://127.0.0.1",
    "FEATURE_GATEWAY_AUTH__DATABASE": "postgresql://127.0.0.1/access",
    "FEATURE_GATEWAY_AUTH__KEK": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    "FEATURE_GATEWAY_AUTH__ADMIN_KEY": "fgk_key",
}


def loaded(documents: Documents, folder: Path, patch: pytest.MonkeyPatch) -> Settings:
    """As the gateway in the pod reads them: the file, and the variables of the container."""
    for variable in documents.container["env"]:
        if variable["name"].startswith(PREFIX):
            patch.setenv(variable["name"], SECRET[variable["name"]])
    file = folder / "gateway.toml"
    file.write_text(documents.settings)
    return load(file)


@pytest.mark.parametrize("case", VALUES)
def test_should_be_taken_by_the_gateway(helm: Helm, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = helm.documents(VALUES[case])
    settings = loaded(documents, tmp_path, monkeypatch)
    ports = [port["containerPort"] for port in documents.container["ports"]]
    assert ports == [port for port in (settings.server.port, settings.server.operations_port) if port is not None]
    assert (settings.server.host, settings.server.operations_host) == ("0.0.0.0", None)
    volumes = {mount["mountPath"] for mount in documents.container["volumeMounts"]}
    if settings.origin.kind == "embedded":
        assert str(settings.feature_server.data_dir) in volumes
    if settings.access_store == "sqlite":
        assert str(settings.auth.data_dir or settings.feature_server.data_dir) in volumes


def test_should_draw_the_gateway_s_own_conclusions(helm: Helm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who judges callers, and where that is kept: the template says so a second time, and shapes the release by it."""
    documents = helm.documents(CLUSTER)
    settings = loaded(documents, tmp_path, monkeypatch)
    assert (settings.auth_mode, settings.access_store) == ("passthrough", "none")
    assert documents.one("Deployment")["spec"]["strategy"]["type"] == "RollingUpdate"
    documents = helm.documents(VALUES["a cluster, with keys in a file"])
    settings = loaded(documents, tmp_path, monkeypatch)
    assert (settings.auth_mode, settings.access_store) == ("keys", "sqlite")
    assert documents.one("Deployment")["spec"]["strategy"]["type"] == "Recreate"
    documents = helm.documents(ON_REDIS)
    settings = loaded(documents, tmp_path, monkeypatch)
    assert (settings.auth_mode, settings.access_store, settings.feature_server.store) == ("keys", "postgresql", "redis")


def test_should_carry_what_is_said_of_views_and_services(helm: Helm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(helm.documents(EVERYTHING), tmp_path, monkeypatch)
    assert settings.views["user_history"].ttl_s == 300
    assert settings.views["user_history"].join_keys == ("user_id",)
    defaults = settings.views["user_history"].defaults
    assert defaults == {"orders": 3, "share": 0.25}
    assert type(defaults["orders"]) is int
    assert settings.services["prod/fraud"].stale_if_error_s == 600.5


def test_should_say_the_cache_s_size_as_the_gateway_would(helm: Helm) -> None:
    assert tomllib.loads(helm.documents({}).settings)["cache"]["max_bytes"] == Cache().max_bytes


def test_should_have_no_secret_in_it(helm: Helm) -> None:
    variables = {one["name"]: one for one in helm.documents(EVERYTHING).container["env"]}
    assert all("secretKeyRef" in one["valueFrom"] for name, one in variables.items() if name.startswith(PREFIX))


# Helm keeps numbers of values files as float64
whole = st.integers(min_value=-(2**53), max_value=2**53)
# Helm refuses these wherever they are: in YAML they may not stand as they are
controls = "".join(map(chr, range(0x7F, 0xA0)))
texts = st.text(st.characters(max_codepoint=0xFFFD, exclude_categories=["Cs", "Cn"], exclude_characters=controls), max_size=12)
scalars = st.booleans() | whole | st.floats(allow_nan=False, allow_infinity=False, width=32) | texts
trees = st.recursive(
    scalars, lambda below: st.lists(below, max_size=3) | st.dictionaries(texts.filter(bool), below, max_size=3), max_leaves=8
)


def same(one: Any, other: Any) -> bool:
    """Equal, and what was an integer still is one. (A float without a fraction may become one: JSON has it so.)"""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool | str):
        return type(one) is type(other) and one == other
    return isinstance(other, int) and one == other if isinstance(one, int) else bool(one == float(other))


@settings(max_examples=6)
@given(st.lists(trees, min_size=10, max_size=10))
def test_should_be_what_was_said_to_the_type(each_helm: Helm, many: list[Any]) -> None:
    said: Values = {"views": {"v": {"defaults": {f"f{number}": one for number, one in enumerate(many)}}}}
    toml = tomllib.loads(each_helm.documents({"settings": said}, "--show-only", "templates/configmap.yaml").settings)
    assert same(said["views"], toml["views"]), json.dumps(said)
