"""What is written of each kind is what is told of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.accounts import MOST_DESCRIPTION, MOST_NAME, is_name
from gateway.access.principals import Principal, PrincipalKind
from gateway.access.scim.kinds import Told
from gateway.access.scim.resources import GROUP_EXTENSION
from gateway.access.scim.texts import KIND_LENGTH, NAME_LENGTH
from gateway.errors import InvalidScim
from tests.access.scim.directories import KINDS

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)
MAYBE = st.none() | NAMES


def written(kind: str, said: dict[str, Any]) -> Told:
    chosen = KINDS[kind]
    row = chosen.make("id", None, 7)
    chosen.write(row, chosen.model.model_validate(said))
    return {name: value for name, value in chosen.tell(row).items() if value is not None and value != {}}


def there(said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value is not None and value != {}}


@given(NAMES, MAYBE, MAYBE, MAYBE, st.none() | NAMES.filter(lambda text: len(text) <= KIND_LENGTH), st.none() | st.booleans())
def test_users(name: str, given_name: str | None, family: str | None, email: str | None, kind: str | None, primary: bool | None) -> None:  # noqa: FBT001 - drawn
    said = {
        "userName": name,
        "name": there({"familyName": family, "givenName": given_name}),
        "emails": None if email is None else [there({"type": kind, "primary": primary, "value": email})],
    }
    assert written("User", said) == there(said) | {"active": True}


@given(NAMES, MAYBE, st.lists(NAMES, max_size=4))
def test_groups(name: str, description: str | None, names: list[str]) -> None:
    said = {"displayName": name, GROUP_EXTENSION: there({"description": description, "idpMappingNames": names or None})}
    assert written("Group", said) == there(said)


@given(NAMES.filter(is_name), MAYBE, st.none() | st.booleans())
def test_service_accounts(name: str, description: str | None, active: bool | None) -> None:  # noqa: FBT001 - drawn
    said = {"name": name, "description": description, "active": active}
    assert written("ServiceAccount", said) == there(said) | {"active": active is not False}


@pytest.mark.parametrize(
    ("identity", "named"),
    [("2819c223-7f76", "2819c223-7f76"), ("ann lee", "?"), ("é", "?"), ("x" * 65, "?"), ("", "?"), ("a\u2028b", "?")],
)
def test_what_could_be_no_id_is_not_named_in_the_audit_log(identity: str, named: str) -> None:
    assert {kind.target(identity) for kind in KINDS.values()} == {f"{kind}/{named}" for kind in ("user", "group", "service_account")}


@pytest.mark.parametrize(
    ("emails", "kept"),
    [
        ([{"value": "a"}, {"value": "b", "primary": True}], "b"),
        ([{"value": "a"}, {"value": "b"}], "a"),
        ([{"type": "work"}, {"value": "b", "primary": False}], "b"),
        ([{"type": "work", "primary": True}], None),
        ([], None),
    ],
)
def test_one_email_is_kept(emails: list[dict[str, Any]], kept: str | None) -> None:
    told: Any = written("User", {"userName": "u", "emails": emails})
    assert (told["emails"][0]["value"] if kept else told.get("emails")) == kept


@pytest.mark.parametrize(
    ("kind", "said", "attribute"),
    [
        ("User", {"userName": "u", "emails": [{"value": "x", "type": "t" * (KIND_LENGTH + 1)}]}, "emails.type"),
        ("User", {"userName": "u", "name": {"givenName": "x" * (NAME_LENGTH + 1)}}, "name.givenName"),
        ("ServiceAccount", {"name": "x" * (MOST_NAME + 1)}, "name"),
        ("ServiceAccount", {"name": " \u2003"}, "name"),
        ("ServiceAccount", {"name": "one\nline"}, "name"),
        ("ServiceAccount", {"name": "s", "description": "x" * (MOST_DESCRIPTION + 1)}, "description"),
        ("Group", {"displayName": "g", GROUP_EXTENSION: {"idpMappingNames": ["a\0"]}}, "idpMappingNames"),
        ("ServiceAccount", {"name": "s", "description": "x" * 70_000}, "description"),
    ],
)
def test_what_does_not_fit_is_refused(kind: str, said: dict[str, Any], attribute: str) -> None:
    with pytest.raises(InvalidScim, match=attribute):
        written(kind, said)


def test_each_is_called_by_its_names() -> None:
    assert {kind.endpoint: kind.target("x") for kind in KINDS.values()} == {
        "Users": "user/x",
        "Groups": "group/x",
        "ServiceAccounts": "service_account/x",
    }
    made = KINDS["ServiceAccount"].make("id", Principal(PrincipalKind.USER, "u"), 7)
    assert (made.creator_kind, made.creator_id, made.created_us) == ("user", "u", 7)
