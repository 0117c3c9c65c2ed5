"""What the vault keeps, and whether anything else than its own hand can change it unseen."""

import base64
import logging
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.access.sealing import Sealer
from gateway.access.vault import checked_name, place_of
from gateway.errors import AlreadyExists, FailedPrecondition, InvalidRequest, NotFound, Sealed, Tampered
from tests.harness.vaults import KEK, Vaulted, open_vault

OTHER = bytes(range(1, 33))


@pytest.fixture
def vaulted(tmp_path: Path) -> Iterator[Vaulted]:
    """Two scopes: `etl` with a and b, `ml` with a."""
    with open_vault(tmp_path) as opened:
        for scope in ("etl", "ml"):
            opened.create(scope)
        for scope, name in (("etl", "a"), ("etl", "b"), ("ml", "a")):
            opened.put(scope, name, f"value of {scope}/{name}")
        yield opened


def test_a_secret_is_kept_replaced_and_taken_away(vaulted: Vaulted) -> None:
    assert vaulted.read("etl", "a") == "value of etl/a"
    vaulted.put("etl", "a", "another")
    assert vaulted.read("etl", "a") == "another"
    assert (vaulted.scopes(), vaulted.names("etl")) == (["etl", "ml"], ["a", "b"])
    vaulted.delete("etl", "a")
    assert vaulted.names("etl") == ["b"]
    with pytest.raises(NotFound):
        vaulted.read("etl", "a")
    with pytest.raises(NotFound):
        vaulted.delete("etl", "a")


def test_a_scope_that_exists_or_is_not_empty_stays_as_it_is(vaulted: Vaulted) -> None:
    with pytest.raises(AlreadyExists):
        vaulted.create("etl")
    with pytest.raises(FailedPrecondition):
        vaulted.drop("etl")
    assert vaulted.names("etl") == ["a", "b"]


def test_no_value_and_no_key_is_in_the_files(tmp_path: Path) -> None:
    random_bytes = random.Random(7).randbytes
    planted = [base64.b64encode(random_bytes(24)).decode() for _ in range(100)]
    with open_vault(tmp_path) as vaulted:
        vaulted.create("etl")
        for place, value in enumerate(planted):
            vaulted.put("etl", f"secret_{place}", value)
            vaulted.put("etl", f"passing_{place % 10}", value)
        assert vaulted.read("etl", "secret_99") == planted[99]
        with pytest.raises(NotFound):
            vaulted.put("absent", "a", planted[0])
        files = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
        assert {"access.db", "access.db-wal"} <= set(files)
        sought = [KEK, base64.b64encode(KEK), KEK.hex().encode()]
        for value in planted:
            sought += [
                value.encode(),
                base64.b64decode(value),
                base64.b64encode(value.encode()).rstrip(b"="),
                value.encode().hex().encode(),
            ]
        assert not [name for name, held in files.items() for one in sought if one in held]
        assert b"secret_99" in b"".join(files.values())  # what is looked for in the same way, and is there


FLIPPED = (("secret", "sealed"), ("secret_scope", "manifest"), ("vault", "manifest"))


@pytest.mark.parametrize("seed", range(50))
def test_a_flipped_bit_is_refused(shared: Vaulted, seed: int) -> None:
    chance = random.Random(seed)
    table, column = FLIPPED[seed % 3]
    [(row, blob)] = shared.rows(f"SELECT rowid, {column} FROM {table} WHERE rowid = (SELECT min(rowid) FROM {table})")  # noqa: S608
    bit = chance.randrange(len(blob) * 8)
    flipped = bytearray(blob)
    flipped[bit // 8] ^= 1 << bit % 8
    [(scope, name)] = shared.rows("SELECT scope, name FROM secret WHERE rowid = (SELECT min(rowid) FROM secret)")
    try:
        shared.tamper((f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (bytes(flipped), row)))  # noqa: S608
        with pytest.raises(Sealed):
            shared.read(scope, name)
    finally:
        shared.tamper((f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (blob, row)))  # noqa: S608
    assert shared.read(scope, name) == f"value of {scope}/{name}"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vaulted]:
    with open_vault(tmp_path_factory.mktemp("vault")) as opened:
        opened.create("etl")
        opened.put("etl", "a", "value of etl/a")
        yield opened


TAMPERINGS: dict[str, tuple[str, ...]] = {
    "two values changed places": (
        "CREATE TEMP TABLE held AS SELECT name, sealed FROM secret WHERE scope = 'etl'",
        "UPDATE secret SET sealed = (SELECT sealed FROM held WHERE held.name = 'b') WHERE scope = 'etl' AND name = 'a'",
        "UPDATE secret SET sealed = (SELECT sealed FROM held WHERE held.name = 'a') WHERE scope = 'etl' AND name = 'b'",
    ),
    "two rows changed names": (
        "UPDATE secret SET name = 'x' WHERE scope = 'etl' AND name = 'a'",
        "UPDATE secret SET name = 'a' WHERE scope = 'etl' AND name = 'b'",
        "UPDATE secret SET name = 'b' WHERE scope = 'etl' AND name = 'x'",
    ),
    "two rows changed scopes": (
        "UPDATE secret SET scope = 'x' WHERE scope = 'etl' AND name = 'a'",
        "UPDATE secret SET scope = 'etl' WHERE scope = 'ml'",
        "UPDATE secret SET scope = 'ml' WHERE scope = 'x'",
    ),
    "two scopes changed names": (
        "UPDATE secret SET scope = 'x' WHERE scope = 'etl'",
        "UPDATE secret SET scope = 'etl' WHERE scope = 'ml'",
        "UPDATE secret SET scope = 'ml' WHERE scope = 'x'",
        "UPDATE secret_scope SET name = 'x' WHERE name = 'etl'",
        "UPDATE secret_scope SET name = 'etl' WHERE name = 'ml'",
        "UPDATE secret_scope SET name = 'ml' WHERE name = 'x'",
    ),
    "a row is gone": ("DELETE FROM secret WHERE scope = 'etl' AND name = 'b'",),
    "a row was copied": ("INSERT INTO secret SELECT scope, 'c', version, sealed, 0, 0 FROM secret WHERE scope = 'etl' AND name = 'a'",),
    "a version is another": ("UPDATE secret SET version = version + 1 WHERE scope = 'etl' AND name = 'a'",),
    "a scope is gone": ("DELETE FROM secret WHERE scope = 'ml'", "DELETE FROM secret_scope WHERE name = 'ml'"),
    "a scope was added": ("INSERT INTO secret_scope SELECT 'new', manifest, 0 FROM secret_scope WHERE name = 'ml'",),
    "the generation is another": ("UPDATE vault SET generation = generation - 1",),
    "the root manifest is gone": ("DELETE FROM vault",),
    "all but the root manifest is gone": ("DELETE FROM secret", "DELETE FROM secret_scope"),
    "the scopes and the root manifest are gone": ("DELETE FROM secret_scope", "DELETE FROM vault"),
    "everything is gone": ("DELETE FROM secret", "DELETE FROM secret_scope", "DELETE FROM vault"),
    "a manifest is cut short": ("UPDATE vault SET manifest = substr(manifest, 1, 12)",),
    "a value is cut short": ("UPDATE secret SET sealed = substr(sealed, 1, 12)",),
}


@pytest.mark.parametrize("what", TAMPERINGS)
def test_what_was_changed_behind_its_back_is_refused(vaulted: Vaulted, what: str, caplog: pytest.LogCaptureFixture) -> None:
    vaulted.tamper(*TAMPERINGS[what])
    with caplog.at_level(logging.DEBUG), pytest.raises(Tampered) as refused:
        vaulted.read("etl", "a")
    [told] = [record.getMessage() for record in caplog.records if "incident" in record.getMessage()]
    number = told.split()[1].rstrip(":")
    assert number in refused.value.message
    assert "value of" not in told + refused.value.message
    assert vaulted.rows("SELECT action, target, outcome, detail FROM audit ORDER BY id DESC LIMIT 1") == [
        ("secret.read", "secret/etl/a", "refused", "Tampered")
    ]


@pytest.mark.parametrize("what", [what for what in TAMPERINGS if "value" not in what])
def test_nor_is_a_list_or_a_change_made_of_it(vaulted: Vaulted, what: str) -> None:
    vaulted.tamper(*TAMPERINGS[what])
    before = vaulted.rows("SELECT * FROM secret ORDER BY scope, name"), vaulted.rows("SELECT * FROM vault")
    for act in (lambda: vaulted.names("etl"), lambda: vaulted.put("etl", "c", "new"), lambda: vaulted.delete("etl", "a")):
        with pytest.raises(Tampered):
            act()
    assert (vaulted.rows("SELECT * FROM secret ORDER BY scope, name"), vaulted.rows("SELECT * FROM vault")) == before


def saved(vaulted: Vaulted, table: str, where: str = "1") -> list[tuple[str, tuple[Any, ...]]]:
    """What puts these rows back as they are now."""
    return [
        (f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608
        for row in vaulted.rows(f"SELECT * FROM {table} WHERE {where}")  # noqa: S608
    ]


@pytest.mark.parametrize("again", ["replaced", "deleted", "made again"])
@pytest.mark.parametrize("extent", ["the row", "the row and its scope's manifest", "the row and the root manifest"])
def test_an_older_version_put_back_is_refused(vaulted: Vaulted, again: str, extent: str) -> None:
    older = saved(vaulted, "secret", "scope = 'etl' AND name = 'a'")
    if "scope" in extent:
        older += saved(vaulted, "secret_scope", "name = 'etl'")
    if "root" in extent:
        older += saved(vaulted, "vault")
    if again != "replaced":
        vaulted.delete("etl", "a")
    if again != "deleted":
        vaulted.put("etl", "a", "newer")
    vaulted.tamper(*older)
    with pytest.raises(Tampered):
        vaulted.read("etl", "a")


def test_an_older_value_under_the_newer_version_is_refused(vaulted: Vaulted) -> None:
    [(older,)] = vaulted.rows("SELECT sealed FROM secret WHERE scope = 'etl' AND name = 'a'")
    vaulted.put("etl", "a", "newer")
    vaulted.tamper(("UPDATE secret SET sealed = ? WHERE scope = 'etl' AND name = 'a'", (older,)))
    with pytest.raises(Tampered):
        vaulted.read("etl", "a")


def test_a_value_is_bound_to_all_of_its_place() -> None:
    places = [place_of(scope, name, version) for scope in ("a", "b") for name in ("a", "b") for version in (1, 2)]
    assert len(set(places)) == len(places)


def test_only_the_whole_vault_as_it_once_was_is_taken_for_what_it_is(vaulted: Vaulted) -> None:
    """The limit of what can be seen without a memory outside of the database; the README tells it."""
    older = [*saved(vaulted, "secret"), *saved(vaulted, "secret_scope"), *saved(vaulted, "vault")]
    vaulted.put("etl", "a", "newer")
    vaulted.tamper(*older)
    assert vaulted.read("etl", "a") == "value of etl/a"


@pytest.mark.parametrize("keks", [(), (OTHER,)], ids=["missing", "another"])
def test_without_the_right_key_nothing_is_told_and_nothing_is_changed(vaulted: Vaulted, keks: tuple[bytes, ...]) -> None:
    locked = vaulted.under(Sealer(keks))
    before = vaulted.rows("SELECT * FROM secret"), vaulted.rows("SELECT * FROM secret_scope"), vaulted.rows("SELECT * FROM vault")
    acts: list[Any] = [
        locked.scopes,
        lambda: locked.names("etl"),
        lambda: locked.create("new"),
        lambda: locked.put("etl", "a", "new"),
        lambda: locked.read("etl", "a"),
        lambda: locked.delete("etl", "a"),
        lambda: locked.database.transact(locked.vault.begin),
    ]
    for act in acts:
        with pytest.raises(Sealed) as refused:
            act()
        assert type(refused.value) is Sealed
    assert (vaulted.rows("SELECT * FROM secret"), vaulted.rows("SELECT * FROM secret_scope"), vaulted.rows("SELECT * FROM vault")) == before
    assert vaulted.read("etl", "a") == "value of etl/a"


def test_a_scope_made_again_has_none_of_the_roles_of_the_one_before(vaulted: Vaulted) -> None:
    vaulted.delete("ml", "a")
    vaulted.tamper("INSERT INTO role_assignment VALUES ('user', 'u1', 'secret_scope', 'ml', 'secret_scope_reader')")
    vaulted.drop("ml")
    held = "SELECT principal_id, role FROM role_assignment WHERE resource_kind = 'secret_scope' AND resource_id = 'ml'"
    assert vaulted.rows(held) == []
    vaulted.tamper("INSERT INTO role_assignment VALUES ('user', 'u1', 'secret_scope', 'ml', 'secret_scope_reader')")
    vaulted.create("ml")
    assert vaulted.rows(held) == [("sa-root", "secret_scope_manager")]


@pytest.mark.parametrize("name", ["a", "A-b.c@d_e", "_", "0" * 256])
def test_a_name_may_be(name: str) -> None:
    assert checked_name(name, "scope") == name


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "-a", "@", "a b", "a/b", "a\n", "é", "a%2Fb", "0" * 257, "a\0"])
def test_a_name_may_not_be(name: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^scope: 1 to 256") as refused:
        checked_name(name, "scope")
    assert len(name) < 3 or name not in refused.value.message
