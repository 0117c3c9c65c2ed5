"""The Secrets service: scopes, and the secrets in them (contract §8). The rules are `access.vault`'s."""

from collections.abc import Callable, Sequence

import msgspec

from gateway.access.administration import Act, Administration
from gateway.access.roles import Action
from gateway.access.vault import MAX_VALUE_BYTES, SecretVault, checked_name
from gateway.web.admin.door import Asked, Told
from gateway.wire.secrets import secret_value


class SecretsService:
    """Changes, and every reading of a value, are audited. Lists are not."""

    def __init__(self, administration: Administration, vault: SecretVault) -> None:
        self._administration = administration
        self._vault = vault

    async def list_scopes(self, asked: Asked) -> Told:
        return _listed("scopes", await self._administration.look(asked.actor, self._vault.scopes))

    async def create_scope(self, asked: Asked) -> Told:
        scope = _scope(asked)
        await self._on_scope(asked, Action.CREATE_SCOPE, lambda act: self._vault.create_scope(act, scope))
        return Told()

    async def delete_scope(self, asked: Asked) -> Told:
        scope = _scope(asked)
        await self._on_scope(asked, Action.DELETE_SCOPE, lambda act: self._vault.delete_scope(act, scope))
        return Told()

    async def list_secrets(self, asked: Asked) -> Told:
        scope = _scope(asked)
        return _listed("keys", await self._administration.look(asked.actor, lambda act: self._vault.names(act, scope)))

    async def read_secret(self, asked: Asked) -> Told:
        scope, name = _scope(asked), _key(asked)

        def work(act: Act) -> str:
            return self._vault.read(act, scope, name)

        value = await self._administration.act(asked.actor, Action.READ_SECRET, f"secret/{scope}/{name}", work, changes_access=False)
        return Told(msgspec.json.encode({"value": value}))

    async def put_secret(self, asked: Asked) -> Told:
        scope, name, value = _scope(asked), _key(asked), secret_value(asked.body, MAX_VALUE_BYTES)

        def work(act: Act) -> None:
            self._vault.put(act, scope, name, value)

        await self._administration.act(asked.actor, Action.WRITE_SECRET, f"secret/{scope}/{name}", work, changes_access=False)
        return Told()

    async def delete_secret(self, asked: Asked) -> Told:
        scope, name = _scope(asked), _key(asked)

        def work(act: Act) -> None:
            self._vault.delete(act, scope, name)

        await self._administration.act(asked.actor, Action.DELETE_SECRET, f"secret/{scope}/{name}", work, changes_access=False)
        return Told()

    async def _on_scope(self, asked: Asked, action: Action, work: Callable[[Act], None]) -> None:
        await self._administration.act(asked.actor, action, f"secret_scope/{_scope(asked)}", work)


def _scope(asked: Asked) -> str:
    return checked_name(asked.params["scope"], "scope")


def _key(asked: Asked) -> str:
    return checked_name(asked.params["key"], "key")


def _listed(what: str, names: Sequence[str]) -> Told:
    return Told(msgspec.json.encode({what: [{"name": name} for name in names]}))
