"""The short way and the long one end in the same group."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from gateway.access.scim.member_steps import member_steps
from gateway.errors import InvalidScim
from tests.access.scim.directories import Directory

PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
LONG = {"op": "replace", "path": "externalId", "value": "the long way"}
SHORT: Sequence[Sequence[Mapping[str, Any]]] = [
    [{"op": "add", "path": "members", "value": [{"value": "u1"}, {"value": "s0"}]}],
    [{"op": "Add", "path": "Members", "value": [{"$ref": None, "value": "u1", "display": "One", "type": "user"}]}],
    [{"op": "add", "path": "members", "value": [{"value": "u0", "display": "Other"}, {"value": "u1"}, {"value": "u1"}]}],
    [{"op": "remove", "path": 'members[value eq "u0"]'}],
    [{"op": "Remove", "path": "members", "value": [{"value": "u0"}, {"value": "nobody"}]}],
    [{"op": "remove", "path": 'members[value eq "nobody"]'}],
    [{"op": "remove", "path": 'members[value eq "u0"]'}, {"op": "add", "path": "members", "value": [{"value": "u0"}]}],
    [{"op": "add", "path": "members", "value": [{"value": "u1"}]}, {"op": "remove", "path": "members", "value": [{"value": "u1"}]}],
]


@pytest.fixture
def group(directory: Directory) -> Directory:
    for name in ("u0", "u1", "u2"):
        directory.make("User", name, userName=name)
    directory.make("ServiceAccount", "s0", name="s0")
    for name in ("short", "long"):
        directory.make("Group", name, displayName=name, members=[{"value": "u0", "display": "Zero"}, {"value": "u2"}])
    return directory


@pytest.mark.parametrize("operations", SHORT)
def test_both_ways_end_in_the_same(group: Directory, operations: Sequence[Mapping[str, Any]]) -> None:
    assert member_steps({"schemas": [PATCH], "Operations": list(operations)}) is not None
    assert member_steps({"Operations": [*operations, LONG]}) is None
    short = group.patch("Group", "short", *operations)["members"]
    long = group.patch("Group", "long", *operations, LONG)["members"]
    if len(operations) == 1:
        assert short == long
    else:
        assert [one["value"] for one in sorted_members(short)] == [one["value"] for one in sorted_members(long)]


def sorted_members(told: object) -> list[dict[str, str]]:
    assert isinstance(told, list)
    return sorted(told, key=lambda one: str(one["value"]))


@pytest.mark.parametrize(
    "value", [[{"value": "nobody"}], [{"value": "u1", "type": "Group"}], [{"value": "u1", "type": "ServiceAccount"}], [{"value": "a\0"}]]
)
def test_who_is_not_there_does_not_join(group: Directory, value: list[dict[str, str]]) -> None:
    before = group.show("Group", "short")
    for more in ((), (LONG,)):
        with pytest.raises(InvalidScim, match="members"):
            group.patch(
                "Group",
                "short",
                {"op": "remove", "path": 'members[value eq "u0"]'},
                {"op": "add", "path": "members", "value": value},
                *more,
            )
    assert group.show("Group", "short") == before


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"Operations": []},
        {"Operations": "x"},
        {"Operations": [7]},
        {"schemas": ["urn:other"], "Operations": SHORT[0]},
        {"schemas": 7, "Operations": SHORT[0]},
        {"schemas": PATCH, "Operations": SHORT[0]},
        {"Operations": SHORT[0], "more": 1},
        {"Operations": [{"op": "replace", "path": "members", "value": [{"value": "u1"}]}]},
        {"Operations": [{"op": "add", "path": "members", "value": {"value": "u1"}}]},
        {"Operations": [{"op": "add", "path": "members", "value": []}]},
        {"Operations": [{"op": "add", "path": "members", "value": [{"value": 1}]}]},
        {"Operations": [{"op": "add", "path": "members", "value": [{"display": "u1"}]}]},
        {"Operations": [{"op": "add", "path": 'members[value eq "u1"]', "value": [{"value": "u1"}]}]},
        {"Operations": [{"op": "remove", "path": "members"}]},
        {"Operations": [{"op": "remove", "path": "members", "value": [{"value": "u0", "type": "User"}]}]},
        {"Operations": [{"op": "remove", "path": 'members[value sw "u"]'}]},
        {"Operations": [{"op": "remove", "path": 'members[value eq "\\u0041"]'}]},
        {"Operations": [{"op": "add", "value": {"members": [{"value": "u1"}]}}]},
    ],
)
def test_everything_else_goes_the_long_way(body: object) -> None:
    assert member_steps(body) is None
