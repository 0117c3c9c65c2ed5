"""What SCIM tells of a user, a group and a service account (contract §7): the models that requests are read with and schemas made from.

Only what the store keeps is here; what else an identity provider sends is taken and ignored. Names compare exactly: they are unique so.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Union

from pydantic import Field
from scim2_models import (
    URN,
    AnyExtension,
    CaseExact,
    ComplexAttribute,
    Extension,
    Mutability,
    PatchOp,
    Reference,
    Required,
    Resource,
    ResponseParameters,
    ScimPolicy,
    Uniqueness,
)

from gateway.access.roles import WorkspaceRole

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
GROUP_EXTENSION = "urn:ietf:params:scim:schemas:extension:tecton:1.0:Group"
SERVICE_ACCOUNT = "urn:ietf:params:scim:schemas:tecton:1.0:ServiceAccount"

LENIENT = ScimPolicy(
    unknown=ScimPolicy.Unknown.ignore,
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
)
"""What identity providers send in spite of RFC 7644 (Entra above all), where it can only mean one thing."""

_Text = Annotated[str | None, CaseExact.true]
_Told = Annotated[str | None, CaseExact.true, Mutability.read_only]
_Set = Annotated[str | None, CaseExact.true, Mutability.immutable]


class Name(ComplexAttribute):
    family_name: _Text = None
    """The family name."""

    given_name: _Text = None
    """The given name."""


class Email(ComplexAttribute):
    type: _Text = Field(None, examples=["work", "home", "other"])
    """What it is for."""

    primary: bool | None = None
    """Whether it is the one that is kept."""

    value: str | None = None
    """The address."""


class Role(ComplexAttribute):
    type: _Text = Field(None, examples=["all_workspaces"])
    """Where it holds: `account_type`, `all_workspaces`, `workspace_<name>` or `secret_scope_<name>`."""

    value: _Text = Field(None, examples=[one.value for one in WorkspaceRole])
    """Which: `admin` for `account_type`; `owner`, `editor`, `consumer`, `operator` or `viewer` for workspaces; `secret_scope_manager`,
    `secret_scope_writer` or `secret_scope_reader` for secret scopes. null: none."""


class Member(ComplexAttribute):
    type: _Set = Field(None, examples=["User", "ServiceAccount"])
    """What it is. Left out: whichever of them has this id."""

    display: _Set = None
    """A name for people. Left out: the member's own."""

    value: _Set = None
    """The id of the user or service account."""

    ref: Annotated[Reference[Union["User", "ServiceAccount"]] | None, Mutability.immutable] = Field(
        None, serialization_alias="$ref", validation_alias="$ref"
    )
    """Where it is told of."""


class GroupRef(ComplexAttribute):
    type: _Told = Field(None, examples=["direct"])
    """How the membership came about."""

    display: _Told = None
    """The group's name."""

    value: _Told = None
    """The group's id."""

    ref: Annotated[Reference["Group"] | None, Mutability.read_only] = Field(  # type: ignore[type-arg]
        None, serialization_alias="$ref", validation_alias="$ref"
    )
    """Where the group is told of."""


class GroupExtension(Extension):
    """What Tecton adds to a group."""

    __schema__ = URN(GROUP_EXTENSION)

    description: _Text = None
    """What the group is for."""

    idp_mapping_names: Annotated[list[str] | None, CaseExact.true] = None
    """What identity providers call the group."""


class User(Resource[Any]):
    """A person. One that is not active is not kept."""

    __schema__ = URN(USER)

    user_name: Annotated[str | None, Required.true, CaseExact.true, Uniqueness.server] = None
    """The address by which the person is known. It is unique."""

    name: Name | None = None
    """The person's name."""

    active: bool | None = None
    """Always true: a user that is set to false by PUT or PATCH is deleted."""

    emails: list[Email] | None = None
    """The person's address. One is kept: the primary one, or the first."""

    roles: list[Role] | None = None
    """The roles that are given to the user directly."""

    groups: Annotated[list[GroupRef] | None, Mutability.read_only] = None
    """The groups that the user is a member of, which are changed at the groups."""


class Group(Resource[AnyExtension]):
    """Users and service accounts that hold roles together."""

    __schema__ = URN(GROUP)

    display_name: Annotated[str | None, Required.true, CaseExact.true, Uniqueness.server] = None
    """The group's name. It is unique."""

    members: list[Member] | None = None
    """The users and service accounts that belong to the group."""

    roles: list[Role] | None = None
    """The roles that are given to the group, and so to each of its members."""


class ServiceAccount(Resource[Any]):
    """A program that calls."""

    __schema__ = URN(SERVICE_ACCOUNT)

    name: Annotated[str | None, Required.true, CaseExact.true, Uniqueness.server] = None
    """The service account's name. It is unique, and can be changed."""

    active: bool | None = None
    """Whether its credentials are taken. While they are not, its roles and memberships are kept. Left out: true."""

    description: _Text = None
    """What it is for."""

    api_key: _Told = None
    """Its API key. Told once, where it is created."""

    roles: list[Role] | None = None
    """The roles that are given to the service account directly."""

    groups: Annotated[list[GroupRef] | None, Mutability.read_only] = None
    """The groups that it is a member of, which are changed at the groups."""


TectonGroup = Group[GroupExtension]

MODELS: Sequence[type[Resource[Any]]] = (User, TectonGroup, ServiceAccount)


def _made_of(generic: Any) -> Mapping[type[Resource[Any]], Any]:
    """The library's message for each of the resources. Whole lines: it reads its caller's source for comments on attributes."""
    return MappingProxyType({model: generic[model] for model in MODELS})


PATCHES: "Mapping[type[Resource[Any]], type[PatchOp[Any]]]" = _made_of(PatchOp)
PARAMETERS: Mapping[type[Resource[Any]], type[ResponseParameters[Any]]] = _made_of(ResponseParameters)
"""Kept here: the library makes one in some 10 ms, and forgets one that nobody holds."""
