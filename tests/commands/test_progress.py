"""Long runs say how far they are: a line now and then, on stderr."""

import pytest

from gateway.commands import progress
from gateway.commands.progress import counted
from tests.commands.terminals import said_on_a_terminal


def test_a_short_run_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with counted("Rows", 3) as tell:
        tell(3)
    assert capfd.readouterr() == ("", "")


def test_a_long_one_tells_lines_where_there_is_no_terminal(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_EVERY_S", 0.0)
    with counted("Rows", 2_000) as tell:
        tell(1_000)
        tell(2_000)
    assert capfd.readouterr() == ("", "Rows: 1,000 of 2,000\nRows: 2,000 of 2,000\n")


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> None:
        with counted("Rows", 2_000) as tell:
            tell(2_000)

    said = said_on_a_terminal("stderr", monkeypatch, work)
    assert "Rows" in said
    assert "/2000" in said
