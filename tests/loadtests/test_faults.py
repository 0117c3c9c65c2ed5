"""The faults command: what it makes of its figures, and each fault in short, of which what is no matter of milliseconds is held to."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from loadtests.faults import __main__ as command
from loadtests.faults.cuts import cut_users, read_request
from loadtests.faults.stage import Pace, Truth, keys_of, read_of
from loadtests.faults.verdicts import Sheet
from tests.harness.clock import Clock
from tests.harness.cluster import LITE, Cluster
from tests.harness.scripted.load import Capacity, CutAsAsked, Sometimes
from tests.harness.scripted.scripts import closed, right
from tests.harness.scripted.steps import Exchange, Finish, Reset, Send, Wait

ROOT = Path(__file__).resolve().parent.parent.parent


def test_a_promise_that_is_not_kept_fails_the_fault() -> None:
    sheet = Sheet("dead")
    sheet.note("p50 ms", 3.25)
    sheet.exactly("errors", 0, 0)
    sheet.at_most("slowest ms", 1_049.6, 1_050)
    sheet.at_least("goodput", 0.8, 0.8)
    assert sheet.passed
    assert str(sheet) == "PASS  dead          p50 ms 3.25 · errors 0 (= 0) · slowest ms 1,050 (≤ 1,050) · goodput 0.8 (≥ 0.8)"
    for fault in ("exactly", "at_most", "at_least"):
        other = Sheet("dead")
        getattr(other, fault)("figure", {"exactly": 1, "at_most": 1.5, "at_least": 0.5}[fault], {"exactly": 0}.get(fault, 1))
        assert not other.passed
        assert str(other).startswith("FAIL  dead          figure ")
        assert "(NOT " in str(other)


@pytest.mark.parametrize("bound", ["at_most", "at_least"])
def test_what_was_not_measured_is_no_promise_kept(bound: str) -> None:
    sheet = Sheet("dead")
    getattr(sheet, bound)("first fresh reply", float("nan"), 1)
    assert not sheet.passed


def test_values_are_told_right_from_wrong_by_epoch() -> None:
    cluster, truth = Cluster(), Truth()
    for epoch in (0, 1):
        cluster.epoch = epoch
        values = [cluster.value(name, dtype, keys_of("anne"), {}, LITE) for name, dtype in LITE.features]
        reply = json.dumps({"result": {"features": values}}).encode()
        assert truth.epoch_of("anne", reply) == epoch
        assert truth.epoch_of("bert", reply) is None
        assert truth.epoch_of("anne", reply[:-1]) is None
        assert truth.epoch_of("anne", json.dumps({"result": {"features": values[:-1]}}).encode()) is None
    assert truth.epoch_of("anne", b"[]") is None


def test_every_byte_is_cut_at_once_by_each_form_and_end() -> None:
    users = cut_users(every=1)
    assert len(set(users)) == len(users)
    for kind in ("l-fin", "l-rst", "c-fin", "c-rst"):
        places = [int(user.rpartition("-")[2]) for user in users if user.startswith(f"cut-{kind}-")]
        assert places == list(range(len(places)))
        assert len(places) > 1_000
    assert json.loads(read_of(users[0]).partition(b"\r\n\r\n")[2])["params"]["joinKeyMap"]["user_id"] == users[0]


def test_an_origin_of_limited_capacity_answers_so_many_a_second_in_their_order() -> None:
    clock = Clock(0.0)
    capacity = Capacity(servers=2, service_s=0.5, script=closed, clock=clock)

    def waits() -> float:
        wait, _ = capacity(exchange("anne"))
        assert isinstance(wait, Wait)
        return wait.seconds

    assert [waits() for _ in range(5)] == [0.5, 0.5, 1.0, 1.0, 1.5]
    clock.advance(1.25)
    assert [waits() for _ in range(2)] == [0.5, 0.75]


def test_a_share_goes_wrong_and_the_same_ones_each_time() -> None:
    def wrong() -> list[bool]:
        sometimes = Sometimes(closed, 0.05, otherwise=right)
        return [sometimes(exchange("anne")) == closed(exchange("anne")) for _ in range(2_000)]

    first = wrong()
    assert 60 < sum(first) < 140
    assert wrong() == first


def test_a_reply_is_cut_where_its_user_says() -> None:
    whole = b"".join(step.data for step in right(exchange("cut-l-fin-30")) if isinstance(step, Send))
    assert list(CutAsAsked()(exchange("cut-l-fin-30"))) == [Send(whole[:30]), Finish()]
    assert list(CutAsAsked()(exchange("cut-l-rst-30")))[-1] == Reset()
    chunks = next(iter(CutAsAsked()(exchange("cut-c-fin-99999"))))
    assert isinstance(chunks, Send)
    assert b"transfer-encoding: chunked" in chunks.data
    assert chunks.data.endswith(b"\r\n0\r\n\r\n")
    assert CutAsAsked()(exchange("anne")) == right(exchange("anne"))


def exchange(user: str) -> Exchange:
    return Exchange(read_request(user), Cluster(), connection=0, turn=0, at_s=0.0)


@pytest.mark.parametrize("kept", [True, False])
def test_the_command_ends_as_its_verdicts_say(kept: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # noqa: FBT001 - a parameter of the test
    """With a fault of its own, so that both ends are seen on any machine."""

    def fault(pace: Pace) -> Sheet:
        """A fault."""
        sheet = Sheet("made up")
        sheet.exactly("errors", 0 if kept else 1, 0)
        sheet.note("quick", str(pace.quick))
        return sheet

    monkeypatch.setattr(command, "FAULTS", {"dead": fault})
    ended = CliRunner().invoke(command.main, ["--quick", "--only", "dead", "--json", str(tmp_path / "figures.json")])
    assert ended.exit_code == (0 if kept else 1), ended.output
    assert f"{'PASS' if kept else 'FAIL'}  made up       errors {0 if kept else 1}" in ended.output
    [document] = json.loads((tmp_path / "figures.json").read_text())
    assert document["passed"] is kept
    assert document["figures"]["errors"] == {"value": 0 if kept else 1, "promise": "= 0", "kept": kept}
    assert document["figures"]["quick"] == {"value": "True", "promise": None, "kept": True}


BUSY = (" ms", " s", "of what it can", "hedges included", "among whole replies")
"""How figures end that a busy machine spoils. They are measured here, and judged by whoever runs the command on a quiet one."""


@pytest.mark.slow
@pytest.mark.parametrize("fault", command.FAULTS)
def test_a_bad_day_in_short(fault: str, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    run = subprocess.run(
        [sys.executable, "-m", "loadtests.faults", "--quick", "--only", fault, "--json", file],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert file.exists(), run.stderr
    [document] = json.loads(file.read_text())
    assert run.returncode == (0 if document["passed"] else 1)
    assert run.stdout.startswith("PASS" if document["passed"] else "FAIL")
    held = {name: figure for name, figure in document["figures"].items() if figure["promise"] and not name.endswith(BUSY)}
    assert held
    assert {name: figure for name, figure in held.items() if not figure["kept"]} == {}, run.stdout
