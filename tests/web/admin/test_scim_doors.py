"""Doors and what is behind them fit, and nothing is fetched from behind them before it is asked for."""

import threading

import pytest

from gateway.access.administration import Administration
from gateway.access.gates import KeyTable
from gateway.access.principals import Actor
from gateway.access.scim.places import PREFIX
from gateway.access.store.database import open_database
from gateway.web.admin.door import Asked, Told
from gateway.web.admin.scim import ScimOffice, operations
from gateway.web.admin.scim_doors import PATHS, Operations, _Room, scim_routes


def test_every_door_opens_into_something_and_nothing_is_behind_none(tmp_path_factory: pytest.TempPathFactory) -> None:
    database = open_database(tmp_path_factory.mktemp("access") / "access.db")
    try:
        behind = set(operations(ScimOffice(Administration(database))))
    finally:
        database.close()
    assert behind == {(method, path) for path, methods in PATHS.items() for method in methods}


def test_making_the_doors_loads_nothing() -> None:
    def load() -> Operations:
        raise AssertionError("nobody has asked")

    routes = scim_routes(KeyTable({}, None, {}), 1_000, load)
    assert len(routes) == len(PATHS)
    assert all(getattr(route, "path", "").startswith(PREFIX) for route in routes)


async def test_the_first_that_comes_has_it_loaded_on_a_thread_and_all_later_ones_use_that() -> None:
    threads: list[threading.Thread] = []

    async def tell(asked: Asked) -> Told:
        return Told(asked.body)

    def load() -> Operations:
        threads.append(threading.current_thread())
        return {("GET", "Schemas"): tell}

    operate = _Room(load).operation("GET", "Schemas")
    asked = Asked(Actor(None, "somebody", "key"), b"heard", {}, {})
    assert [(await operate(asked)).body for _ in range(3)] == [b"heard"] * 3
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()
