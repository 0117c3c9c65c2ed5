"""scim2-tester against the SCIM doors, over a socket."""

from pathlib import Path

import httpx
from scim2_tester import CheckResult, Status, check_server

from gateway.access.scim.resources import GROUP_EXTENSION
from tests.harness.houses import authorization
from tests.harness.offices import open_offices
from tests.harness.scim import ScimClient

APPENDED = f"{GROUP_EXTENSION}:idpMappingNames"


def appended(result: CheckResult) -> bool:
    """The tester adds a value to the names that it has added with the extension just before, and then wants it to be the only one: of what
    is added to an attribute with several values, RFC 7644 §3.5.2.1 has all the old ones stay."""
    data = result.data
    return (
        result.title == "check_add_attribute"
        and isinstance(data, dict)
        and data["urn"] == APPENDED
        and len(data["modify_actual"]) == len(data["expected"]) + 1
        and data["modify_actual"][1:] == data["expected"]
    )


def test_every_check_is_met(demo_dir: Path, tmp_path: Path) -> None:
    with (
        open_offices(demo_dir, tmp_path, ("root", "admin")) as (house, keys),
        httpx.Client(
            base_url=f"{house.url}/api/scim/v2",
            headers=authorization(keys["root"]) | {"Accept": "application/scim+json"},
            timeout=30.0,
        ) as client,
    ):
        results = check_server(ScimClient(client))
    assert {one.resource_type for one in results} == {None, "User", "Group", "ServiceAccount"}
    assert len(results) > 100
    assert [one for one in results if one.status is not Status.SUCCESS and not appended(one)] == []
    assert len([one for one in results if one.status is not Status.SUCCESS]) == 1
