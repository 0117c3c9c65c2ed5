"""What is behind the doors of SCIM (`scim_doors`), by method and path. What each operation does is `access.scim`'s."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

import msgspec

from gateway.access.administration import Act, Administration
from gateway.access.roles import EVERYTHING, Action
from gateway.access.scim import acts, discovery, groups, service_accounts, users
from gateway.access.scim.acts import Asking
from gateway.access.scim.kinds import Kind
from gateway.access.scim.kinds import Told as Telling
from gateway.access.scim.places import Places
from gateway.web.admin.door import Asked, Operation, Told
from gateway.web.admin.scim_doors import SEARCH, Operations
from gateway.web.problems import SCIM

T = TypeVar("T")
AnyKind = Kind[Any, Any]


@dataclass(frozen=True, slots=True)
class ScimOffice:
    """What the operations are about. `roles`: whether roles can be changed here."""

    administration: Administration
    roles: bool = True


def kinds() -> Sequence[AnyKind]:
    return [users.kind(), groups.kind(), service_accounts.kind()]


def operations(office: ScimOffice) -> Operations:
    described = _Discovery(office)
    found: dict[tuple[str, str], Operation] = {
        ("POST", SEARCH): _Search(office, kinds()),
        ("GET", "ServiceProviderConfig"): described.config,
        ("GET", "ResourceTypes"): described.resource_types,
        ("GET", "ResourceTypes/{id}"): described.resource_type,
        ("GET", "Schemas"): described.schemas,
        ("GET", "Schemas/{id}"): described.schema,
    }
    for kind in kinds():
        doors, one = _Doors(office, kind), f"{kind.endpoint}/{{id}}"
        found |= {
            ("GET", kind.endpoint): doors.search,
            ("POST", kind.endpoint): doors.create,
            ("POST", f"{kind.endpoint}/{SEARCH}"): _Search(office, [kind]),
            ("GET", one): doors.show,
            ("PUT", one): doors.replace,
            ("PATCH", one): doors.modify,
            ("DELETE", one): doors.remove,
        }
    return found


class _Doors:
    """The operations on one kind of resource."""

    def __init__(self, office: ScimOffice, kind: AnyKind) -> None:
        self._office = office
        self._kind = kind

    async def search(self, asked: Asked) -> Told:
        return await self._look(asked, lambda act: acts.search(act, [self._kind], self._asking(asked)))

    async def show(self, asked: Asked) -> Told:
        return await self._look(asked, lambda act: acts.show(act, self._kind, asked.params["id"], self._asking(asked)))

    async def create(self, asked: Asked) -> Told:
        identity = str(uuid4())
        told = await self._act(
            asked, identity, lambda act: encoded(acts.create(act, self._kind, identity, asked.body, self._asking(asked)))
        )
        place = Places(asked.base_url).of(self._kind.principal, identity)
        return _answer(told, status=201, location=place)

    async def replace(self, asked: Asked) -> Told:
        identity = asked.params["id"]
        return _answer(
            await self._act(asked, identity, lambda act: encoded(acts.replace(act, self._kind, identity, asked.body, self._asking(asked))))
        )

    async def modify(self, asked: Asked) -> Told:
        identity = asked.params["id"]
        return _answer(
            await self._act(asked, identity, lambda act: encoded(acts.modify(act, self._kind, identity, asked.body, self._asking(asked))))
        )

    async def remove(self, asked: Asked) -> Told:
        identity = asked.params["id"]
        await self._act(asked, identity, lambda act: acts.remove(act, self._kind, identity))
        return Told(b"", 204, None)

    def _asking(self, asked: Asked) -> Asking:
        return Asking(Places(asked.base_url), asked.query, self._office.roles)

    async def _look(self, asked: Asked, work: Callable[[Act], Telling]) -> Told:
        return _answer(await self._office.administration.look(asked.actor, lambda act: encoded(work(act))))

    async def _act(self, asked: Asked, identity: str, work: Callable[[Act], T]) -> T:
        return await self._office.administration.act(asked.actor, Action.MANAGE_DIRECTORY, self._kind.target(identity), work)


class _Search:
    """`POST …/.search`, over one kind of resource or all of them."""

    def __init__(self, office: ScimOffice, kinds: Sequence[AnyKind]) -> None:
        self._office = office
        self._kinds = kinds

    async def __call__(self, asked: Asked) -> Told:
        asking = Asking(Places(asked.base_url))
        return _answer(
            await self._office.administration.look(
                asked.actor, lambda act: encoded(acts.search_posted(act, self._kinds, asked.body, asking))
            )
        )


class _Discovery:
    """The same for everybody who may ask."""

    def __init__(self, office: ScimOffice) -> None:
        self._office = office

    async def config(self, asked: Asked) -> Told:
        return await self._look(asked, discovery.service_provider_config)

    async def resource_types(self, asked: Asked) -> Told:
        return await self._look(asked, lambda places: discovery.listed(discovery.resource_types(places)))

    async def resource_type(self, asked: Asked) -> Told:
        return await self._look(asked, lambda places: discovery.one_of(discovery.resource_types(places), asked.params["id"]))

    async def schemas(self, asked: Asked) -> Told:
        return await self._look(asked, lambda places: discovery.listed(discovery.schemas(places, roles=self._office.roles)))

    async def schema(self, asked: Asked) -> Told:
        return await self._look(
            asked, lambda places: discovery.one_of(discovery.schemas(places, roles=self._office.roles), asked.params["id"])
        )

    async def _look(self, asked: Asked, tell: Callable[[Places], Telling]) -> Told:
        def work(act: Act) -> bytes:
            act.require(Action.MANAGE_DIRECTORY, EVERYTHING)
            return encoded(tell(Places(asked.base_url)))

        return _answer(await self._office.administration.look(asked.actor, work))


def encoded(told: Telling) -> bytes:
    """Where the store is read, off the event loop: a list can be long."""
    return msgspec.json.encode(told)


def _answer(body: bytes, status: int = 200, location: str | None = None) -> Told:
    headers = [] if location is None else [(b"location", location.encode("ascii"))]
    return Told(body, status, SCIM[1], headers)
