"""Lines reach the file in order, whole and bounded; what cannot be written is counted and complained of once."""

import logging
import threading
from pathlib import Path

import pytest

from gateway import line_file
from gateway.line_file import LineFile
from tests.harness.clock import wait_until


def test_lines_are_appended_in_order_to_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    file = LineFile(path, 100)
    assert file.size_bytes() == 7
    for number in range(10):
        file.add(f"{number}\n")
    file.close()
    assert path.read_text() == "before\n" + "".join(f"{number}\n" for number in range(10))
    assert file.dropped == 0


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "log", 100)
    assert file.size_bytes() == 0
    file.add("line\n")
    file.close()
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_the_thread_writes_by_itself_and_earlier_where_the_buffer_is_half_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_file, "FLUSH_EVERY_S", 3_600.0)
    path = tmp_path / "log"
    file = LineFile(path, 4)
    file.add("1\n")
    file.add("2\n")
    wait_until(lambda: path.exists() and path.read_text() == "1\n2\n", "half the buffer is written")
    file.close()


def test_closing_what_never_had_a_line_leaves_no_file(tmp_path: Path) -> None:
    before = threading.active_count()
    file = LineFile(tmp_path / "log", 100)
    file.flush()
    file.close()
    assert not (tmp_path / "log").exists()
    assert threading.active_count() == before


def test_a_full_buffer_takes_no_more_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_file, "FLUSH_EVERY_S", 3_600.0)
    file = LineFile(tmp_path / "log", 3)
    with file._writing:  # the thread cannot write meanwhile
        for number in range(5):
            if file.has_room():
                file._lines.append(f"{number}\n")
    assert file.dropped == 2
    file.close()
    assert (tmp_path / "log").read_text() == "0\n1\n2\n"


def test_a_turn_keeps_one_file_before(tmp_path: Path) -> None:
    path = tmp_path / "log"
    file = LineFile(path, 100)
    file.turn()  # there is no file yet
    for text in ("first\n", "second\n", "third\n"):
        file.add(text)
        if text != "third\n":
            file.turn()
    file.close()
    assert path.read_text() == "third\n"
    assert (tmp_path / "log.1").read_text() == "second\n"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["log", "log.1"]


def test_a_file_that_cannot_be_renamed_is_emptied(tmp_path: Path) -> None:
    path = tmp_path / "log"
    (tmp_path / "log.1" / "in the way").mkdir(parents=True)
    file = LineFile(path, 100)
    file.add("first\n")
    file.turn()
    file.add("second\n")
    file.close()
    assert path.read_text() == "second\n"


def test_one_that_cannot_be_emptied_either_is_complained_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "log"
    path.mkdir()
    (tmp_path / "log.1").write_text("in the way")
    file = LineFile(path, 100)
    file.turn()
    file.flush()
    assert [record.getMessage() for record in caplog.records] == ["log can neither be renamed nor emptied (Is a directory)"]


def test_what_cannot_be_written_is_counted_and_complained_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "not yet" / "log"
    file = LineFile(path, 100)
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            file.add(f"{number}\n")
            file.flush()
    assert [record.getMessage() for record in caplog.records] == [
        "log cannot be written (No such file or directory); what it would say is dropped"
    ]
    assert file.dropped == 3
    assert file.torn
    path.parent.mkdir()
    file.add("again\n")
    file.close()
    assert path.read_text() == "\nagain\n"  # what failed may have ended within a line
    assert file.dropped == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_costs_lines(caplog: pytest.LogCaptureFixture) -> None:
    file = LineFile(Path("/dev/full"), 100)
    file.add("line\n")
    file.close()
    assert file.dropped == 1
    assert "No space left on device" in caplog.text
