"""A gateway with a console, and the keys of those who come: `seer` and `lord` hold a role in all workspaces, `cons` in one."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from html import unescape
from pathlib import Path
from typing import Any

import httpx

from gateway.administering import FILE
from tests.harness.houses import House
from tests.harness.offices import open_offices

HTML = {"Accept": "text/html"}
SERVICE = "/console/services/prod/flight_delay"
TRIED = {"join.origin": "JFK", "join.dest": "LAX", "join.carrier": "AA", "join.tailnum": "N338AA", "context.planned_air_time": "330"}
PRINCIPALS = (("seer", "viewer"), ("lord", "owner"), ("boss", "admin"), ("cons", "prod=consumer"), ("spent", "viewer"))


@contextmanager
def open_console_house(data_dir: Path, access_dir: Path, **more: Any) -> Iterator[tuple[House, dict[str, str]]]:
    with open_offices(data_dir, access_dir, *PRINCIPALS, **more) as opened:
        yield opened


def deactivate(access_dir: Path, account: str) -> None:
    """The keys of this account, as another process does it."""
    with closing(sqlite3.connect(access_dir / FILE)) as connection, connection:
        connection.execute("UPDATE api_key SET is_active = 0 WHERE account_id = ?", (f"sa-{account}",))
        connection.execute("UPDATE change SET revision = revision + 1")


@contextmanager
def sign_in(house: House, key: str) -> Iterator[httpx.Client]:
    """A browser without scripts, signed in."""
    with httpx.Client(base_url=house.url, headers=HTML, timeout=30.0) as client:
        answer = client.post("/console/sign-in", data={"key": key})
        assert answer.status_code == 303, answer.text
        yield client


def texts(page: str) -> str:
    """What is to be read on a page."""
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page)))
