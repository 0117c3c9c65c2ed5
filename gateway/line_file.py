"""Lines appended to a file by a thread of its own: whoever adds them never waits for a disk. Bounded in memory and on disk.

Owns buffer, thread, file and rotation. Knows nothing of what the lines say.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Sequence
from io import FileIO
from pathlib import Path

logger = logging.getLogger(__name__)
FLUSH_EVERY_S = 1.0
_CLOSING_S = 5.0


class LineFile:
    """Lines are added by one thread (an event loop's). A file that cannot be written costs lines, which are counted, and is complained of
    once; it is tried again with the next ones. `torn`: lines were lost, so what is added next must not lean on them; who adds resets it.

    The thread begins with the first line.
    """

    def __init__(self, path: Path, buffered_lines: int) -> None:
        self._path = path
        self._buffered_lines = buffered_lines
        self._lines: deque[str | None] = deque()  # None: a new file begins here. Its ends are each one thread's, so it needs no lock
        self._refused = 0
        self._unwritten = 0
        self.torn = False
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._writing = threading.Lock()
        self._file: FileIO | None = None
        self._failing = False

    @property
    def dropped(self) -> int:
        """Lines that came while the buffer was full, or could not be written."""
        return self._refused + self._unwritten

    def size_bytes(self) -> int:
        """Of the file as it is now."""
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def has_room(self) -> bool:
        """Whether the buffer takes one more. Who finds that it does not drops a line, which is counted here."""
        if len(self._lines) < self._buffered_lines:
            return True
        self._refused += 1
        return False

    def add(self, line: str) -> None:
        self._lines.append(line)
        if len(self._lines) * 2 == self._buffered_lines:
            self._wake.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._path.name, daemon=True)
            self._thread.start()

    def turn(self) -> None:
        """What is added from here on goes into a new file; the one until here becomes `<path>.1`, in the place of that before it."""
        self._lines.append(None)

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(FLUSH_EVERY_S)
            self._wake.clear()
            self.flush()

    def close(self) -> None:
        """Write what is there, and end. Blocks, for some seconds at most unless the disk does."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_CLOSING_S)
        self.flush()
        with self._writing:
            self._let_go()

    def flush(self) -> None:
        """Write all lines that are there. Blocks; not for the thread that adds them."""
        with self._writing:
            lines: list[str] = []
            for _ in range(len(self._lines)):
                line = self._lines.popleft()
                if line is not None:
                    lines.append(line)
                    continue
                self._write(lines)
                self._turn()
                lines = []
            self._write(lines)

    def _write(self, lines: Sequence[str]) -> None:
        if not lines:
            return
        try:
            self._put("".join(lines) if not self._failing else "\n" + "".join(lines))  # what failed may have ended within a line
        except OSError as error:
            self._let_go()
            self._unwritten += len(lines)
            self.torn = True
            if not self._failing:
                logger.warning("%s cannot be written (%s); what it would say is dropped", self._path.name, _reason(error))
            self._failing = True
        else:
            self._failing = False

    def _put(self, text: str) -> None:
        """All of it. A file that was let go is opened again."""
        if self._file is None:
            self._file = FileIO(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")
        rest = memoryview(text.encode())
        while rest:
            rest = rest[self._file.write(rest) :]

    def _turn(self) -> None:
        """Where the file cannot be renamed it is emptied: its size is a promise."""
        self._let_go()
        try:
            self._path.replace(f"{self._path}.1")
        except FileNotFoundError:
            return
        except OSError:
            self._empty()

    def _empty(self) -> None:
        try:
            os.truncate(self._path, 0)
        except OSError as error:
            logger.warning("%s can neither be renamed nor emptied (%s)", self._path.name, _reason(error))

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or 0)
