"""Bodies, and what is said of those that are none."""

import json
from typing import Any

import pytest
from scim2_models import PatchOp

from gateway.access.scim.reading import patched, read_resource
from gateway.access.scim.resources import GROUP_EXTENSION, PARAMETERS, PATCHES, USER, GroupExtension, TectonGroup, User
from gateway.errors import InvalidScim, MalformedBody
from tests.access.scim.directories import KINDS


def body(**said: Any) -> bytes:
    return json.dumps(said).encode()


def test_names_may_come_in_any_spelling_and_others_are_ignored() -> None:
    said = read_resource(
        User, body(USERNAME="u", Name={"given_name": "A", "honorificPrefix": "Dr"}, nickName="x", id="mine", meta={"a": 1})
    )
    assert (said.user_name, said.id, said.meta) == ("u", None, None)
    assert said.name is not None
    assert said.name.given_name == "A"


@pytest.mark.parametrize(
    ("sent", "scim_type", "attribute"),
    [
        (body(), "invalidValue", ""),
        (body(userName=5), "invalidValue", "userName"),
        (body(userName="u", name="secret-value"), "invalidValue", "name"),
        (body(userName="u", emails=[{"value": {"a": "secret-value"}}]), "invalidValue", "emails.value"),
        (body(userName="u", active="secret-value"), "invalidValue", "active"),
        (body(schemas=["urn:secret-value"], userName="u"), "invalidSyntax", ""),
        (b'"secret-value"', "invalidSyntax", ""),
        (b"null", "invalidSyntax", ""),
    ],
)
def test_a_refusal_names_the_attribute_and_no_value(sent: bytes, scim_type: str, attribute: str) -> None:
    with pytest.raises(InvalidScim) as refused:
        read_resource(User, sent)
    assert refused.value.scim_type == scim_type
    assert refused.value.message.startswith(attribute)
    assert "secret-value" not in refused.value.message


def test_what_is_no_json_is_malformed() -> None:
    for sent in (b"", b"{", b"\xff", b'{"userName": "\\ud800"}', b"[" * 100):
        with pytest.raises(MalformedBody):
            read_resource(User, sent)
        with pytest.raises(MalformedBody):
            patched(User(user_name="u"), sent)


@pytest.mark.parametrize(
    ("operation", "scim_type"),
    [
        ({"op": "secret-value"}, "invalidValue"),
        ({"op": "add", "path": "secret-value[", "value": 1}, "invalidPath"),
        ({"op": "replace", "path": "active", "value": "secret-value"}, "invalidValue"),
        ({"op": "replace", "path": 'emails[type eq "secret-value" or type pr].value', "value": "x"}, "noTarget"),
        ({"op": "replace", "path": "meta", "value": {"version": "secret-value"}}, "mutability"),
        ({"op": "replace", "path": "groups", "value": []}, "mutability"),
        ("secret-value", "invalidValue"),
    ],
)
def test_an_operation_that_cannot_be_done_is_refused_without_being_quoted(operation: Any, scim_type: str) -> None:
    before = User(user_name="u")
    with pytest.raises(InvalidScim) as refused:
        patched(before, body(Operations=[operation]))
    assert refused.value.scim_type == scim_type
    assert "secret-value" not in refused.value.message
    assert before.user_name == "u"


def test_an_extension_that_is_taken_away_is_empty() -> None:
    group = TectonGroup.model_validate({"displayName": "g", GROUP_EXTENSION: {"description": "d"}})
    assert patched(group, body(Operations=[{"op": "remove", "path": GROUP_EXTENSION}]))[GroupExtension] == GroupExtension()
    other = TectonGroup.model_validate({"displayName": "g", GROUP_EXTENSION: {"description": "d", "idpMappingNames": ["i"]}})
    named = patched(other, body(Operations=[{"op": "remove", "path": f"{GROUP_EXTENSION}:description"}]))
    assert named[GroupExtension] == GroupExtension(idp_mapping_names=["i"])
    assert USER not in named.schemas


def test_every_kind_has_its_messages_and_they_stay() -> None:
    assert set(PATCHES) == set(PARAMETERS) == {kind.model for kind in KINDS.values()}
    assert all(PATCHES[model] is PatchOp.__class_getitem__(model) for model in PATCHES)


ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


def test_an_extension_that_is_not_kept_is_no_hindrance() -> None:
    said = read_resource(User, body(schemas=[USER, ENTERPRISE], userName="u", password="x", **{ENTERPRISE: {"department": "ML"}}))
    assert said.user_name == "u"
    operations = [
        {"op": "Add", "path": f"{ENTERPRISE}:department", "value": "ML"},
        {"op": "replace", "value": {"displayName": "U", f"{ENTERPRISE}:manager": {"value": "x"}, "name.familyName": "Lee"}},
    ]
    named = patched(User(user_name="u"), body(Operations=operations))
    assert named.name is not None
    assert named.name.family_name == "Lee"
    assert named.user_name == "u"
