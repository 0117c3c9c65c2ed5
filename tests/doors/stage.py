"""A gateway with everybody in it whom `rights` knows, and a hand that puts into its store what they ask for."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import count
from pathlib import Path
from shutil import copy
from typing import Any

import httpx
from sqlalchemy import update
from sqlalchemy.orm import Session

from gateway.access.keys import digest, new_client_secret, new_key
from gateway.access.principals import Principal, PrincipalKind
from gateway.access.standings import SECRET_SCOPE, WORKSPACE
from gateway.access.store.database import Database, open_database
from gateway.access.store.tables import ApiKey, Change, ClientSecret, Group, Membership, ServiceAccount, User
from gateway.administering import FILE, open_file
from gateway.embedded import ONLINE_STORE
from gateway.web.admin.routes import SCOPES
from gateway.web.admin.tokens import PATH as TOKENS
from tests.doors.rights import PRINCIPALS, Ask, Things
from tests.harness.houses import OPERATOR, House
from tests.harness.offices import assign, enrol, open_offices
from tests.harness.postgresql import PostgreSQL


class Stage:
    """The gateway, everybody who calls it, and a hand that puts things into its store."""

    def __init__(self, house: House, folder: Path, keys: Mapping[str, str], open_ones: ExitStack) -> None:
        self.house = house
        self.keys = keys
        self._folder = folder
        self._numbers = count()
        self._database: Database = open_ones.enter_context(closing(open_file(folder)))
        self._root = open_ones.enter_context(house.as_caller(keys["root"]))
        self._clients = {
            name: open_ones.enter_context(httpx.Client(base_url=house.url, headers=header, timeout=30.0))
            for name, header in self._headers(keys).items()
        }

    def _headers(self, keys: Mapping[str, str]) -> dict[str, dict[str, str]]:
        known = {name: f"Tecton-key {key}" for name, key in keys.items()}
        tokens = {name: f"Bearer {token}" for name, token in self._tokens().items()}
        others = {
            "conf": f"Tecton-key {OPERATOR}",
            "bearer": f"Bearer {keys['admin']}",
            "garbage": "Tecton-key of nobody at all",
            "new": f"Tecton-key {new_key()}",
        }
        return {name: {"Authorization": header} for name, header in (known | tokens | others).items()} | {"none": {}}

    def _tokens(self) -> dict[str, str]:
        """Given while everything was in order; then a secret and an account, and beside them a key and another account, are deactivated."""
        tokens = {name: self._token(name) for name in ("token", "small", "stale-token", "spent-token")}

        def work(session: Session) -> None:
            for account in ("sa-inactive", "sa-stale-token"):
                session.execute(update(ServiceAccount).where(ServiceAccount.id == account).values(is_active=False))
            session.execute(update(ApiKey).where(ApiKey.account_id == "sa-retired").values(is_active=False))
            session.execute(update(ClientSecret).where(ClientSecret.account_id == "sa-spent-token").values(is_active=False))
            group = Group(id="editors", display_name="editors", idp_mapping_names="[]", created_us=0, updated_us=0)
            session.add_all([group, Membership(group_id="editors", member_kind=PrincipalKind.SERVICE_ACCOUNT, member_id="sa-group")])
            assign(session, Principal(PrincipalKind.GROUP, "editors"), WORKSPACE, "prod", "editor")
            session.get_one(Change, 1).revision += 1

        self._database.transact(work)
        assert self._root.post(f"{SCOPES}/etl").status_code == 200  # and with that the gateway has read all of it
        self._database.transact(lambda session: self._give(session, "etl"))
        return tokens

    def _give(self, session: Session, scope: str) -> None:
        for role in ("reader", "writer", "manager"):
            assign(session, Principal(PrincipalKind.SERVICE_ACCOUNT, f"sa-{role}"), SECRET_SCOPE, scope, f"secret_scope_{role}")
        session.get_one(Change, 1).revision += 1

    def _token(self, name: str) -> str:
        secret = new_client_secret()
        self._database.transact(lambda session: session.add(client_secret(f"sa-{name}", f"{name}-secret", secret)))
        posted = {"grant_type": "client_credentials", "client_id": f"sa-{name}", "client_secret": secret}
        with self.house.as_caller(None) as client:
            answer = client.post(TOKENS, data=posted)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def make(self, what: str) -> str:
        """See `rights.Things.new`."""
        name = f"{what.replace(' ', '-')}-{next(self._numbers)}"
        if what == "scope":
            assert self._root.post(f"{SCOPES}/{name}").status_code == 200
            self._database.transact(lambda session: self._give(session, name))
        elif what == "secret":
            assert self._root.put(f"{SCOPES}/etl/keys/{name}", json={"value": "v"}).status_code == 200
        elif what != "name":
            self._database.transact(lambda session: add(session, rows_of(what, name)))
        return name

    def things(self, who: str) -> Things:
        return Things(self.make, who)

    def path(self, ask: Ask, route: str, things: Things | None = None) -> str:
        """The route's, with what is asked for in it."""
        path = route.split(" ")[1]
        for name, what in (ask.params or {}).items():
            path = path.replace(f"{{{name}}}", what[1:] if what.startswith("=") else (things or self.things("")).new(what))
        return path

    def request(self, who: str, route: str, ask: Ask, make: Callable[[str], str] | None = None) -> httpx.Request:
        things = Things(make or self.make, who)
        path, body = self.path(ask, route, things), ask.body(things)
        sent: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {} if body is None else {"json": body}
        return self._clients[who].build_request(route.split(" ", maxsplit=1)[0], path, **sent)

    def send(self, who: str, request: httpx.Request) -> int:
        return self._clients[who].send(request).status_code

    def send_plainly(self, who: str, method: str, path: str, **sent: Any) -> httpx.Response:
        return self._clients[who].request(method, path, **sent)

    def told(self, who: str, method: str, path: str, body: object = None) -> Any:
        answer = self._clients[who].request(method, path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def kept(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of the store, but for the audit log and for when a credential was last used."""
        with closing(sqlite3.connect(self._folder / FILE)) as connection:
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'audit'")]
            return {table: sorted(rows(connection, table), key=repr) for table in tables}

    def files(self) -> Sequence[Path]:
        """All that the store is made of."""
        return [file for file in self._folder.iterdir() if file.is_file()]

    def audit(self) -> list[tuple[Any, ...]]:
        """All of the audit log, whole."""
        with closing(sqlite3.connect(self._folder / FILE)) as connection:
            return connection.execute("SELECT * FROM audit").fetchall()

    def written_down(self) -> list[tuple[str, str, str]]:
        """Who did what, and how it ended: all of the audit log, the oldest first."""
        with closing(sqlite3.connect(self._folder / FILE)) as connection:
            return connection.execute("SELECT actor_id, action, outcome FROM audit ORDER BY id").fetchall()


def rows(connection: sqlite3.Connection, table: str) -> Iterator[tuple[Any, ...]]:
    columns = [name for _, name, *_ in connection.execute(f'PRAGMA table_info("{table}")') if name != "last_used_us"]
    yield from connection.execute(f'SELECT {", ".join(columns)} FROM "{table}"')  # noqa: S608 - names of the store's own


def client_secret(account: str, name: str, secret: str, *, is_active: bool = True) -> ClientSecret:
    return ClientSecret(
        id=name,
        account_id=account,
        digest=bytes.fromhex(digest(secret)),
        tail=secret[-4:],
        is_active=is_active,
        created_us=0,
        updated_us=0,
        last_used_us=None,
    )


def add(session: Session, rows: Sequence[object]) -> None:
    for row in rows:
        session.add(row)
        session.flush()


def rows_of(what: str, name: str) -> Sequence[object]:
    """An account is made by `maker`; of two client secrets the one that is called old is not active."""
    if what == "user":
        return [User(id=name, user_name=name, created_us=0, updated_us=0)]
    if what == "group":
        return [Group(id=name, display_name=name, idp_mapping_names="[]", created_us=0, updated_us=0)]
    account = ServiceAccount(
        id=name,
        name=name,
        description="",
        is_active=what != "inactive",
        credentials="oauth" if "oauth" in what else "api_key",
        creator_kind=PrincipalKind.SERVICE_ACCOUNT,
        creator_id="sa-maker",
        created_us=0,
        updated_us=0,
    )
    if what == "oauth":
        account_secrets = [client_secret(name, f"{name}-{age}", new_client_secret(), is_active=age == "young") for age in ("young", "old")]
        return [account, *account_secrets]
    return [account]


@contextmanager
def open_stage(demo_dir: Path, folder: Path) -> Iterator[Stage]:
    """On a copy of the demo's data, with a new store."""
    data, access = folder / "data", folder / "access"
    data.mkdir()
    copy(demo_dir / ONLINE_STORE, data / ONLINE_STORE)
    more = [("root", "admin"), ("inactive", "admin"), ("retired", "admin"), ("token", "admin"), ("small", "prod=consumer")]
    more += [("stale-token", "admin"), ("spent-token", "admin")]
    everybody = [*more, *((name, *roles) for name, roles in PRINCIPALS.items())]
    with open_offices(data, access, *everybody) as (house, keys), ExitStack() as open_ones:
        yield Stage(house, access, keys, open_ones)


@contextmanager
def open_admin(kind: str, demo_dir: Path, folder: Path, postgresql: Callable[[], PostgreSQL]) -> Iterator[tuple[House, str]]:
    """The gateway of the demo, with a store of this kind that holds one admin, and that one's key."""
    if kind == "sqlite":
        with open_offices(demo_dir, folder, ("root", "admin")) as (house, keys):
            yield house, keys["root"]
        return
    with postgresql().lend() as url:
        with closing(open_database(url)) as database:
            _, key = enrol(database, "root", "admin")
        kept = {"store": "postgresql", "database": url, "kek": "5c" * 32}
        with open_offices(demo_dir, folder, auth=kept) as (house, _):
            yield house, key
