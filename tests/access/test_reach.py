"""What a credential opens is what `may` says, for every workspace there could be."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from gateway.access.reach import Reach, opens, reach_of
from gateway.access.roles import EVERYTHING, NOBODY, Action, Standing, Workspace, WorkspaceRole, including, may
from tests.access.holdings import account

NAMES = ("prod", "live", "", "PROD", "a/b")
ROLES = st.frozensets(st.sampled_from(WorkspaceRole)).map(including)
STANDINGS = st.builds(
    Standing, st.just(account("ada")), st.booleans(), ROLES, st.dictionaries(st.sampled_from([*NAMES, "*"]), ROLES), st.just({})
)
PLACES: Mapping[str, Action] = {
    "read": Action.READ_FEATURES,
    "ingest": Action.INGEST,
    "dry_run": Action.INGEST_DRY_RUN,
    "purge": Action.PURGE,
}


@given(STANDINGS)
def test_it_is_what_may_says(standing: Standing) -> None:
    reach = reach_of(standing)
    for name, action in PLACES.items():
        for workspace in (*NAMES, "one that nobody has heard of"):
            assert opens(getattr(reach, name), workspace) == may(standing, action, Workspace(workspace))
        assert opens(getattr(reach, name), "*") == may(standing, action, EVERYTHING)
    assert reach.metrics == may(standing, Action.READ_METRICS, EVERYTHING)
    assert reach.console == may(standing, Action.VIEW_CONSOLE, EVERYTHING)


def test_nobody_reaches_anything() -> None:
    assert reach_of(NOBODY) == Reach()


def test_a_role_in_a_workspace_that_is_called_like_all_of_them_does_not_open_all_of_them() -> None:
    standing = Standing(account("ada"), workspaces={"*": including([WorkspaceRole.OWNER]), "prod": including([WorkspaceRole.CONSUMER])})
    assert reach_of(standing).read == {"prod"}
