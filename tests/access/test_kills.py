"""A process that acts is killed, again and again: what it acknowledged is there, whole, and the audit log tells of each act once."""

import itertools
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from gateway.access.directory import revision_of
from gateway.access.store.database import Database, open_database
from gateway.access.store.tables import AuditEntry, Group, Membership, RoleAssignment
from tests.access.clerk import CLERKS
from tests.access.conftest import Place
from tests.harness.clock import wait_until

ROOT = Path(__file__).resolve().parents[2]
APART = 1_000_000
"""So many numbers has each process for itself."""


def start(place: Place, first: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.access.clerk", str(place), str(first)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def killed(place: Place, first: int, after: int) -> dict[int, str]:
    """What a process acknowledged that was killed after so many acts, or a little more."""
    with start(place, first) as clerk:
        assert clerk.stdout is not None
        said = [clerk.stdout.readline() for _ in range(after)]
        os.kill(clerk.pid, signal.SIGKILL)
        said += [line for line in clerk.stdout.read().splitlines() if line.endswith("]")]  # what it had said before it died
    assert clerk.returncode == -signal.SIGKILL
    return dict(json.loads(line) for line in said)


def rows(session: Session, column: str) -> Counter[str]:
    """How many there are, by group."""
    counted = {
        "group": select(Group.id, func.count()).group_by(Group.id),
        "member": select(Membership.group_id, func.count()).group_by(Membership.group_id),
        "role": select(RoleAssignment.principal_id, func.count()).group_by(RoleAssignment.principal_id),
    }
    return Counter({name: number for name, number in session.execute(counted[column])})  # noqa: C416 - rows are no tuples to mypy


def settled(database: Database) -> None:
    """A server goes on for a moment with what a killed client has asked of it."""
    if database.engine.dialect.name == "postgresql":
        others = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        wait_until(lambda: database.transact(lambda session: session.execute(others).scalar_one(), writes=False) == 0, "nobody being left")
    else:
        assert database.transact(lambda session: session.execute(text("PRAGMA integrity_check")).scalar_one(), writes=False) == "ok"


def entries(session: Session, outcome: str) -> list[str]:
    return list(session.scalars(select(AuditEntry.target).where(AuditEntry.outcome == outcome)))


def held_to_its_word(database: Database, acknowledged: dict[int, str], most_unsaid: int) -> None:
    def read(session: Session) -> tuple[Sequence[Counter[str]], list[str], list[str], int]:
        counts = [rows(session, column) for column in ("group", "member", "role")]
        return counts, entries(session, "done"), entries(session, "denied"), revision_of(session)

    (groups, members, roles), done, denied, revision = database.transact(read, writes=False)
    assert members == roles == Counter(dict.fromkeys(groups, 2))
    assert sorted(done) == sorted(f"group/{name}" for name in groups)
    assert revision == len(groups)
    said_done = {str(number) for number, outcome in acknowledged.items() if outcome == "done"}
    said_denied = [f"group/{number}" for number, outcome in acknowledged.items() if outcome == "denied"]
    assert said_done <= groups.keys()
    assert len(groups) <= len(said_done) + most_unsaid
    assert set(said_denied) <= set(denied)
    assert len(denied) == len(set(denied))
    assert not [name for name in groups if int(name) % 5 == 0]


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_every_acknowledged_act_outlives_the_process_and_stands_in_the_log_once(place: Place, kills: int) -> None:
    if isinstance(place, str):
        kills = min(kills, 15)  # the server is not what is killed
    acknowledged: dict[int, str] = {}
    for number, after in enumerate(itertools.islice(itertools.cycle((7, 1, 40, 90, 2, 23)), kills)):
        acknowledged |= killed(place, number * APART, after)
    with closing(open_database(place)) as database:
        settled(database)
        held_to_its_word(database, acknowledged, most_unsaid=CLERKS * kills)


@pytest.mark.parametrize("seen", ["access.db", "access.db-wal"])
def test_killed_while_the_tables_are_made_it_makes_them_the_next_time(tmp_path: Path, seen: str) -> None:
    with start(tmp_path / "access.db", 0) as clerk:
        wait_until((tmp_path / seen).exists, "the first start")
        os.kill(clerk.pid, signal.SIGKILL)
        unheard = clerk.stdout.read().splitlines() if clerk.stdout is not None else []
    acknowledged = killed(tmp_path / "access.db", APART, 1) | dict(json.loads(line) for line in unheard)
    with closing(open_database(tmp_path / "access.db")) as database:
        held_to_its_word(database, acknowledged, most_unsaid=2 * CLERKS)
