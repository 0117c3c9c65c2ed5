"""`feature-gateway simulate`: a log in, a table, JSON or a page out, and a clear word about logs that are not whole."""

import gzip
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.commands.simulate import show, spell_span
from gateway.commands.simulation_page import spell_bytes
from gateway.simulation import Cell, read_log, replay
from tests.commands.terminals import said_on_a_terminal
from tests.test_simulation import VIEW, header, introduction, row


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Two users, one of them read four times within ten minutes."""
    path = tmp_path / "requests.jsonl"
    rows = [row(at_s, key) for at_s, key in ((0, "a"), (30, "a"), (31, "b"), (300, "a"), (600, "a"))]
    path.write_bytes(b"\n".join([header(), introduction(VIEW), *rows]) + b"\n")
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["simulate", *map(str, arguments)])


def figures(*arguments: object) -> Any:
    ended = run(*arguments, "--json")
    assert ended.exit_code == 0, ended.output
    return json.loads(ended.stdout)


def test_the_table_has_a_row_for_each_cache(log: Path) -> None:
    ended = run(log, "--ttl", "1m", "--ttl", "1h", "--size", "1MiB", "--size", "1KiB")
    assert ended.exit_code == 0, ended.output
    said = [line.split() for line in ended.stdout.splitlines()]
    assert ended.stdout.startswith("5 rows over 10.0 minutes, 5 view reads of 2 sets of join keys.\nAll fragments take 2.0 KiB.")
    assert said[2] == ["TTL", "size", "hit", "ratio", "stale", "calls", "saved"]
    assert said[3:] == [
        ["1m", "1.0", "MiB", "20.0%", "0.0%", "20.0%"],
        ["1m", "1.0", "KiB", "20.0%", "0.0%", "20.0%"],
        ["1h", "1.0", "MiB", "60.0%", "0.0%", "60.0%"],
        ["1h", "1.0", "KiB", "40.0%", "0.0%", "40.0%"],
    ]


def test_json_says_the_same_and_how_whole_the_log_is(log: Path) -> None:
    told = figures(log, "--ttl", "1m", "--size", "50%", "--stale-while-revalidate", "5m")
    assert told["log"] == {
        "rows": 5,
        "view_reads": 5,
        "key_sets": 2,
        "sample": 1.0,
        "seconds": 600.0,
        "working_set_bytes": 2_000,
        "damaged_lines": 0,
        "skipped_rows": 0,
        "dropped_lines": 0,
    }
    assert told["outcomes"] == [
        {
            "ttl_s": 60.0,
            "size_bytes": 1_000,
            "stale_while_revalidate_s": 300.0,
            "hit_ratio": 0.2,
            "stale_share": 0.2,
            "saved_calls": pytest.approx(0.2),
        }
    ]


def test_gzipped_logs_are_read_whatever_their_name(log: Path, tmp_path: Path) -> None:
    zipped = tmp_path / "anything"
    zipped.write_bytes(gzip.compress(log.read_bytes()))
    assert figures(zipped) == figures(log)


def test_a_log_that_breaks_off_or_has_damaged_lines_is_used_as_far_as_it_goes(log: Path, tmp_path: Path) -> None:
    damaged, broken = tmp_path / "damaged", tmp_path / "broken.gz"
    text = log.read_bytes()
    damaged.write_bytes(text + b'{"at":7\n' + row(9, "a", number=8) + b'\n{"dropped":4}\n')
    ended = run(damaged, "--json")
    assert json.loads(ended.stdout)["log"]["rows"] == 5
    assert ended.stderr.splitlines() == [
        f"{damaged}: 1 damaged lines were skipped.",
        f"{damaged}: 1 rows were skipped, of views that no line before them introduces.",
        f"{damaged}: 4 lines are missing, because the gateway could not write them.",
    ]
    noise = os.urandom(200_000).hex().encode()
    broken.write_bytes(gzip.compress(text + noise)[:-1_000])
    ended = run(broken, "--json")
    assert json.loads(ended.stdout)["log"]["rows"] == 5
    assert f"{broken} breaks off (" in ended.stderr


def test_a_sample_says_so_and_does_not_guess_calls(log: Path) -> None:
    log.write_bytes(log.read_bytes().replace(b'"sample": 1.0', b'"sample": 0.5'))
    ended = run(log, "--ttl", "1h", "--size", "1MiB")
    assert "a sample of 0.5 of all." in ended.stdout
    assert "All fragments take 3.9 KiB." in ended.stdout
    assert ended.stdout.splitlines()[-1].split()[-1] == "-"
    assert figures(log, "--ttl", "1h", "--size", "1MiB")["outcomes"][0]["saved_calls"] is None


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        (("--ttl", "soon"), "must be a duration, such as 90s"),
        (("--stale-while-revalidate", "-1s"), "must be a duration, such as 90s"),
        (("--size", "64MB"), "64MB is not a size, such as 64MiB, 1.5GiB or 25%."),
        (("--size", "0%"), "0% is not a size"),
    ],
)
def test_options_that_make_no_sense_are_told(log: Path, option: tuple[str, str], complaint: str) -> None:
    ended = run(log, *option)
    assert ended.exit_code == 2
    assert complaint in re.sub(r"\s+", " ", ended.stderr)


def test_what_is_no_log_is_told(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a log\n")
    ended = run(file)
    assert ended.exit_code == 2
    assert ended.stderr == f"{file}: This is not a request log: no line of it says with which settings it was made.\n"
    assert run(tmp_path / "nothing").exit_code == 2


def test_a_page_that_cannot_be_written_is_told(log: Path, tmp_path: Path) -> None:
    ended = run(log, "--html", tmp_path / "missing" / "page.html")
    assert ended.exit_code == 2
    assert ended.stderr == f"{tmp_path / 'missing' / 'page.html'}: No such file or directory\n"


class Page(HTMLParser):
    """What a page asks for from elsewhere, its elements, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.asked: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.asked += [f"{tag} {name}" for name, _ in attrs if name in {"src", "href", "action"}]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_stands_alone_and_has_a_plot_per_figure(log: Path, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    ended = run(log, "--ttl", "1m", "--ttl", "1h", "--size", "1KiB", "--size", "1MiB", "--size", "1GiB", "--html", file)
    assert ended.exit_code == 0, ended.output
    page = Page(file.read_text())
    assert page.asked == []
    assert not re.search(r"https?:|@import|url\(", file.read_text())
    assert page.elements.count("svg") == 2  # hits and calls; nothing is stale
    assert page.elements.count("polyline") == 4  # the two larger caches do the same
    assert "1.0 MiB and more" in page.words
    assert "prefers-color-scheme: dark" in file.read_text()
    assert "60.0%" in page.words


def test_the_page_of_a_sample_with_stale_serving_and_one_cache(log: Path, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    log.write_bytes(log.read_bytes().replace(b'"sample": 1.0', b'"sample": 0.5').replace(b'"user"', b'"<user>"'))
    ended = run(log, "--ttl", "1m", "--size", "1MiB", "--stale-while-revalidate", "5m", "--html", file)
    assert ended.exit_code == 0, ended.output
    page = Page(file.read_text())
    assert page.elements.count("svg") == 2  # hits and stale; calls mean nothing
    assert "<user>" in page.words
    assert any("A sample of 0.5 of all" in one and "Served stale for 5m" in one for one in page.words)


def test_stale_serving_may_cost_more_calls_than_it_saves_and_the_axis_shows_it(tmp_path: Path) -> None:
    log, file = tmp_path / "log", tmp_path / "page.html"
    rows = [row(at_s, *keys) for at_s, keys in ((0, "ab"), (70, "ac"), (140, "ad"))]
    log.write_bytes(b"\n".join([header(), introduction(VIEW, VIEW | {"number": 1}), *rows]))
    assert run(log, "--ttl", "1m", "--size", "1MiB", "--stale-while-revalidate", "5m", "--html", file).exit_code == 0
    assert "-75%" in Page(file.read_text()).words
    assert "-66.7%" in Page(file.read_text()).words


def test_a_terminal_gets_a_table(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with log.open("rb") as lines:
        read = read_log(lines)
    said = said_on_a_terminal("stdout", monkeypatch, lambda: show(read, [replay(read, Cell(3_600, 2**20))]))
    assert "┃" in said
    assert "60.0%" in said


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "0.5 seconds"), (119, "119.0 seconds"), (600, "10.0 minutes"), (86_400, "24.0 hours"), (31e6, "358.8 days")]
)
def test_times_are_spelled_shortly(seconds: float, text: str) -> None:
    assert spell_span(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"), [(12, "12 B"), (1_000, "1.0 KiB"), (441 * 1024, "441 KiB"), (2**20, "1.0 MiB"), (5 * 2**30, "5.0 GiB")]
)
def test_sizes_are_spelled_shortly(size_bytes: int, text: str) -> None:
    assert spell_bytes(size_bytes) == text
