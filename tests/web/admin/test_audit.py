"""`GET /v1/audit`, through the door."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.access import audit
from gateway.access.administration import Act, Administration
from gateway.access.principals import shell
from gateway.access.roles import EVERYTHING, Action
from gateway.administering import open_file
from tests.harness.houses import READER, House
from tests.harness.offices import open_offices

Offices = tuple[House, dict[str, str]]


@pytest.fixture(scope="module")
def offices(demo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Offices]:
    folder = tmp_path_factory.mktemp("access")
    database = open_file(folder)
    database.migrate()
    administration = Administration(database, wall_s=lambda: 1_767_225_600.5)

    def work(act: Act) -> None:
        act.require(Action.MANAGE_DIRECTORY, EVERYTHING)

    for name in ("one", "two", "three"):
        administration.act_at_once(shell("ada"), Action.MANAGE_DIRECTORY, f"group/{name}", work)
    database.close()
    with open_offices(demo_dir, folder, ("root", "admin"), ("owner", "owner"), ("nobody",)) as opened:
        yield opened


def test_an_admin_reads_who_did_what(offices: Offices) -> None:
    house, keys = offices
    with house.as_caller(keys["root"]) as root:
        answer = root.get("/v1/audit", params={"target": "group/two"})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {
        "entries": [
            {
                "id": 2,
                "at": "2026-01-01T00:00:00.500000Z",
                "actor": {"kind": "shell", "id": "", "name": "ada", "credential": "shell"},
                "action": "directory.manage",
                "target": "group/two",
                "outcome": audit.DONE,
                "detail": "",
                "requestId": None,
            }
        ]
    }


def test_pages_follow_one_another(offices: Offices) -> None:
    house, keys = offices
    with house.as_caller(keys["root"]) as root:
        first = root.get("/v1/audit", params={"limit": "2", "target": "group/"}).json()
        rest = root.get("/v1/audit", params={"limit": "2", "target": "group/", "before": str(first["next"])}).json()
    assert [entry["target"] for entry in first["entries"]] == ["group/three", "group/two"]
    assert [entry["target"] for entry in rest["entries"]] == ["group/one"]
    assert "next" not in rest


@pytest.mark.parametrize(("who", "status"), [("owner", 403), ("nobody", 403), (None, 401), (READER, 403)])
def test_nobody_else_does(offices: Offices, who: str | None, status: int) -> None:
    house, keys = offices
    with house.as_caller(keys.get(who or "", who)) as caller:
        answer = caller.get("/v1/audit")
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "message", "code"}


@pytest.mark.parametrize(
    "query", ["since=yesterday", "limit=0", "limit=-1", "before=x", "limit=1&limit=2", "wanted=1", "actor=%ff", "target=%00"]
)
def test_a_query_that_cannot_be_understood_is_refused(offices: Offices, query: str) -> None:
    house, keys = offices
    with house.as_caller(keys["root"]) as root:
        assert root.get(f"/v1/audit?{query}").status_code == 400
