"""The doors of SCIM 2.0 under `/api/scim/v2`: users, groups and service accounts, and what describes them.

What is behind them (`scim`) takes two thirds of a second to import, and few gateways are ever asked for it. So it is imported when the
first of them is opened, on a thread: nobody else stands still for it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from starlette.routing import BaseRoute, Route

from gateway.access.gates import KeyTable
from gateway.access.scim.places import ENDPOINTS, PREFIX
from gateway.web.admin.door import AdminDoor, Asked, ByMethod, Operation, Told

Operations = Mapping[tuple[str, str], Operation]
"""By method and path, below the prefix."""
SEARCH = ".search"
_COLLECTION = ("GET", "POST")
_ONE = ("GET", "PUT", "PATCH", "DELETE")
PATHS: Mapping[str, Sequence[str]] = {
    SEARCH: ("POST",),
    **{
        path: methods
        for endpoint in ENDPOINTS.values()
        for path, methods in ((endpoint, _COLLECTION), (f"{endpoint}/{SEARCH}", ("POST",)), (f"{endpoint}/{{id}}", _ONE))
    },
    "ServiceProviderConfig": ("GET",),
    "ResourceTypes": ("GET",),
    "ResourceTypes/{id}": ("GET",),
    "Schemas": ("GET",),
    "Schemas/{id}": ("GET",),
}


def scim_routes(gate: KeyTable, max_body_bytes: int, load: Callable[[], Operations]) -> Sequence[BaseRoute]:
    """`load` is called when it is first needed, on a thread, and gives an operation for each of `PATHS`."""
    room = _Room(load)

    def route(path: str, methods: Sequence[str]) -> Route:
        doors = {method: AdminDoor(gate, room.operation(method, path), max_body_bytes, bearer_keys=True) for method in methods}
        return Route(f"{PREFIX}/{path}", ByMethod(doors), methods=list(methods))

    return [route(path, methods) for path, methods in PATHS.items()]


class _Room:
    """What is behind the doors, once one has been opened. Those who come while it is loaded all wait for it."""

    def __init__(self, load: Callable[[], Operations]) -> None:
        self._load = load
        self._operations: Operations | None = None

    def operation(self, method: str, path: str) -> Operation:
        async def operate(asked: Asked) -> Told:
            if self._operations is None:
                self._operations = await asyncio.to_thread(self._load)
            return await self._operations[method, path](asked)

        return operate
