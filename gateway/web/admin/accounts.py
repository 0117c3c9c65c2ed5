"""The Service Accounts service: accounts, and the client secrets of those with OAuth credentials. JSON in, JSON out; the rules are
`access.accounts` and `access.client_secrets`."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from gateway.access import accounts, client_secrets
from gateway.access.accounts import Found, is_identifier, new_account_id
from gateway.access.administration import Act, Administration
from gateway.access.keys import random_name
from gateway.access.roles import Action
from gateway.access.store.tables import ClientSecret, ServiceAccount, User
from gateway.errors import NotFound
from gateway.web.admin.door import Asked, Operation, Told
from gateway.wire import accounts as wire
from gateway.wire.accounts import SecretRef, instant

T = TypeVar("T")
Json = dict[str, object]
_SPELLED = {accounts.API_KEY: wire.API_KEY, accounts.OAUTH: wire.OAUTH}
_KINDS = {spelled: kind for kind, spelled in _SPELLED.items()}
_NO_SUCH = "There is no such thing: ids have 1 to 64 visible ASCII characters."


class AccountOperations:
    """Four of accounts, five of client secrets. What reads changes nothing, and is not audited."""

    def __init__(self, administration: Administration) -> None:
        self._administration = administration

    def by_name(self) -> Mapping[str, Operation]:
        """The operations on accounts, by the last segment of their paths."""
        return {
            "create-service-account": self.create,
            "delete-service-account": self.delete,
            "get-service-account": self.search,
            "update-service-account": self.update,
        }

    def secrets_by_name(self) -> Mapping[str, Operation]:
        return {
            "activate-service-account-secret": self.activate_secret,
            "create-service-account-secret": self.create_secret,
            "deactivate-service-account-secret": self.deactivate_secret,
            "delete-service-account-secret": self.delete_secret,
            "list-service-account-secrets": self.list_secrets,
        }

    async def create(self, asked: Asked) -> Told:
        given, account_id = wire.creation(asked.body), new_account_id()
        kind = _KINDS[given.credentials_type]
        issued = await self._administration.act(
            asked.actor,
            Action.CREATE_ACCOUNT,
            f"service_account/{account_id}",
            lambda act: accounts.create(act, account_id, given.name, given.description, kind),
        )
        shown = "api_key" if kind == accounts.API_KEY else "client_secret"
        return _told({**_account(issued.account), **_credentials(issued.account), shown: issued.credential})

    async def search(self, asked: Asked) -> Told:
        sought = wire.search(asked.body)
        found = await self._administration.look(asked.actor, lambda act: accounts.search(act, sought.text, sought.ids))
        return _told({"service_accounts": [_found(one) for one in found]})

    async def update(self, asked: Asked) -> Told:
        given = wire.update(asked.body)

        def work(act: Act) -> ServiceAccount:
            return accounts.update(act, given.id, given.name, given.description, is_active=given.is_active)

        return _told(_account(await self._manage(asked, _target("service_account", given.id), work)))

    async def delete(self, asked: Asked) -> Told:
        account_id = wire.account_id(asked.body)
        target = _target("service_account", account_id)
        await self._manage(asked, target, lambda act: accounts.remove(act, account_id))
        return Told()

    async def create_secret(self, asked: Asked) -> Told:
        account_id, secret_id = wire.account_id(asked.body), random_name(20)
        target = _target("service_account", account_id)
        made, secret = await self._manage(asked, target, lambda act: client_secrets.create(act, account_id, secret_id))
        shown = {name: value for name, value in _secret(made).items() if name in {"secret_id", "created_at", "status"}}
        return _told({"secret": {**shown, "secret": secret}})

    async def list_secrets(self, asked: Asked) -> Told:
        account_id = wire.account_id(asked.body)
        rows = await self._administration.look(asked.actor, lambda act: client_secrets.list_all(act, account_id))
        return _told({"clientSecrets": [_secret(row) for row in rows]})

    async def activate_secret(self, asked: Asked) -> Told:
        return await self._set(asked, client_secrets.activate)

    async def deactivate_secret(self, asked: Asked) -> Told:
        return await self._set(asked, client_secrets.deactivate)

    async def delete_secret(self, asked: Asked) -> Told:
        ref = wire.secret_ref(asked.body)
        await self._manage(asked, _secret_target(ref), lambda act: client_secrets.remove(act, ref.account_id, ref.secret_id))
        return Told()

    async def _set(self, asked: Asked, change: Callable[[Act, str, str], ClientSecret]) -> Told:
        ref = wire.secret_ref(asked.body)
        row = await self._manage(asked, _secret_target(ref), lambda act: change(act, ref.account_id, ref.secret_id))
        return _told({"secret": _secret(row)})

    async def _manage(self, asked: Asked, target: str, work: Callable[[Act], T]) -> T:
        return await self._administration.act(asked.actor, Action.MANAGE_ACCOUNT, target, work)


def _told(answer: Json) -> Told:
    return Told(msgspec.json.encode(answer))


def _target(kind: str, identity: str) -> str:
    """As the audit log names it. Raises NotFound for what cannot be an id: it is not the callers' to write into the log what they like."""
    if not is_identifier(identity):
        raise NotFound(_NO_SUCH)
    return f"{kind}/{identity}"


def _secret_target(ref: SecretRef) -> str:
    _target("service_account", ref.account_id)
    return _target("client_secret", ref.secret_id)


def _account(account: ServiceAccount) -> Json:
    return {
        "id": account.id,
        "name": account.name,
        "description": account.description,
        "is_active": account.is_active,
        "created_at": instant(account.created_us),
    }


def _credentials(account: ServiceAccount) -> Json:
    return {"credentials_type": _SPELLED[account.credentials]}


def _found(found: Found) -> Json:
    maker = _creator(found)
    return {**_account(found.account), **({"created_by": maker} if maker else {}), **_credentials(found.account)}


def _creator(found: Found) -> Json:
    """Nothing of an account that was made at the shell. Of a maker that is gone, the id is left."""
    account, maker = found.account, found.creator
    if account.creator_id is None or account.creator_kind is None:
        return {}
    if isinstance(maker, User):
        person = {"okta_id": maker.external_id or maker.id, "first_name": maker.given_name, "last_name": maker.family_name}
        known = {**person, "login_email": maker.user_name}
        return {"user": {name: value for name, value in known.items() if value is not None}}
    if isinstance(maker, ServiceAccount):
        known_account: Json = {"id": maker.id, "name": maker.name, "description": maker.description, "is_active": maker.is_active}
        return {"service_account": known_account}
    return {account.creator_kind: {("okta_id" if account.creator_kind == "user" else "id"): account.creator_id}}


def _secret(row: ClientSecret) -> Json:
    return {
        "secret_id": row.id,
        "created_at": instant(row.created_us, timespec="milliseconds"),
        "updated_at": instant(row.updated_us, timespec="milliseconds"),
        "status": "ACTIVE" if row.is_active else "INACTIVE",
        "masked_secret": f"{'*' * 12}{row.tail}",
    }
