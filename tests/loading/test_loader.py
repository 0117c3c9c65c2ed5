"""Loading goes on where it stopped, stores what came before a bad row, and notices another file under the same name."""

from collections.abc import Sequence
from pathlib import Path
from threading import Event

import pytest

from gateway.feature_server.catalog import Catalog
from gateway.feature_server.definitions import FeatureService, Repository, Workspace
from gateway.feature_server.engine import Engine
from gateway.feature_server.online.sqlite import SqliteStore
from gateway.feature_server.windows import Row
from gateway.loading.checkpoints import Checkpoints, FileChanged
from gateway.loading.client import PushFailed
from gateway.loading.loader import BadRowFound, EngineSink, Loader, Stopped, Tally
from tests.feature_server.purchases import BY_SHOP, BY_USER, NOW_NS, REPOSITORY, read

PURCHASES = Catalog(REPOSITORY).sources["shop", "purchases"]
HEADER = "at,order,user,shop,items\n"


class Kept:
    """A sink that keeps rows, and breaks at a batch when it is told to."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.breaks_after: int | None = None
        self.stops: Event | None = None

    def store(self, rows: Sequence[Row]) -> int:
        if self.breaks_after is not None and len(self.rows) >= self.breaks_after:
            raise PushFailed
        self.rows += rows
        if self.stops is not None:
            self.stops.set()
        return len(rows)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text(HEADER + "".join(f"2024-05-01T11:30:00Z,o{number},ann,7,1\n" for number in range(25)))
    return path


def loader(folder: Path, sink: Kept | EngineSink, *, skip_bad: bool = False) -> Loader:
    checkpoints = Checkpoints(folder / "ingest", "here", "shop", "purchases")
    return Loader(
        PURCHASES, sink, checkpoints, batch_rows=10, skip_bad=skip_bad, stop=Event(), progress=lambda _file, _position, _tally: None
    )


def test_a_file_is_loaded_in_batches_and_not_again(file: Path, tmp_path: Path) -> None:
    sink, told = Kept(), list[tuple[int, int]]()
    checkpoints = Checkpoints(tmp_path / "ingest", "here", "shop", "purchases")
    first = Loader(
        PURCHASES,
        sink,
        checkpoints,
        batch_rows=10,
        skip_bad=False,
        stop=Event(),
        progress=lambda _file, position, tally: told.append((position, tally.stored)),
    )
    first.load(file)
    assert [stored for _, stored in told] == [10, 20, 25]
    assert told[-1][0] == file.stat().st_size
    again = loader(tmp_path, sink)
    again.load(file)
    assert again.tally == Tally(resumed=25)
    assert [row[1] for row in sink.rows] == [f"o{number}" for number in range(25)]


def test_what_was_broken_off_goes_on_where_it_stopped(file: Path, tmp_path: Path) -> None:
    sink = Kept()
    sink.breaks_after = 20
    with pytest.raises(PushFailed):
        loader(tmp_path, sink).load(file)
    sink.breaks_after = None
    again = loader(tmp_path, sink)
    again.load(file)
    assert again.tally == Tally(read=5, stored=5, resumed=20)
    assert [row[1] for row in sink.rows] == [f"o{number}" for number in range(25)]


def test_it_stops_after_a_batch_when_it_is_asked_to(file: Path, tmp_path: Path) -> None:
    sink, stop = Kept(), Event()
    sink.stops = stop
    checkpoints = Checkpoints(tmp_path / "ingest", "here", "shop", "purchases")
    with pytest.raises(Stopped):
        Loader(PURCHASES, sink, checkpoints, batch_rows=10, skip_bad=False, stop=stop, progress=lambda *_: None).load(file)
    assert (len(sink.rows), checkpoints.rows(file)) == (10, 10)


def test_another_target_begins_from_the_start(file: Path, tmp_path: Path) -> None:
    loader(tmp_path, Kept()).load(file)
    checkpoints = Checkpoints(tmp_path / "ingest", "elsewhere", "shop", "purchases")
    assert checkpoints.rows(file) == 0


def test_a_changed_file_is_noticed_and_can_be_begun_anew(file: Path, tmp_path: Path) -> None:
    loader(tmp_path, Kept()).load(file)
    with file.open("a") as more:
        more.write("2024-05-01T11:30:00Z,o99,ann,7,1\n")
    with pytest.raises(FileChanged, match=r"has changed since 25 rows of it were loaded\. Begin anew with --restart"):
        loader(tmp_path, Kept()).load(file)
    checkpoints, sink = Checkpoints(tmp_path / "ingest", "here", "shop", "purchases"), Kept()
    checkpoints.restart(file)
    Loader(PURCHASES, sink, checkpoints, batch_rows=10, skip_bad=False, stop=Event(), progress=lambda *_: None).load(file)
    assert len(sink.rows) == 26


def test_a_broken_checkpoint_is_as_good_as_none(file: Path, tmp_path: Path) -> None:
    loader(tmp_path, Kept()).load(file)
    [kept] = (tmp_path / "ingest").iterdir()
    kept.write_text("{")
    sink = Kept()
    loader(tmp_path, sink).load(file)
    assert len(sink.rows) == 25


@pytest.fixture
def spoilt(file: Path) -> Path:
    lines = file.read_text().splitlines(keepends=True)
    lines[14] = "2024-05-01T11:30:00Z,o13,ann,secret,1\n"
    file.write_text("".join(lines))
    return file


def test_what_comes_before_a_bad_row_is_stored_and_it_is_where_the_next_run_begins(spoilt: Path, tmp_path: Path) -> None:
    sink = Kept()
    for _ in range(2):
        with pytest.raises(BadRowFound) as told:
            loader(tmp_path, sink).load(spoilt)
        assert str(told.value) == f"{spoilt}:15: column shop has the wrong type, expected int64"
        assert [row[1] for row in sink.rows] == [f"o{number}" for number in range(13)]
    again = loader(tmp_path, sink, skip_bad=True)
    again.load(spoilt)
    assert (again.tally.resumed, again.tally.stored, again.tally.bad_count, len(again.tally.bad)) == (13, 11, 1, 1)
    assert len(sink.rows) == 24


def test_only_the_first_bad_rows_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(HEADER + "x,x,x,x,x\n" * 50)
    one = loader(tmp_path, Kept(), skip_bad=True)
    one.load(path)
    assert (one.tally.read, one.tally.stored, one.tally.bad_count, len(one.tally.bad)) == (50, 0, 50, 20)


def test_each_view_takes_what_its_ttl_still_wants(tmp_path: Path) -> None:
    """`by_shop` keeps a day, `by_user` everything."""
    path = tmp_path / "rows.csv"
    path.write_text(HEADER + "2024-04-29T11:30:00Z,o1,ann,7,1\n2024-05-01T11:55:00Z,o2,ann,7,2\n2024-05-01T10:30:00Z,o3,ann,7,4\n")
    for views, stored in (((BY_USER, BY_SHOP), 3), ((BY_SHOP,), 2)):
        repository = Repository(
            (Workspace("shop", (PURCHASES.source,), views, (FeatureService("checkout", tuple(v.name for v in views)),)),)
        )
        engine = Engine.open(repository, SqliteStore(tmp_path / f"{stored}.db"), lambda: NOW_NS)
        one = loader(tmp_path / str(stored), EngineSink(engine, engine.catalog.sources["shop", "purchases"]))
        one.load(path)
        assert one.tally == Tally(read=3, stored=stored, too_old=3 - stored)
        assert read(engine, {"user": "ann", "shop": 7}, "by_shop")["items_count_1h_1h"] == 1
        engine.close()
