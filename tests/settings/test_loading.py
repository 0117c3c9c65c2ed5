"""One tree from three places, every mistake at once, and no secret in any message."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gateway.settings import PREFIX, Settings, SettingsError, checked, load

TOKEN = "t0ken-7731"
DIGEST = "0123456789abcdef" * 4
BASKET = {"function": "shop.baskets:over", "inputs": {"user": ["age"]}, "outputs": {"over": "float64"}}
NO_MORE = "a scheme, a host, a port and a path, if any; no user or password, no query, no fragment"
VISIBLE = "visible ASCII characters only, without spaces"
WRONG_AUTHORITIES = (
    "me:secret@acme.tecton.ai",
    "me@acme",
    "acme/?x=y",
    "acme#x",
    "acme:http",
    "",
    "acme evil",
    "acme\r\n",
    "acme\\x",
    "\u00e4",
    "a%2fb",
)
WRONG_ADDRESSES = [f"https://{authority}" for authority in WRONG_AUTHORITIES]
CLUSTER = {"kind": "tecton", "url": "https://acme.tecton.ai"}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)


def mistakes(tree: dict[str, Any]) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        checked(tree)
    return str(refused.value).splitlines()


def told(tmp_path: Path, text: str | bytes) -> Path:
    file = tmp_path / "gateway.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def fields_of(model: type[BaseModel], way: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        yield f"{way}{name}", field
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from fields_of(kind, f"{way}{name}.")


FIELDS = dict(fields_of(Settings))


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_has_a_description(name: str) -> None:
    field = FIELDS[name]
    section = field.annotation
    described = field.description or (section.__doc__ if isinstance(section, type) and issubclass(section, BaseModel) else None)
    assert described
    assert described.rstrip().endswith((".", "`.", ")."))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8081", "https://acme.tecton.ai/", "https://acme.tecton.ai:443/base/v1", "http://[::1]:80"]
)
def test_an_address_of_a_cluster_is_taken(url: str) -> None:
    assert checked({"origin": CLUSTER | {"url": url}}).origin.url == url


def test_the_walk_over_settings_reaches_what_is_nested() -> None:
    assert {"server.port", "auth.keys.digest", "views.join_keys", "services.ttl_s", "default_workspace"} <= set(FIELDS)


def test_the_defaults_are_a_gateway_of_their_own() -> None:
    settings = load()
    assert settings == Settings()
    assert settings.auth_mode == "keys"
    assert settings.origin.kind == "embedded"


def test_later_places_win_over_earlier_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = told(tmp_path, '[server]\nhost = "127.0.0.2"\nport = 1\nmax_body_bytes = 2048\n[cache]\nttl_s = 5\n')
    monkeypatch.setenv("FEATURE_GATEWAY_SERVER__PORT", "2")
    monkeypatch.setenv("FEATURE_GATEWAY_SERVER__MAX_BODY_BYTES", "4096")
    settings = load(file, {"server": {"max_body_bytes": 8192}})
    assert (settings.server.host, settings.server.port, settings.server.max_body_bytes) == ("127.0.0.2", 2, 8192)
    assert settings.cache.ttl_s == 5


def test_without_a_file_the_environment_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURE_GATEWAY_ORIGIN__KIND", "tecton")
    monkeypatch.setenv("FEATURE_GATEWAY_ORIGIN__URL", "https://acme.tecton.ai")
    monkeypatch.setenv("FEATURE_GATEWAY_ORIGIN__API_KEY", TOKEN)
    monkeypatch.setenv("FEATURE_GATEWAY_ORIGIN__BATCH", "false")
    monkeypatch.setenv("FEATURE_GATEWAY_INCLUDE_NAMES_BY_DEFAULT", "true")
    monkeypatch.setenv("FEATURE_GATEWAY_TELEMETRY__SAMPLE_RATIO", "0.5")
    settings = load()
    assert settings.origin.url == "https://acme.tecton.ai"
    assert settings.origin.api_key is not None
    assert settings.origin.api_key.get_secret_value() == TOKEN
    assert not settings.origin.batch
    assert settings.include_names_by_default
    assert settings.telemetry.sample_ratio == 0.5


def test_the_environment_reaches_into_tables_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURE_GATEWAY_AUTH__KEYS__anne__DIGEST", DIGEST)
    monkeypatch.setenv("FEATURE_GATEWAY_VIEWS__user__TTL_S", "7")
    settings = load()
    assert settings.auth.keys["anne"].digest == DIGEST
    assert settings.views["user"].ttl_s == 7


def test_the_environment_gives_lists_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURE_GATEWAY_AUTH__KEYS", f'{{"anne": {{"digest": "{DIGEST}", "workspaces": ["live"]}}}}')
    assert load().auth.keys["anne"].workspaces == {"live"}


def test_a_key_of_the_file_and_one_of_the_environment_stand_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = told(tmp_path, f'[auth.keys.ben]\ndigest = "{DIGEST}"\nworkspaces = ["*"]\ningest = true\npurge = true\n')
    monkeypatch.setenv("FEATURE_GATEWAY_AUTH__KEYS__anne__DIGEST", DIGEST)
    keys = load(file).auth.keys
    assert set(keys) == {"anne", "ben"}
    assert keys["ben"].ingest
    assert keys["ben"].purge
    assert not keys["anne"].purge


def test_a_file_names_services_and_views(tmp_path: Path) -> None:
    file = told(tmp_path, '[services."live/fraud"]\nttl_s = 5\n[views.user]\njoin_keys = ["user_id"]\n')
    settings = load(file)
    assert settings.services["live/fraud"].ttl_s == 5
    assert settings.views["user"].join_keys == ("user_id",)


@pytest.mark.parametrize("value", ["{", "[1", '{"kind": t0ken-7731}', "t0ken-7731"])
@pytest.mark.parametrize("name", ["ORIGIN", "SERVER", "AUTH__KEYS", "VIEWS"])
def test_a_variable_that_is_not_json_is_a_settings_error_that_names_it(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"FEATURE_GATEWAY_{name}", value)
    with pytest.raises(SettingsError, match=name.partition("__")[0].lower()) as refused:
        load()
    assert "t0ken" not in str(refused.value)


@pytest.mark.parametrize("text", ["[server", "port = ", "server.port = 1\n[server]\nport = 2", b"\xff\xfe", b'a = "\xe9"'])
def test_a_file_that_is_not_toml_says_so(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(SettingsError, match="is not TOML"):
        load(told(tmp_path, text))


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        load(tmp_path / "missing.toml")
    with pytest.raises(SettingsError, match="directory"):
        load(tmp_path)


def test_every_mistake_is_told_at_once_and_by_name() -> None:
    lines = mistakes(
        {
            "server": {"port": 70_000, "hostt": "x"},
            "origin": {"kind": "feast"},
            "auth": {"keys": {"anne": {"digest": "short", "ingest": "perhaps"}}},
            "cache": {"ttl_s": -1},
            "services": {"live/fraud": {"ttl_s": "soon"}},
            "unknown": 1,
        }
    )
    assert sorted(line.partition(":")[0] for line in lines) == [
        "auth.keys.anne.digest",
        "auth.keys.anne.ingest",
        "cache.ttl_s",
        "origin.kind",
        "server.hostt",
        "server.port",
        "services.live/fraud.ttl_s",
        "unknown",
    ]


@pytest.mark.parametrize(
    "tree",
    [
        {"origin": {"kind": TOKEN, "api_key": TOKEN}},
        {"origin": {"api_key": [TOKEN]}},
        {"origin": {"api_key": {"value": TOKEN}}},
        {"origin": {**CLUSTER, "url": f"acme.tecton.ai/{TOKEN}", "api_key": TOKEN}},
        {"auth": {"keys": {"anne": {"digest": TOKEN}}}},
        {"auth": {"keys": {"anne": TOKEN}}},
        {"auth": {"mode": TOKEN}},
        {"server": TOKEN},
        {"server": {"port": TOKEN}},
        {"cache": {"ttl_s": TOKEN}},
        {"views": {"user": {"join_keys": TOKEN}}},
    ],
)
def test_no_mistake_shows_a_value(tree: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as refused:
        checked(tree)
    assert TOKEN not in str(refused.value)
    assert TOKEN not in repr(refused.value)
    assert refused.value.__cause__ is None


def test_settings_print_no_secret() -> None:
    settings = checked({"origin": {**CLUSTER, "api_key": TOKEN}})
    assert TOKEN not in repr(settings)
    assert TOKEN not in str(settings.model_dump())
    assert TOKEN not in settings.model_dump_json()


@pytest.mark.parametrize(
    ("tree", "line"),
    [
        ({"origin": {"kind": "tecton"}}, 'origin.url: needed for origin.kind = "tecton", e.g. https://<cluster>.tecton.ai'),
        ({"origin": {"kind": "tecton", "url": ""}}, 'origin.url: needed for origin.kind = "tecton", e.g. https://<cluster>.tecton.ai'),
        ({"origin": {"kind": "tecton", "url": "acme.tecton.ai"}}, "origin.url: must start with https:// (or http://)"),
        *[({"origin": CLUSTER | {"url": url}}, f"origin.url: {NO_MORE}") for url in WRONG_ADDRESSES],
        ({"origin": CLUSTER | {"ingest_url": "https://me:secret@acme.tecton.ai"}}, f"origin.ingest_url: {NO_MORE}"),
        *[({"origin": CLUSTER | {"api_key": key}}, f"origin.api_key: {VISIBLE}") for key in ("", "a b", "a\n", "k\u00e9y", "a\r\nx: y")],
        ({"origin": {"kind": "tecton", "url": "ftp://acme"}}, "origin.url: must start with https:// (or http://)"),
        ({"auth": {"mode": "passthrough"}}, "auth.mode: passthrough needs a cluster to judge credentials; use keys or open"),
        (
            {"auth": {"mode": "open"}, "server": {"host": "0.0.0.0"}},
            "auth.mode: open is for loopback only; set server.host to 127.0.0.1 or use keys",
        ),
        (
            {"auth": {"mode": "open"}, "server": {"host": ""}},
            "auth.mode: open is for loopback only; set server.host to 127.0.0.1 or use keys",
        ),
        (
            {"on_demand": {"views": {"basket": BASKET}}},
            'on_demand.views: for a cluster (origin.kind = "tecton"); the embedded feature server has on-demand views of its own',
        ),
        (
            {"origin": CLUSTER, "on_demand": {"views": {"basket": {**BASKET, "inputs": {"cart": ["x"]}}, "cart": BASKET}}},
            "on_demand.views.basket.inputs: cart is an on-demand view itself, whose values are not at hand",
        ),
        (
            {"origin": CLUSTER, "on_demand": {"views": {"basket": BASKET}}, "views": {"basket": {"join_keys": ["user_id"]}}},
            "views.basket.join_keys: basket is computed (on_demand.views.basket), and keyed on nothing; leave them out",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(tree: dict[str, Any], line: str) -> None:
    assert mistakes(tree) == [line]


@pytest.mark.parametrize("name", ["over", "shop.baskets", "shop.baskets:over()", "../baskets:over", ":over", "shop.baskets:"])
def test_an_on_demand_function_is_named_by_module_and_name(name: str) -> None:
    (line,) = mistakes({"origin": CLUSTER, "on_demand": {"views": {"basket": {**BASKET, "function": name}}}})
    assert line.startswith("on_demand.views.basket.function: ")


def test_contradictions_are_told_all_at_once() -> None:
    lines = mistakes({"origin": {"kind": "tecton"}, "auth": {"mode": "open"}, "server": {"host": "0.0.0.0"}})
    assert sorted(line.partition(":")[0] for line in lines) == ["auth.mode", "origin.url"]


def test_an_ingest_url_has_a_scheme_too() -> None:
    (line,) = mistakes({"origin": {**CLUSTER, "ingest_url": "preview.acme.tecton.ai"}})
    assert line.startswith("origin.ingest_url:")


@pytest.mark.parametrize(
    ("tree", "mode"),
    [
        ({}, "keys"),
        ({"origin": CLUSTER}, "passthrough"),
        ({"origin": {**CLUSTER, "api_key": TOKEN}}, "keys"),
        ({"origin": {**CLUSTER, "api_key": TOKEN}, "auth": {"mode": "passthrough"}}, "passthrough"),
        ({"origin": CLUSTER, "auth": {"mode": "keys"}}, "keys"),
        ({"auth": {"mode": "open"}}, "open"),
        ({"auth": {"mode": "open"}, "server": {"host": "::1"}}, "open"),
        ({"auth": {"mode": "open"}, "server": {"host": "localhost"}}, "open"),
    ],
)
def test_who_judges_callers_follows_from_where_features_come_from(tree: dict[str, Any], mode: str) -> None:
    assert checked(tree).auth_mode == mode


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("server", "port", -1),
        ("server", "port", 65_536),
        ("server", "max_body_bytes", 1_023),
        ("origin", "connect_timeout_s", 0),
        ("origin", "max_connections", 0),
        ("auth", "grant_life_s", 0),
        ("auth", "grant_life_s", float("nan")),
        ("cache", "max_bytes", -1),
        ("cache", "ttl_s", 86_401),
        ("cache", "ttl_s", float("nan")),
        ("metadata", "ttl_s", -1),
        ("deadlines", "read_s", 0),
        ("deadlines", "read_s", float("inf")),
        ("feature_server", "ingest_records_per_source", 0),
        ("on_demand", "check_ratio", 1.1),
        ("telemetry", "sample_ratio", 1.1),
        ("telemetry", "sample_ratio", float("nan")),
        ("slo", "latency_ms", 0),
    ],
)
def test_a_number_out_of_its_range_is_refused(section: str, name: str, value: float) -> None:
    (line,) = mistakes({section: {name: value}})
    assert line.startswith(f"{section}.{name}: ")


@pytest.mark.parametrize("digest", [DIGEST[:-1], DIGEST + "0", DIGEST.upper(), DIGEST + "\n", "g" * 64, ""])
def test_a_digest_is_64_lower_case_hex_digits(digest: str) -> None:
    (line,) = mistakes({"auth": {"keys": {"anne": {"digest": digest}}}})
    assert line.startswith("auth.keys.anne.digest: ")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().server.port = 1  # type: ignore[misc]  # what is refused


def test_a_file_may_be_yaml(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yml"
    file.write_text("server:\n  port: 1\nservices:\n  live/fraud:\n    ttl_s: 5\n")
    settings = load(file)
    assert (settings.server.port, settings.services["live/fraud"].ttl_s) == (1, 5)
    file.write_text("# nothing yet\n")
    assert load(file) == Settings()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("server: [", "is not YAML: .*line 1"),
        ("a: 1\nb: {\n", "is not YAML: .*line 3"),
        ("server:\n  port: 1\n  port: 2\n", "port comes twice .at line 2"),
        ("- 1\n", "its top is no table of settings"),
        ("server: !!python/object:os.system {}\n", "is not YAML"),
    ],
)
def test_a_file_that_is_not_yaml_says_where(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=told):
        load(file)


def test_mistakes_of_several_places_are_told_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("server: [")
    monkeypatch.setenv("FEATURE_GATEWAY_SERVR__PORT", "1")
    with pytest.raises(SettingsError) as refused:
        load(file, {"cache": {"ttl_s": -1}})
    lines = str(refused.value).splitlines()
    assert len(lines) == 3
    assert lines[1] == "FEATURE_GATEWAY_SERVR__PORT: there is no such setting; is it server?"


@pytest.mark.parametrize(
    ("tree", "line"),
    [
        ({"server": {"hostt": "x"}}, "server.hostt: there is no such setting; is it host?"),
        ({"views": {"user": {"ttl": 1}}}, "views.user.ttl: there is no such setting; is it ttl_s?"),
        ({"cache": {"shared": {"prefx": "x"}}}, "cache.shared.prefx: there is no such setting; is it prefix?"),
        (
            {"auth": {"keys": {"anne": {"digest": DIGEST, "workspace": ["x"]}}}},
            "auth.keys.anne.workspace: there is no such setting; is it workspaces?",
        ),
        ({"unheard_of": 1}, "unheard_of: there is no such setting"),
    ],
)
def test_a_name_that_is_none_is_told_with_the_one_that_was_probably_meant(tree: dict[str, Any], line: str) -> None:
    assert mistakes(tree) == [line]
