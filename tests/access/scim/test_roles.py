"""Roles in SCIM's spelling and in the table's are the same, both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.roles import ScopeRole, WorkspaceRole
from gateway.access.scim.resources import Role
from gateway.access.scim.roles import assigned, spelled
from gateway.access.standings import ACCOUNT_TYPE, ALL_WORKSPACES, SECRET_SCOPE, WORKSPACE
from gateway.access.store.tables import SecretScope
from gateway.errors import InvalidScim
from tests.access.scim.directories import Directory

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=200)
ASSIGNED = st.one_of(
    st.just((ACCOUNT_TYPE, "", "admin")),
    st.tuples(st.just(ALL_WORKSPACES), st.just(""), st.sampled_from([one.value for one in WorkspaceRole])),
    st.tuples(st.just(WORKSPACE), NAMES, st.sampled_from([one.value for one in WorkspaceRole])),
    st.tuples(st.just(SECRET_SCOPE), NAMES, st.sampled_from([one.value for one in ScopeRole])),
)


@given(st.sets(ASSIGNED, max_size=8))
def test_what_is_spelled_is_read_as_it_was(held: set[tuple[str, str, str]]) -> None:
    assert assigned(Role(**spelled(one)) for one in held) == held


def test_null_takes_a_role_and_needs_a_place_all_the_same() -> None:
    given_roles = [Role(type="workspace_a", value="owner"), Role(type="workspace_b", value=None), Role(type="workspace_a", value="owner")]
    assert assigned(given_roles) == {(WORKSPACE, "a", "owner")}
    with pytest.raises(InvalidScim, match=r"roles\.type"):
        assigned([Role(type="elsewhere", value=None)])


def test_a_scope_must_be_there(directory: Directory) -> None:
    reader = [{"type": "secret_scope_etl", "value": "secret_scope_reader"}]
    with pytest.raises(InvalidScim, match="secret scope"):
        directory.make("User", "u", userName="u", roles=reader)
    directory.database.transact(lambda session: session.add(SecretScope(name="etl", manifest=b"", created_us=0)))
    assert directory.make("User", "u", userName="u", roles=reader)["roles"] == reader
