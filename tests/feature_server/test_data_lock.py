"""One process at a time, or several that share; the end of a process is the end of its lock."""

import os
import signal
from pathlib import Path

import pytest

from gateway.feature_server.data_lock import DataLock, FolderInUse, Holder, holder


def test_who_has_it_is_known_to_who_comes_later(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    lock = DataLock.take(tmp_path / "data", "a server")
    assert holder(tmp_path / "data") == Holder("a server", os.getpid())
    for shared in (False, True):
        with pytest.raises(FolderInUse, match=rf"data is in use by a server \(process {os.getpid()}\)\."):
            DataLock.take(tmp_path / "data", "another", shared=shared)
    lock.release()
    lock.release()
    assert holder(tmp_path / "data") is None
    DataLock.take(tmp_path / "data", "another").release()


def test_those_who_share_keep_others_out(tmp_path: Path) -> None:
    locks = [DataLock.take(tmp_path, "a reader", shared=True) for _ in range(2)]
    locks[0].release()
    with pytest.raises(FolderInUse):
        DataLock.take(tmp_path, "a writer")
    locks[1].release()
    DataLock.take(tmp_path, "a writer").release()


def test_it_ends_with_its_process(tmp_path: Path) -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        DataLock.take(tmp_path, "a child")
        os.write(write, b".")
        signal.pause()
    os.read(read, 1)
    assert holder(tmp_path) == Holder("a child", child)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert holder(tmp_path) is None
    for end in (read, write):
        os.close(end)
