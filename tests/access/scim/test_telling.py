"""Which attributes are shown."""

from typing import Any

import pytest
from scim2_models import Path

from gateway.access.scim.resources import GROUP_EXTENSION, USER, TectonGroup, User
from gateway.access.scim.telling import RELATED, Wanted, wanted_paths

TOLD: dict[str, Any] = {
    "schemas": ["s"],
    "id": "x",
    "userName": "u",
    "name": {"givenName": "A", "familyName": "B"},
    "emails": [{"value": "a", "type": "work"}],
    "roles": [],
    GROUP_EXTENSION: {"description": "d", "idpMappingNames": ["i"]},
}


def paths(*names: str) -> frozenset[tuple[str, ...]]:
    return wanted_paths(User, [Path[User](name) for name in names])


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["USERNAME"], {("userName",)}),
        ([f"{USER}:name.familyname"], {("name", "familyName")}),
        (["emails.value", "emails"], {("emails", "value"), ("emails",)}),
        (["shoeSize"], set()),
        ([], set()),
    ],
)
def test_paths_name_attributes(names: list[str], found: set[tuple[str, ...]]) -> None:
    assert paths(*names) == found


def test_an_extension_is_named_whole_or_in_parts() -> None:
    named = [Path[TectonGroup](name) for name in (GROUP_EXTENSION, f"{GROUP_EXTENSION}:description")]
    assert wanted_paths(TectonGroup, named) == {(GROUP_EXTENSION,), (GROUP_EXTENSION, "description")}


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        (Wanted(), TOLD),
        (Wanted(frozenset({("userName",)})), {"schemas", "id", "userName"}),
        (Wanted(frozenset({("name", "givenName")})), {"schemas", "id", "name"}),
        (Wanted(frozenset()), {"schemas", "id"}),
        (Wanted(None, frozenset({("id",), ("schemas",), ("userName",), ("roles",)})), TOLD.keys() - {"userName", "roles"}),
        (Wanted(None, frozenset({("name", "givenName"), ("name", "familyName")})), TOLD.keys() - {"name"}),
        (Wanted(None, frozenset({("emails", "value"), ("emails", "type")})), TOLD.keys() - {"emails"}),
    ],
)
def test_what_is_left(wanted: Wanted, left: Any) -> None:
    assert wanted.of(TOLD).keys() == set(left)


def test_what_is_inside_is_left_out_too() -> None:
    assert Wanted(frozenset({(GROUP_EXTENSION, "description"), ("emails", "type")})).of(TOLD) == {
        "schemas": ["s"],
        "id": "x",
        "emails": [{"type": "work"}],
        GROUP_EXTENSION: {"description": "d"},
    }


def test_only_what_is_shown_must_be_read() -> None:
    assert Wanted().related(in_list=True) == frozenset()
    assert Wanted().related(in_list=False) == RELATED
    assert Wanted(frozenset({("roles", "value"), ("userName",)})).related(in_list=True) == {"roles"}
    assert Wanted(None, frozenset({("members",)})).related(in_list=False) == {"roles", "groups"}
    assert Wanted(None, frozenset({("members", "display")})).related(in_list=False) == RELATED
