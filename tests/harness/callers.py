"""Many callers of one gateway, by name, each on connections that stay open."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx

from tests.harness.houses import House


class Callers:
    """`keys`: by name. A name that is none is a credential itself; None shows no credential."""

    def __init__(self, house: House, keys: Mapping[str, str], open_ones: ExitStack) -> None:
        self.house = house
        self._keys = keys
        self._open = open_ones
        self._clients: dict[str | None, httpx.Client] = {}

    def ask(self, who: str | None, method: str, path: str, body: object = None, **more: Any) -> httpx.Response:
        if who not in self._clients:
            self._clients[who] = self._open.enter_context(self.house.as_caller(self._keys.get(who or "", who)))
        return self._clients[who].request(method, path, json=body, **more)


@contextmanager
def calling(house: House, keys: Mapping[str, str]) -> Iterator[Callers]:
    with ExitStack() as open_ones:
        yield Callers(house, keys, open_ones)
