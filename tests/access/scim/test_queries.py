"""Pages, order and attributes, as both databases answer them."""

from typing import Any

import pytest
from sqlalchemy import event

from gateway.access.scim.queries import MOST, Page, sought
from gateway.access.store.tables import User
from gateway.errors import InvalidScim
from tests.access.scim.directories import Directory


def names(filled: Directory, kind: str, attribute: str, **query: object) -> list[Any]:
    told: Any = filled.find(kind, **query)["Resources"]
    return [one.get(attribute) for one in told]


def test_without_an_order_it_is_the_one_they_were_made_in(filled: Directory) -> None:
    assert filled.found("Group") == ["g0", "g1", "g2", "g3", "g4"]
    assert filled.found("Group", sortOrder="descending") == ["g4", "g3", "g2", "g1", "g0"]


def test_what_has_no_value_comes_last_and_first_when_turned_round(filled: Directory) -> None:
    assert names(filled, "Group", "externalId", sortBy="externalId") == ["ext-1", "ext-2", "ext-3", "ext-4", None]
    assert names(filled, "Group", "externalId", sortBy="externalId", sortOrder="Descending") == [None, "ext-4", "ext-3", "ext-2", "ext-1"]
    sorted_by_email = filled.found("User", sortBy="emails")
    assert sorted_by_email[:6] == sorted(sorted_by_email[:6])
    assert names(filled, "User", "userName", sortBy="urn:ietf:params:scim:schemas:core:2.0:User:userName", count="2") == [
        "10@example.com",
        "11@example.com",
    ]


@pytest.mark.parametrize(("start", "count"), [(1, 3), (4, 3), (12, 5), (13, 5), (10**15, 1), (0, 0), (-7, 2)])
def test_pages_are_parts_of_the_whole(filled: Directory, start: int, count: int) -> None:
    whole = filled.found("User", sortBy="userName")
    page = filled.find("User", sortBy="userName", startIndex=str(start), count=str(count))
    first = max(1, start) - 1
    resources: Any = page["Resources"]
    assert [one["id"] for one in resources] == whole[first : first + count]
    assert (page["totalResults"], page["itemsPerPage"]) == (len(whole), len(whole[first : first + count]))


def test_all_kinds_are_one_list(filled: Directory) -> None:
    every = ["User", "Group", "ServiceAccount"]
    whole: Any = filled.find(*every)
    assert whole["totalResults"] == 12 + 5 + 4
    ids = [one["id"] for one in whole["Resources"]]
    assert ids == [*filled.found("User"), *filled.found("Group"), *filled.found("ServiceAccount")]
    part: Any = filled.find(*every, startIndex=11, count=8)
    assert [one["id"] for one in part["Resources"]] == ids[10:18]
    named: Any = filled.find(*every, filter='displayName sw "team"', sortBy="displayName", sortOrder="descending")
    assert [one["id"] for one in named["Resources"]] == ["g4", "g3", "g2", "g1", "g0"]
    assert filled.find(*every, filter='not (externalId pr) and meta.resourceType eq "Group"')["totalResults"] == 1
    with pytest.raises(InvalidScim):
        filled.find(*every, filter="shoeSize pr")


def test_items_leave_out_what_is_not_asked_for(filled: Directory) -> None:
    plain: Any = filled.find("Group", filter='id eq "g2"')["Resources"]
    assert plain[0].keys() == {"schemas", "id", "externalId", "displayName", "meta"}
    asked: Any = filled.find("Group", filter='id eq "g2"', attributes=["members.value", "displayname"])["Resources"]
    assert asked == [
        {
            "schemas": plain[0]["schemas"],
            "id": "g2",
            "displayName": "team 2",
            "members": [{"value": "s0"}, {"value": "s1"}, {"value": "u0"}, {"value": "u1"}],
        }
    ]
    left: Any = filled.find("Group", filter='id eq "g2"', excludedAttributes="meta.created,members,displayName")["Resources"]
    assert left[0].keys() == {"schemas", "id", "externalId", "meta"}
    assert "created" not in left[0]["meta"]


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ({}, Page(1, None)),
        ({"startIndex": "", "count": ""}, Page(1, None)),
        ({"startIndex": 3, "count": 0}, Page(3, 0)),
        ({"startIndex": "-3", "count": "-1"}, Page(1, 0)),
    ],
)
def test_pages_are_read(query: dict[str, object], page: Page) -> None:
    assert sought(query).page == page


def test_a_number_may_be_as_long_as_it_likes() -> None:
    page = sought({"startIndex": "9" * 5_000, "count": "9" * 5_000}).page
    assert page.count is not None
    assert page.count > MOST
    assert page.start < 2**63


@pytest.mark.parametrize("name", ["startIndex", "count"])
@pytest.mark.parametrize("value", ["x", "1.0", "--1", "-", "\u0661", True, 1.5, [], {}])
def test_a_page_that_is_none_is_refused(name: str, value: object) -> None:
    with pytest.raises(InvalidScim, match=name):
        sought({name: value})


@pytest.mark.parametrize("name", ["filter", "sortBy", "sortOrder"])
def test_what_must_be_text_is_refused_otherwise(name: str) -> None:
    with pytest.raises(InvalidScim, match=name):
        sought({name: 7})
    assert sought({name: None, "unheard-of": 1}) == sought({name: None, "unheard-of": 1})


def test_only_what_is_shown_is_read(filled: Directory) -> None:
    """However many there are: the database looks, sorts and counts."""
    read: list[object] = []

    def loaded(row: object, _context: object) -> None:
        read.append(row)

    event.listen(User, "load", loaded)
    try:
        assert filled.find("User", filter='userName co "@"', sortBy="name.familyName", startIndex="3", count="2")["totalResults"] == 12
        assert len(read) == 2
        assert filled.find("User", count="0")["totalResults"] == 12
        assert len(read) == 2
    finally:
        event.remove(User, "load", loaded)
