"""Who is at the shell is told to the audit log."""

import getpass

import pytest

from gateway.access.audit import Sought
from gateway.access.shell import Shell
from gateway.access.store.database import Database


def test_the_log_names_the_systems_user_and_does_without_one(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("no such user")

    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    Shell(database).create("one", [])
    monkeypatch.setattr(getpass, "getuser", nobody)
    Shell(database).create("two", [])
    told = [(entry.actor_kind, entry.actor_name, entry.credential) for entry in Shell(database).audited(Sought())]
    assert told == [("shell", "?", "shell"), ("shell", "ada", "shell")]
