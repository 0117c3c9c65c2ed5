"""What the vault's cost is measured with really reads, writes and rotates."""

from pathlib import Path

from click.testing import CliRunner

from gateway.access.rekeying import survey
from gateway.access.sealing import KEK_BYTES, Sealer
from gateway.administering import open_file
from loadtests.vault import main, measure


def test_every_secret_is_there_and_under_the_other_key_afterwards(tmp_path: Path) -> None:
    cost = measure(tmp_path, scopes=3, each=4, acts=2)
    assert (cost.scopes, cost.secrets) == (3, 12)
    assert min(cost.bare_ms, cost.read_ms, cost.put_ms, cost.rotation_s) > 0
    database, sealer = open_file(tmp_path), Sealer([bytes([1]) * KEK_BYTES])
    try:
        told = database.transact(lambda session: survey(session, sealer), writes=False)
    finally:
        database.close()
    assert (told.secrets, told.under, told.refused, told.sealed) == (12, {sealer.kek_id: 12}, [], None)


def test_it_says_what_it_is_for() -> None:
    assert "by how many secrets there are" in CliRunner().invoke(main, ["--help"]).output
