"""How long a fragment may be served: what is said of its view and of the service it is read through, and the default."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.policy import Policies, Said, Terms

POLICIES = Policies(
    Terms(60.0, 60.0),
    services={"live/fraud": Said(10.0), "live/off": Said(0.0)},
    views={"user": Said(30.0), "quick": Said(5.0), "never": Said(0.0)},
)


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
    assert POLICIES.terms(workspace, service, view).ttl_s == ttl_s


def test_without_settings_everything_has_the_default() -> None:
    assert Policies().terms("w", "s", "v") == Terms()


def test_a_longer_word_than_the_default_counts_too() -> None:
    assert Policies(Terms(1.0), views={"user": Said(3600.0)}).terms("w", "s", "user").ttl_s == 3600.0


def test_each_thing_is_said_by_itself_and_the_shorter_word_counts_for_each() -> None:
    service = Said(ttl_s=40.0, max_age_s=900.0, revalidate_s=3.0)
    view = Said(negative_ttl_s=2.0, max_age_s=600.0, error_s=0.0, revalidate_s=7.0)
    policies = Policies(Terms(60.0, 10.0, inf, 0.0, 300.0), {"w/s": service}, {"v": view})
    assert policies.terms("w", "s", "v") == Terms(40.0, 2.0, 600.0, 3.0, 0.0)
    assert policies.terms("w", "s", "other") == Terms(40.0, 10.0, 900.0, 3.0, 300.0)
    assert policies.terms("w", "other", "v") == Terms(60.0, 2.0, 600.0, 7.0, 0.0)


def test_what_is_missing_is_never_believed_for_longer_than_what_is_there() -> None:
    assert Policies(Terms(5.0, 60.0)).terms("w", "s", "v").negative_ttl_s == 5.0


def test_equal_terms_are_one_object() -> None:
    assert POLICIES.terms("live", "fraud", "shop") is POLICIES.terms("live", "fraud", "user")


@pytest.mark.parametrize(
    ("policies", "bounded"),
    [
        (Policies(), False),
        (Policies(Terms(max_age_s=5.0)), True),
        (Policies(services={"w/s": Said(max_age_s=5.0)}), True),
        (Policies(views={"v": Said(max_age_s=5.0)}), True),
        (POLICIES, False),
    ],
)
def test_whether_any_age_is_bounded_is_known_beforehand(policies: Policies, bounded: bool) -> None:  # noqa: FBT001 - a table
    assert policies.bounds_age is bounded


def test_the_longer_window_is_how_long_a_fragment_is_of_use() -> None:
    assert Terms(revalidate_s=5.0, error_s=2.0).grace_s == 5.0


said = st.one_of(st.none(), st.sampled_from([0.0, 1.0, 2.0, 60.0]))
sayings = st.builds(Said, said, said, said, said, said)


@given(sayings, sayings, st.builds(Terms, st.sampled_from([1.0, 60.0]), st.sampled_from([0.0, 60.0])))
def test_whoever_is_named_for_a_term_says_it(view: Said, service: Said, default: Terms) -> None:
    policies = Policies(default, {"w/s": service}, {"v": view})
    terms, speakers = policies.terms("w", "s", "v"), policies.speakers("w", "s", "v")
    sections: dict[str, Said | Terms] = {"views.v": view, 'services."w/s"': service, "cache": default}
    for name, speaker in speakers.items():
        words = {getattr(sections[speaker], name)} | ({sections[speaker].ttl_s} if name == "negative_ttl_s" else set())
        assert getattr(terms, name) in words
    silent = {speaker for speaker, words in sections.items() if words == Said()}
    assert not silent & set(speakers.values())
