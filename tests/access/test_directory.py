"""The directory is what the store says: which credentials open anything, and what."""

from sqlalchemy.orm import Session

from gateway.access.directory import read_directory, revision_of
from gateway.access.keys import digest, key_id
from gateway.access.reach import ALL, Directory, Entry, Reach, reach_of
from gateway.access.standings import standing_of
from gateway.access.store.database import Database
from gateway.access.store.tables import Change
from tests.access.holdings import ADMIN, account, add_account, add_group, add_key, give, in_all, in_workspace


def hashed(key: str) -> bytes:
    return bytes.fromhex(digest(key))


def test_an_empty_store_opens_nothing(database: Database) -> None:
    assert database.transact(read_directory, writes=False) == Directory(0)


def test_active_keys_of_active_accounts_open_what_their_accounts_may(database: Database) -> None:
    def work(session: Session) -> dict[str, str]:
        ada, bob = add_account(session, "ada"), add_account(session, "bob")
        add_account(session, "gone", active=False)
        give(session, ada, in_workspace("prod", "editor"))
        give(session, account("gone"), ADMIN)
        give(session, add_group(session, "readers", bob), in_all("consumer"))
        session.get_one(Change, 1).revision = 5
        return {name: add_key(session, name) for name in ("ada", "bob", "gone")} | {"old": add_key(session, "ada", active=False)}

    keys = database.transact(work)
    found = database.transact(read_directory, writes=False)
    assert found.revision == database.transact(revision_of, writes=False) == 5
    prod, none = frozenset({"prod"}), frozenset[str]()
    reaches = {"ada": Reach(prod, prod, prod, prod), "bob": Reach(ALL, none, ALL, none, metrics=True, console=True)}
    assert found.accounts == {name: Entry(account(name), name, name, reach, is_token=True) for name, reach in reaches.items()}
    assert found.keys == {hashed(keys[name]): Entry(account(name), name, key_id(keys[name]) or "", reaches[name]) for name in reaches}


def test_who_holds_nothing_is_known_and_opens_nothing(database: Database) -> None:
    def work(session: Session) -> str:
        add_account(session, "ada")
        return add_key(session, "ada")

    key = database.transact(work)
    found = database.transact(read_directory, writes=False)
    assert found.keys[hashed(key)].reach == Reach()


def test_what_is_copied_is_what_is_judged_by(database: Database) -> None:
    """The gate's copy and the judge of administrative acts read the same rows in two ways."""

    def work(session: Session) -> None:
        for number, roles in enumerate(
            ([ADMIN], [in_all("operator")], [in_workspace("prod", "owner"), in_workspace("live", "viewer")], [])
        ):
            give(session, add_account(session, f"sa-{number}"), *roles)
        give(session, add_group(session, "all", *(account(f"sa-{number}") for number in range(4))), in_workspace("lab", "consumer"))

    database.transact(work)

    def both(session: Session) -> list[tuple[Reach, Reach]]:
        accounts = read_directory(session).accounts
        assert len(accounts) == 4
        return [(entry.reach, reach_of(standing_of(session, account(name)))) for name, entry in accounts.items()]

    for copied, judged in database.transact(both, writes=False):
        assert copied == judged
