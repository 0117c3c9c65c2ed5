"""A version is what a repository's folder says, wherever it lies and however it is mounted."""

from pathlib import Path

import pytest

from gateway.feature_server import snapshot
from gateway.feature_server.folder import load
from gateway.feature_server.snapshot import matching
from gateway.feature_server.validation import DefinitionError
from tests.harness.repositories import write_repository


def taken(folder: Path) -> snapshot.Snapshot:
    return snapshot.take(folder, load(folder))


def test_hidden_files_compiled_files_and_history_are_no_part_of_it(tmp_path: Path) -> None:
    folder = write_repository(tmp_path / "plain")
    plain = taken(folder)
    for name in (".git/config", "__pycache__/on_demand.pyc", "old.pyc", "data/2024.csv"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("not this")
    assert taken(folder).files == plain.files
    assert set(plain.files) == {"orders.yaml", "on_demand.py"}
    (folder / "data" / "prices.json").write_text("{}")
    assert taken(folder).digest != plain.digest


def test_names_and_contents_are_told_apart() -> None:
    folder = Path()
    digests = {snapshot.Snapshot(folder, files).digest for files in ({"a": b"bc"}, {"ab": b"c"}, {"a": b"", "b": b"c"}, {})}
    assert len(digests) == 4


def test_a_mounted_config_map_is_the_same_as_the_folder_it_was_made_of(tmp_path: Path) -> None:
    plain = write_repository(tmp_path / "plain")
    mounted = tmp_path / "mounted"
    write_repository(mounted / "..2024")
    (mounted / "..data").symlink_to("..2024")
    for name in ("orders.yaml", "on_demand.py"):
        (mounted / name).symlink_to(f"..data/{name}")
    assert taken(mounted).digest == taken(plain).digest


def test_links_that_lead_out_are_refused(tmp_path: Path) -> None:
    folder = write_repository(tmp_path / "plain")
    repository = load(folder)
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "linked.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(DefinitionError, match=r"linked.txt: the link leads out of the folder"):
        snapshot.take(folder, repository)


def test_a_folder_with_data_in_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_repository(tmp_path / "plain")
    monkeypatch.setattr(snapshot, "MAX_BYTES", 2**20)
    (folder / "dump.bin").write_bytes(bytes(2**20))
    with pytest.raises(DefinitionError, match=r"holds more than 1 MiB\. Name its data under the source's `files`"):
        taken(folder)


def test_patterns_name_each_file_once_in_order(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "sub/c.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert matching(tmp_path, ["b.*", "**/*.csv"]) == [tmp_path / "b.csv", tmp_path / "a.csv", tmp_path / "sub/c.csv"]
    assert matching(tmp_path, [str(tmp_path / "a.csv")]) == [tmp_path / "a.csv"]
