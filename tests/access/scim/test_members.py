"""Who is meant by a member, and what each is called."""

from typing import Any

import pytest

from gateway.errors import InvalidScim
from tests.access.scim.directories import Directory


@pytest.fixture
def group(directory: Directory) -> Directory:
    directory.make("User", "u", userName="u@example.com")
    directory.make("ServiceAccount", "s", name="program")
    directory.make("Group", "g", displayName="g")
    return directory


def members(directory: Directory) -> Any:
    return directory.show("Group", "g")["members"]


@pytest.mark.parametrize(
    "said",
    [
        {"value": "u"},
        {"value": "u", "type": "user"},
        {"value": "u", "$ref": "../ServiceAccounts/u", "type": "User"},
        {"$ref": "https://elsewhere.example/api/scim/v2/Users/u"},
        {"value": "u", "$ref": "/Users/u"},
    ],
)
def test_a_user_is_meant(group: Directory, said: dict[str, str]) -> None:
    group.put("Group", "g", displayName="g", members=[said])
    assert members(group) == [{"type": "User", "display": "u@example.com", "value": "u", "$ref": "/api/scim/v2/Users/u"}]


@pytest.mark.parametrize(
    "said",
    [
        {"value": "g"},
        {"value": "u", "type": "ServiceAccount"},
        {"value": "u", "$ref": "/ServiceAccounts/u"},
        {"value": "u\0"},
        {"display": "u"},
    ],
)
def test_nobody_is_meant(group: Directory, said: dict[str, str]) -> None:
    with pytest.raises(InvalidScim, match="members"):
        group.put("Group", "g", displayName="g", members=[said])


def test_who_stays_is_called_as_before_and_a_name_of_its_own_follows(group: Directory) -> None:
    group.put("Group", "g", displayName="g", members=[{"value": "u", "display": "Ursula"}, {"value": "s"}])
    group.put("User", "u", userName="renamed@example.com")
    group.put("ServiceAccount", "s", name="renamed")
    group.patch("Group", "g", {"op": "add", "path": "externalId", "value": "x"})
    group.put("Group", "g", displayName="g", members=[{"value": "u", "display": "Other"}, {"value": "s", "display": "Other"}])
    assert [one["display"] for one in members(group)] == ["renamed", "Ursula"]
    assert group.show("ServiceAccount", "s")["groups"] == [
        {"type": "direct", "display": "g", "value": "g", "$ref": "/api/scim/v2/Groups/g"},
    ]
