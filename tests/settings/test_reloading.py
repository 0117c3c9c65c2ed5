"""What is taken up while serving, what waits for a restart, and that nothing is half of one and half of the other."""

from typing import Any

import pytest

from gateway.settings import Loaded, Settings, checked
from gateway.settings.loading import merged
from gateway.settings.reloading import LIVE, change
from gateway.settings.telling import effective, leaves

DIGEST, OTHER = "a" * 64, "b" * 64
BASE: dict[str, Any] = {
    "origin": {"kind": "tecton", "url": "https://acme.tecton.ai"},
    "auth": {"mode": "keys", "keys": {"anne": {"digest": DIGEST, "workspaces": ["*"]}}},
    "views": {"user": {"ttl_s": 5, "join_keys": ["user_id"]}},
    "services": {"live/fraud": {"ttl_s": 7, "batch": True}},
}


def changed(**told: Any) -> tuple[Settings, set[str], set[str]]:
    done = change(checked(BASE), checked(merged(BASE, told)))
    return done.settings, set(done.applied), set(done.waiting)


def test_nothing_changes_where_nothing_is_told() -> None:
    assert changed() == (checked(BASE), set(), set())


def test_what_says_how_long_things_last_is_taken_up() -> None:
    settings, applied, waiting = changed(
        cache={"ttl_s": 1, "stale_if_error_s": 2}, views={"user": {"ttl_s": 0}, "item": {"max_age_s": 9}}, deadlines={"read_s": 3}
    )
    assert applied == {"cache.ttl_s", "cache.stale_if_error_s", "views.user.ttl_s", "views.item.max_age_s", "deadlines.read_s"}
    assert waiting == set()
    assert (settings.cache.ttl_s, settings.views["user"].ttl_s, settings.views["item"].max_age_s, settings.deadlines.read_s) == (1, 0, 9, 3)
    assert settings.views["user"].join_keys == ("user_id",)


def test_what_was_opened_started_or_sized_stays_as_it_is() -> None:
    settings, applied, waiting = changed(
        server={"port": 1},
        cache={"max_bytes": 5, "ttl_s": 1},
        origin={"url": "https://other.tecton.ai"},
        views={"user": {"join_keys": ["other_id"]}},
        services={"live/fraud": {"batch": False}},
        auth={"grant_life_s": 5},
    )
    assert applied == {"cache.ttl_s"}
    assert waiting == {
        "server.port",
        "cache.max_bytes",
        "origin.url",
        "views.user.join_keys",
        "services.live/fraud.batch",
        "auth.grant_life_s",
    }
    assert settings == checked(merged(BASE, {"cache": {"ttl_s": 1}}))


def test_keys_come_and_go() -> None:
    settings, applied, waiting = changed(auth={"keys": {"ben": {"digest": OTHER, "workspaces": ["live"]}}})
    assert {name.rpartition(".")[0] for name in applied} == {"auth.keys.ben"}
    assert waiting == set()
    assert set(settings.auth.keys) == {"anne", "ben"}
    without = change(settings, checked(BASE))
    assert set(without.settings.auth.keys) == {"anne"}
    assert without.applied


def test_keys_that_would_choose_another_store_wait() -> None:
    """The first key of the settings means that there is no store."""
    now = checked({})
    told = checked({"auth": {"keys": {"anne": {"digest": DIGEST}}}})
    done = change(now, told)
    assert done.settings == now
    assert done.applied == ()
    assert {name.partition(".")[0] for name in done.waiting} == {"auth"}


def test_the_live_settings_are_all_there() -> None:
    names = {".".join(place) for place, _ in leaves(checked(BASE))} | {one.name for one in effective(Loaded(checked(BASE), ()))}
    plain = [pattern for pattern in LIVE if "*" not in pattern and pattern not in {"services", "views", "auth.keys"}]
    assert not set(plain) - names


@pytest.mark.parametrize("value", [None, {}])
def test_an_unset_setting_that_is_told_to_be_unset_has_not_changed(value: object) -> None:
    done = change(checked(BASE), checked(merged(BASE, {"views": {"user": {"defaults": value}}})))
    assert done.applied == ()


def test_objectives_are_taken_up() -> None:
    settings, applied, waiting = changed(
        slo={"availability": 0.9, "latency_ms": 5},
        services={"live/fraud": {"slo_stale": 0.5}},
        views={"user": {"fresh_within_s": 9, "slo_freshness": 0.5}},
    )
    assert applied == {
        "slo.availability",
        "slo.latency_ms",
        "services.live/fraud.slo_stale",
        "views.user.fresh_within_s",
        "views.user.slo_freshness",
    }
    assert waiting == set()
    assert (settings.slo.availability, settings.slo.latency_ms) == (0.9, 5)
    assert settings.services["live/fraud"].slo_stale == 0.5
    assert settings.views["user"].fresh_within_s == 9
