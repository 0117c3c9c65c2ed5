import pytest

from gateway.cache.policy import Policies

POLICIES = Policies(60.0, services={"live/fraud": 10.0, "live/off": 0.0}, views={"user": 30.0, "quick": 5.0, "never": 0.0})


@pytest.mark.parametrize(
    ("workspace", "service", "view", "ttl_s"),
    [
        ("live", "other", "shop", 60.0),
        ("live", "other", "user", 30.0),
        ("live", "fraud", "shop", 10.0),
        ("live", "fraud", "user", 10.0),
        ("live", "fraud", "quick", 5.0),
        ("dev", "fraud", "user", 30.0),
        ("live", "off", "user", 0.0),
        ("live", "fraud", "never", 0.0),
        ("", "live/fraud", "shop", 60.0),
    ],
)
def test_the_shorter_word_counts_and_the_default_where_nobody_speaks(workspace: str, service: str, view: str, ttl_s: float) -> None:
    assert POLICIES.ttl_s(workspace, service, view) == ttl_s


def test_without_settings_everything_has_the_default() -> None:
    assert Policies().ttl_s("w", "s", "v") == 60.0


def test_a_longer_word_than_the_default_counts_too() -> None:
    assert Policies(1.0, views={"user": 3600.0}).ttl_s("w", "s", "user") == 3600.0
