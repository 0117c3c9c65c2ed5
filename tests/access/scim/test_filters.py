"""What the database finds is what the library's own evaluation of the same filter finds, one resource after the other."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from scim2_models import Resource, SCIMException, ScimFilter

from gateway.access.scim.filters import Searchable, condition, quoted
from gateway.access.scim.places import Places
from gateway.access.scim.telling import RELATED, tell
from gateway.errors import InvalidScim
from tests.access.scim.directories import KINDS, Directory

TEXTS = ["ann", "Ann", "ANN", "", "a", "%", "_", "n1@", "bób", "B", "work", "u3", "g2", "viewer", "reads", "Lee", "user", "é", "'", "\\"]
INSTANTS = ["2023-11-14T22:13:25Z", "2023-11-14T22:13:30.250Z", "2023-11-15T00:13:31+02:00", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]
TEXT_OPERATORS = ["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "EQ"]
ORDERED = ["eq", "ne", "gt", "ge", "lt", "le"]
SPACE = {
    "User": ["id", "externalId", "userName", "name.givenName", "name.familyName", "emails", "emails.value", "emails.type", "groups"],
    "Group": [
        "id",
        "externalId",
        "displayName",
        "members",
        "members.value",
        "urn:ietf:params:scim:schemas:extension:tecton:1.0:Group:description",
    ],
    "ServiceAccount": ["id", "externalId", "name", "description", "groups.value", "groups.display", "roles.value"],
}
PRESENT = {
    "User": ["name", "emails", "groups", "roles", "emails.type"],
    "Group": ["members", "roles"],
    "ServiceAccount": ["groups", "active"],
}
INSIDE = {
    "User": [("emails", ["value", "type"]), ("groups", ["value"])],
    "Group": [("members", ["value"])],
    "ServiceAccount": [("groups", ["value", "display"])],
}


def comparison(attributes: list[str]) -> SearchStrategy[str]:
    return st.builds(
        lambda attribute, operator, value: f"{attribute} {operator} {ScimFilter.quote(value)}",
        st.sampled_from(attributes),
        st.sampled_from(TEXT_OPERATORS),
        st.sampled_from(TEXTS),
    )


def joined(leaves: SearchStrategy[str]) -> SearchStrategy[str]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds(lambda one: f"not ({one})", inner),
            st.builds(lambda one, word, other: f"({one}) {word} ({other})", inner, st.sampled_from(["and", "or", "AND"]), inner),
        ),
        max_leaves=5,
    )


def filters(kind: str) -> SearchStrategy[str]:
    instants = st.builds(
        lambda attribute, operator, value: f'meta.{attribute} {operator} "{value}"',
        st.sampled_from(["created", "lastModified"]),
        st.sampled_from(ORDERED),
        st.sampled_from(INSTANTS),
    )
    nulls = st.builds(lambda name, operator: f"{name} {operator} null", st.sampled_from(SPACE[kind]), st.sampled_from(["eq", "ne", "gt"]))
    present = st.builds(lambda name: f"{name} pr", st.sampled_from(SPACE[kind] + PRESENT[kind]))
    inside = st.one_of(*[st.builds(lambda inner, name=name: f"{name}[{inner}]", joined(comparison(parts))) for name, parts in INSIDE[kind]])
    flags = st.builds(
        lambda operator, value: f"active {operator} {value}", st.sampled_from(["eq", "ne"]), st.sampled_from(["true", "false"])
    )
    leaves = [comparison(SPACE[kind]), instants, nulls, present, inside, *([] if kind == "Group" else [flags])]
    return joined(st.one_of(*leaves))


def resources(directory: Directory, kind: str) -> list[Resource[Any]]:
    """All there are, with all there is to tell of them; an empty array is no value (RFC 7643 §2.5)."""
    chosen = KINDS[kind]

    def work(act: Any) -> list[Any]:
        act.only_judged_by_what_is_shown()
        return tell(act.session, chosen, act.session.query(chosen.table).all(), Places(), RELATED)

    return [chosen.model.model_validate({name: value for name, value in one.items() if value != []}) for one in directory.look(work)]


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_database_finds_what_the_library_finds(filled: Directory, kind: str) -> None:
    everything = resources(filled, kind)
    found_some = []

    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
    @given(filters(kind))
    def same(text: str) -> None:
        bound = ScimFilter.__class_getitem__(KINDS[kind].model)(text)
        expected = sorted(str(one.id) for one in everything if bound.match(one))
        assert sorted(filled.found(kind, filter=text)) == expected
        found_some.append(0 < len(expected) < len(everything))

    same()
    assert any(found_some)


@pytest.mark.parametrize(
    ("kind", "text", "ids"),
    [
        ("User", 'userName eq "ann0@example.com"', ["u0"]),
        ("User", "username EQ ann0@example.com", ["u0"]),
        ("User", 'userName eq "ANN0@example.com"', []),
        ("User", 'emails eq "ann@work.EXAMPLE"', ["u0", "u2", "u4", "u6", "u8", "u10"]),
        ("User", 'emails[type eq "home" and value ew ".example"]', ["u0", "u4", "u8"]),
        ("User", 'userName co "%"', ["u8", "u9"]),
        ("User", 'userName sw "x_"', []),
        ("User", "emails.primary eq false", ["u0", "u4", "u8"]),
        ("User", 'groups.value eq "g4" and not (groups.value eq "g2")', ["u2", "u3"]),
        ("Group", "displayName eq 3", []),
        ("Group", 'displayName eq "team 3"', ["g3"]),
        ("Group", 'id eq "g4" and members eq "u3"', ["g4"]),
        ("Group", 'not (externalId eq "ext-1")', ["g0", "g2", "g3", "g4"]),
        ("Group", "externalId eq null", ["g0"]),
        ("Group", 'meta.resourceType eq "Group" and members ne "u0"', ["g0"]),
        ("ServiceAccount", "active eq true", ["s1", "s3"]),
        ("ServiceAccount", "description pr", ["s1", "s2"]),
        ("ServiceAccount", 'groups.display eq "team 2"', ["s0", "s1"]),
    ],
)
def test_filters_find(filled: Directory, kind: str, text: str, ids: list[str]) -> None:
    assert filled.found(kind, filter=text) == ids


@pytest.mark.parametrize(
    "text",
    [
        "userName",
        "userName eq",
        "userName is ann",
        'userName eq "a" or',
        '(userName eq "a"',
        'shoeSize eq "44"',
        'name eq "Ann"',
        "active gt true",
        'active eq "maybe"',
        'active co "t"',
        "externalId eq 5",
        'meta.created co "2023"',
        'meta.created eq "yesterday"',
        "meta.created eq 1e999",
        'meta.version eq "1"',
        'name[givenName eq "a"]',
        'emails[shoeSize eq "44"]',
        'roles[type eq "account_type"]',
        'schemas eq "urn"',
        'userName eq "a\\u0000b"',
        'userName eq "\\ud800"',
        "(" * 5_000 + 'userName eq "a"',
        "not " * 500 + "(userName pr)",
        " or ".join(["userName pr"] * 1_000),
    ],
)
def test_what_cannot_be_asked_is_refused(text: str) -> None:
    kind = KINDS["User"]
    with pytest.raises(InvalidScim) as refused:
        condition(Searchable(kind.model, kind.columns, kind.several), text)
    assert refused.value.scim_type == "invalidFilter"


def test_long_chains_are_answered(filled: Directory) -> None:
    chain = " or ".join(f'userName eq "ann{number}@example.com"' for number in range(90))
    assert filled.found("User", filter=chain) == ["u0", "u1"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("userName eq ann@example.com", 'userName eq "ann@example.com"'),
        ("  displayName  eq  a\\b ", 'displayName eq "a\\\\b"'),
        ("name eq true", 'name eq "true"'),
        ('name eq "x"', 'name eq "x"'),
        ("name eq a b", "name eq a b"),
        ("active eq true", "active eq true"),
        ("name eq (x)", "name eq (x)"),
    ],
)
def test_tectons_filters_are_given_their_quotes(text: str, expected: str) -> None:
    assert quoted(text) == expected


def test_the_library_still_refuses_by_its_own_exceptions() -> None:
    """What `condition` catches."""
    with pytest.raises(SCIMException):
        ScimFilter("userName eq")
