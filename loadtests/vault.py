"""`python -m loadtests.vault`: what it costs to vouch for all secrets with each of them. CPU time of the acts alone, on an SQLite store of
its own: what the disk takes is the disk's, and the same for every act. And how long everything takes to be sealed under another key.
"""

import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click
from rich.console import Console
from rich.table import Table
from sqlalchemy.orm import Session

from gateway.access.administration import Act, Administration
from gateway.access.manifests import open_manifests
from gateway.access.principals import shell
from gateway.access.rekeying import rewrap_all
from gateway.access.roles import SHELL, Action, ScopeRole, Standing, including_scopes
from gateway.access.sealing import KEK_BYTES, Sealer
from gateway.access.store.database import Database
from gateway.access.store.tables import Secret, SecretScope
from gateway.access.vault import SecretVault, place_of
from gateway.administering import open_file

SHAPES = ((1, 100), (1, 1_000), (1, 10_000), (100, 100))
_VALUE = "v" * 40
_OLD, _NEW = bytes(KEK_BYTES), bytes([1]) * KEK_BYTES


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians in milliseconds of CPU time: an act that does nothing but be written down, the reading of a value, a new value; and in
    seconds, on the clock, another key for all."""

    scopes: int
    secrets: int
    bare_ms: float
    read_ms: float
    put_ms: float
    rotation_s: float


def measure(folder: Path, scopes: int, each: int, acts: int) -> Cost:
    database = open_file(folder)
    try:
        database.migrate()
        vault = SecretVault(Sealer([_OLD]))
        database.transact(lambda session: fill(session, Sealer([_OLD]), scopes, each))
        chance = random.Random(1)

        def place() -> tuple[str, str]:
            return f"scope_{chance.randrange(scopes)}", f"secret_{chance.randrange(each)}"

        def spent(work: Callable[[Act], object]) -> float:
            return median([cpu_ms(database, scopes, work) for _ in range(acts)])

        bare = spent(Act.only_judged_by_what_is_shown)
        read = spent(lambda act: vault.read(act, *place()))
        put = spent(lambda act: vault.put(act, *place(), _VALUE))
        started = time.perf_counter()
        sealer = Sealer([_NEW, _OLD])
        Administration(database).act_at_once(shell("bench"), Action.ROTATE_KEK, "vault/kek", lambda act: rewrap_all(act, sealer, _unheard))
        return Cost(scopes, scopes * each, bare, read, put, time.perf_counter() - started)
    finally:
        database.close()


def cpu_ms(database: Database, scopes: int, work: Callable[[Act], object]) -> float:
    """Of one act, audited like every act, by whoever holds a role on every scope."""

    held = standing(scopes)

    def judged(act: Act) -> object:
        act.only_judged_by_what_is_shown()
        return work(Act(act.session, act.actor, held, act.now_us))

    administration = Administration(database)
    started = time.process_time()
    administration.act_at_once(shell("bench"), Action.READ_SECRET, "secret/scope/name", judged, changes_access=False)
    return (time.process_time() - started) * 1e3


def standing(scopes: int) -> Standing:
    held = including_scopes([ScopeRole.MANAGER])
    return Standing(None, SHELL.admin, SHELL.everywhere, scopes={f"scope_{number}": held for number in range(scopes)})


def fill(session: Session, sealer: Sealer, scopes: int, each: int) -> None:
    """All in one go: one put after the other would vouch for everything each time."""
    manifests = open_manifests(session, sealer)
    for scope in (f"scope_{number}" for number in range(scopes)):
        versions = {f"secret_{number}": manifests.advance() for number in range(each)}
        session.add(SecretScope(name=scope, manifest=manifests.record(scope, versions), created_us=0))
        session.flush()
        for name, version in versions.items():
            sealed = sealer.seal(_VALUE.encode(), place_of(scope, name, version))
            session.add(Secret(scope=scope, name=name, version=version, sealed=sealed, created_us=0, updated_us=0))


def _unheard(_: int) -> None:
    """Nobody watches."""


@click.command()
@click.option("--acts", default=300, show_default=True, help="How often each act is timed.")
def main(acts: int) -> None:
    """What a reading and a new value cost, by how many secrets there are."""
    table = Table("scopes", "secrets", "act alone", "read", "put", "another key for all")
    for scopes, each in SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            cost = measure(Path(folder), scopes, each, acts)
        times = [f"{value:.2f} ms" for value in (cost.bare_ms, cost.read_ms, cost.put_ms)]
        table.add_row(f"{cost.scopes}", f"{cost.secrets:,}", *times, f"{cost.rotation_s:.1f} s")
    Console().print(table)


if __name__ == "__main__":
    main()
