"""Effective settings with their sources, no secret among them, and an example file that is what the gateway does anyway."""

import tomllib
from pathlib import Path

import pytest

from gateway.settings import Settings, checked, read
from gateway.settings.telling import effective, example

TOKEN = "t0ken-7731"


def told(file: Path | None = None, **options: object) -> dict[str, tuple[str, str]]:
    return {one.name: (one.value, one.source) for one in effective(read(file, dict(options)))}


def test_each_setting_is_told_with_the_place_that_has_the_last_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(f"server:\n  port: 1\n  host: 127.0.0.2\n  drain_s: 7\norigin:\n  api_key: {TOKEN}\nviews:\n  user:\n    ttl_s: 5\n")
    monkeypatch.setenv("FEATURE_GATEWAY_SERVER__DRAIN_S", "8")
    monkeypatch.setenv("FEATURE_GATEWAY_CACHE", '{"ttl_s": 9}')
    settings = told(file, server={"port": 3})
    assert settings["server.port"] == ("3", "option")
    assert settings["server.host"] == ('"127.0.0.2"', "file")
    assert settings["server.drain_s"] == ("8.0", "FEATURE_GATEWAY_SERVER__DRAIN_S")
    assert settings["cache.ttl_s"] == ("9.0", "FEATURE_GATEWAY_CACHE")
    assert settings["cache.max_age_s"] == ("unset", "default")
    assert settings["views.user.ttl_s"] == ("5.0", "file")
    assert settings["views.user.max_age_s"] == ("unset", "default")
    assert settings["origin.api_key"] == ("********", "file")


def test_every_setting_is_told_once() -> None:
    names = [one.name for one in effective(read())]
    assert len(names) == len(set(names))
    assert {"server.port", "feature_server.faults.latency.p50_ms", "cache.shared.url", "services", "log.level"} <= set(names)


def test_no_secret_is_told_wherever_it_came_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(f'[auth]\nkek = "{TOKEN}"\nadmin_key = "{TOKEN}"\n[cache.shared]\nurl = "redis://:{TOKEN}@127.0.0.1"\n')
    monkeypatch.setenv("FEATURE_GATEWAY_ORIGIN__API_KEY", TOKEN)
    assert TOKEN not in str(effective(read(file)))


def test_the_example_holds_every_setting_and_is_the_defaults() -> None:
    text = example()
    assert checked(tomllib.loads(text)) == Settings()
    for one in effective(read()):
        assert (
            f"{one.name.rpartition('.')[2]} = " in text or f".{one.name.rpartition('.')[2]}.NAME]" in text or f"[{one.name}.NAME]" in text
        )


def test_what_the_example_leaves_out_can_be_taken_in() -> None:
    """A commented table of names is one that the gateway takes, once its dots are filled in."""
    text = example()
    assert "# [auth.keys.NAME]" in text
    assert "# [views.NAME]" in text
    start = text.index("# [services.NAME]")
    block = text[start:].split("\n\n")[0]
    lines = [line.removeprefix("# ") for line in block.splitlines() if line.startswith("# [") or " = …" in line]
    taken = "\n".join(lines).replace("batch = …", "batch = true").replace("= …", "= 0.5")
    assert checked(tomllib.loads(taken)).services["NAME"].ttl_s == 0.5
