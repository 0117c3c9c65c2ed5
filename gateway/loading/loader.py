"""Files into a stream source, batch by batch: read, store, note how far it has come.

Owns the order of things and the count. Where the rows go is a `Sink`'s business; how they are read is `feature_server.files`'.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Protocol

from gateway.feature_server.catalog import SourceRuntime
from gateway.feature_server.engine import Engine
from gateway.feature_server.files import BadRow, Reading, open_file
from gateway.feature_server.windows import Row
from gateway.loading.checkpoints import Checkpoints

_LISTED = 20


class Sink(Protocol):
    def store(self, rows: Sequence[Row]) -> int:
        """All of these are stored once this has returned, but those that are too old for the views; the number of those stored."""
        ...


class BadRowFound(Exception):
    """What came before it is stored."""

    def __init__(self, bad: BadRow) -> None:
        super().__init__(str(bad))


class Stopped(Exception):
    """As it was asked to; what was read is stored."""


@dataclass(slots=True)
class Tally:
    """`read`: rows of this run, good ones and bad. `bad` has the first of the bad ones, `bad_count` says how many there were."""

    read: int = 0
    stored: int = 0
    too_old: int = 0
    resumed: int = 0
    bad_count: int = 0
    bad: list[BadRow] = field(default_factory=list)


class EngineSink:
    """Straight into an engine of this process."""

    def __init__(self, engine: Engine, source: SourceRuntime) -> None:
        self._engine = engine
        self._source = source

    def store(self, rows: Sequence[Row]) -> int:
        return self._engine.store(self._source, rows)


class Loader:
    """`progress` hears, after every batch, the file, about how many of its bytes are read, and the tally so far. `stop`: looked at after
    every batch."""

    def __init__(
        self,
        source: SourceRuntime,
        sink: Sink,
        checkpoints: Checkpoints,
        *,
        batch_rows: int,
        skip_bad: bool,
        stop: Event,
        progress: Callable[[Path, int, Tally], None],
    ) -> None:
        self._source = source
        self._sink = sink
        self._checkpoints = checkpoints
        self._batch_rows = batch_rows
        self._skip_bad = skip_bad
        self._stop = stop
        self._progress = progress
        self.tally = Tally()

    def load(self, path: Path) -> None:
        """The rest of one file. Raises BadRowFound, Stopped, FileUnreadable, FileChanged, OSError, and what the sink raises."""
        done = self._checkpoints.rows(path)
        if self._checkpoints.whole(path):
            self.tally.resumed += done
            return
        reading = open_file(path, self._source, done)
        self.tally.resumed += done
        batch: list[Row] = []
        count = 0
        for row in reading:
            count += 1
            self.tally.read += 1
            if isinstance(row, BadRow):
                self._bad(path, reading, row, batch, done + count - 1)
            else:
                batch.append(row)
            if count >= self._batch_rows:
                done += count
                self._flush(path, reading, batch, done)
                batch, count = [], 0
                if self._stop.is_set():
                    raise Stopped
        self._flush(path, reading, batch, done + count, whole=True)

    def _bad(self, path: Path, reading: Reading, bad: BadRow, batch: Sequence[Row], done: int) -> None:
        if not self._skip_bad:
            self.tally.read -= 1
            self._flush(path, reading, batch, done)
            raise BadRowFound(bad)
        self.tally.bad_count += 1
        if len(self.tally.bad) < _LISTED:
            self.tally.bad.append(bad)

    def _flush(self, path: Path, reading: Reading, batch: Sequence[Row], done: int, *, whole: bool = False) -> None:
        if batch:
            stored = self._sink.store(batch)
            self.tally.stored += stored
            self.tally.too_old += len(batch) - stored
        self._checkpoints.advance(path, done, whole=whole)
        self._progress(path, path.stat().st_size if whole else reading.position, self.tally)
