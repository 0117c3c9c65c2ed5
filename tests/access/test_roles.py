"""Who may do what: the whole table, and what must hold of any such table."""

from collections.abc import Mapping
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.principals import Principal, PrincipalKind
from gateway.access.roles import (
    EVERYTHING,
    INCLUDES,
    NOBODY,
    SCOPE_INCLUDES,
    SHELL,
    Account,
    Action,
    Resource,
    Scope,
    ScopeRole,
    Standing,
    Workspace,
    WorkspaceRole,
    including,
    including_scopes,
    may,
)

ME, OTHER = (Principal(PrincipalKind.SERVICE_ACCOUNT, name) for name in ("me", "other"))
PROD, LIVE, ETL = Workspace("prod"), Workspace("live"), Scope("etl")
MY_CREATION, MYSELF, ANOTHERS = Account("made", OTHER, ME), Account("me", ME, OTHER), Account("other", OTHER)
RESOURCES: Mapping[str, Resource] = {
    "everything": EVERYTHING,
    "prod": PROD,
    "live": LIVE,
    "etl": ETL,
    "another scope": Scope("another"),
    "my creation": MY_CREATION,
    "myself": MYSELF,
    "another's": ANOTHERS,
}


def of_workspace(role: WorkspaceRole) -> Standing:
    return Standing(ME, workspaces={"prod": including([role])})


def of_all(role: WorkspaceRole) -> Standing:
    return Standing(ME, everywhere=including([role]))


def of_scope(role: ScopeRole) -> Standing:
    return Standing(ME, scopes={"etl": including_scopes([role])})


STANDINGS: Mapping[str, Standing] = {
    "nobody": NOBODY,
    "without roles": Standing(ME),
    "admin": Standing(ME, admin=True),
    "shell": SHELL,
    **{role.value: of_all(role) for role in WorkspaceRole},
    **{f"prod={role}": of_workspace(role) for role in WorkspaceRole},
    **{role.value.removeprefix("secret_scope_"): of_scope(role) for role in ScopeRole},
}

A = Action
OWN = {(A.VIEW_ACCOUNT, "my creation"), (A.MANAGE_ACCOUNT, "my creation"), (A.VIEW_ACCOUNT, "myself")}
"""What everybody may who is somebody."""
DESCRIBED = ("prod", "live", "everything")


def at(places: tuple[str, ...], *actions: Action) -> set[tuple[Action, str]]:
    return {(action, place) for action in actions for place in places}


VIEWER = at(DESCRIBED, A.INGEST_DRY_RUN) | at(("everything",), A.READ_METRICS, A.VIEW_CONSOLE)
CONSUMER = VIEWER | at(DESCRIBED, A.READ_FEATURES, A.DESCRIBE_SERVICE)
OPERATOR = VIEWER | at(DESCRIBED, A.PURGE)
EDITOR = CONSUMER | OPERATOR | at(DESCRIBED, A.INGEST) | at(("everything",), A.CREATE_SCOPE)
OWNER = EDITOR | at(DESCRIBED, A.ASSIGN_WORKSPACE_ROLES) | at(("everything",), A.CREATE_ACCOUNT)
SCOPES = ("etl", "another scope")
ADMIN = (
    OWNER
    | at(("everything",), A.READ_AUDIT, A.MANAGE_DIRECTORY, A.ROTATE_KEK)
    | at(SCOPES, A.VIEW_SCOPE, A.DELETE_SCOPE, A.ASSIGN_SCOPE_ROLES)
    | at(("my creation", "myself", "another's"), A.VIEW_ACCOUNT, A.MANAGE_ACCOUNT)
)
SECRET_READER = at(("etl",), A.VIEW_SCOPE, A.LIST_SECRETS, A.READ_SECRET)
SECRET_WRITER = SECRET_READER | at(("etl",), A.WRITE_SECRET, A.DELETE_SECRET)
MADE_ANYWHERE = {A.CREATE_SCOPE, A.CREATE_ACCOUNT}


def in_prod(everywhere: set[tuple[Action, str]]) -> set[tuple[Action, str]]:
    """What is left of a role where it is held in one workspace alone."""
    return {(action, place) for action, place in everywhere if place == "prod" or action in MADE_ANYWHERE}


ALLOWED: Mapping[str, set[tuple[Action, str]]] = {
    "nobody": set(),
    "without roles": OWN,
    "admin": ADMIN | OWN,
    "shell": ADMIN,
    "viewer": VIEWER | OWN,
    "consumer": CONSUMER | OWN,
    "operator": OPERATOR | OWN,
    "editor": EDITOR | OWN,
    "owner": OWNER | OWN,
    "prod=viewer": in_prod(VIEWER) | OWN,
    "prod=consumer": in_prod(CONSUMER) | OWN,
    "prod=operator": in_prod(OPERATOR) | OWN,
    "prod=editor": in_prod(EDITOR) | OWN,
    "prod=owner": in_prod(OWNER) | OWN,
    "reader": SECRET_READER | OWN,
    "writer": SECRET_WRITER | OWN,
    "manager": SECRET_WRITER | at(("etl",), A.DELETE_SCOPE, A.ASSIGN_SCOPE_ROLES) | OWN,
}


@pytest.mark.parametrize("who", STANDINGS)
def test_what_the_table_allows_and_nothing_else(who: str) -> None:
    allowed = {(action, name) for action in Action for name, resource in RESOURCES.items() if may(STANDINGS[who], action, resource)}
    assert allowed == ALLOWED[who]


def test_every_action_is_somebodys() -> None:
    assert {action for allowed in ALLOWED.values() for action, _ in allowed} == set(Action)


@pytest.mark.parametrize("higher", WorkspaceRole)
@pytest.mark.parametrize("lower", WorkspaceRole)
def test_a_role_that_includes_another_allows_all_that_it_does(higher: WorkspaceRole, lower: WorkspaceRole) -> None:
    assert (lower in INCLUDES[higher]) == (ALLOWED[lower] <= ALLOWED[higher])


def test_inclusion_is_a_partial_order() -> None:
    everything: list[Mapping[str, frozenset[str]]] = [
        {role: frozenset(below) for role, below in INCLUDES.items()},
        {role: frozenset(below) for role, below in SCOPE_INCLUDES.items()},
    ]
    for table in everything:
        for role, below in table.items():
            assert role in below
            for one in below:
                assert table[one] <= below
                assert one == role or role not in table[one]


ROLES = st.frozensets(st.sampled_from(WorkspaceRole)).map(including)
SCOPE_ROLES = st.frozensets(st.sampled_from(ScopeRole)).map(including_scopes)
NAMES = st.sampled_from(["prod", "live", "etl", "another"])
ANY_STANDING = st.builds(
    Standing,
    st.sampled_from([None, ME]),
    st.booleans(),
    ROLES,
    st.dictionaries(NAMES, ROLES),
    st.dictionaries(NAMES, SCOPE_ROLES),
)


def together(one: Standing, other: Standing) -> Standing:
    return Standing(
        one.principal,
        one.admin or other.admin,
        one.everywhere | other.everywhere,
        merged(one.workspaces, other.workspaces),
        merged(one.scopes, other.scopes),
    )


R = TypeVar("R", WorkspaceRole, ScopeRole)


def merged(one: Mapping[str, frozenset[R]], other: Mapping[str, frozenset[R]]) -> Mapping[str, frozenset[R]]:
    return {name: one.get(name, frozenset()) | other.get(name, frozenset()) for name in {*one, *other}}


@given(ANY_STANDING, ANY_STANDING)
def test_more_roles_never_take_a_right_away(held: Standing, more: Standing) -> None:
    both = together(held, more)
    for action in Action:
        for resource in RESOURCES.values():
            assert not may(held, action, resource) or may(both, action, resource)


@given(ANY_STANDING)
def test_a_right_over_everything_is_one_in_every_workspace(held: Standing) -> None:
    for action in (A.READ_FEATURES, A.DESCRIBE_SERVICE, A.INGEST, A.INGEST_DRY_RUN, A.PURGE, A.ASSIGN_WORKSPACE_ROLES):
        if may(held, action, EVERYTHING):
            assert may(held, action, Workspace("one that nobody has heard of"))


@given(ANY_STANDING)
def test_a_role_in_one_place_opens_no_other(held: Standing) -> None:
    stranger = Standing(held.principal, workspaces=held.workspaces, scopes=held.scopes)
    for action in Action:
        assert not may(stranger, action, Workspace("elsewhere"))
        assert not may(stranger, action, Scope("elsewhere"))


@given(ANY_STANDING)
def test_secrets_are_read_and_written_by_role_alone(held: Standing) -> None:
    """Not even by an admin."""
    without = Standing(held.principal, held.admin, held.everywhere, held.workspaces)
    assert not [action for action in (A.LIST_SECRETS, A.READ_SECRET, A.WRITE_SECRET, A.DELETE_SECRET) if may(without, action, ETL)]
