"""`serve` where nobody has keys yet: workers that start together make one admin, whose key is told once, and all of them heed the store."""

import re
from contextlib import ExitStack
from pathlib import Path

from click.testing import CliRunner

from gateway.access.keys import key_id, new_key
from gateway.cli import main
from tests.harness.clock import wait_until
from tests.harness.cluster import ALICE, Cluster
from tests.harness.houses import authorization
from tests.hosting.commands import READ, serving
from tests.hosting.lines import line, post, status_of
from tests.serving.payments import payment

TOLD = re.compile(
    r"\AKey of the service account admin, shown only now: (fgk_\S+)\nServing on http://\S+ \(origin: tecton, auth: keys\)\n\Z"
)


def test_workers_make_one_admin_and_all_know_when_its_key_is_good_no_longer(cluster: Cluster, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    arguments = ("--workers", "2", "--data-dir", str(folder))
    with serving(tmp_path / "first", cluster, *arguments, ORIGIN__API_KEY=ALICE, AUTH__REFRESH_S=0.1) as served, ExitStack() as open_:
        url = served.url
        told = TOLD.fullmatch(served.stdout)
        assert told is not None
        key = told[1]
        lines = [open_.enter_context(line(url)) for _ in range(16)]
        read = post(READ, payment(), authorization(key))
        assert {status_of(one.ask(read)) for one in lines} == {200}
        ended = CliRunner().invoke(main, ["keys", "deactivate", str(key_id(key)), "--data-dir", str(folder)])
        assert ended.exit_code == 0
        wait_until(lambda: {status_of(one.ask(read)) for one in lines} == {401}, "the end of the key")
        assert key not in served.stderr

    own = new_key()
    with serving(tmp_path / "second", cluster, "--data-dir", str(folder), ORIGIN__API_KEY=ALICE, AUTH__ADMIN_KEY=own) as again:
        with line(again.url) as one:
            assert status_of(one.ask(post(READ, payment(), authorization(own)))) == 200
        assert again.stdout.startswith("Serving on ")
        assert own not in again.stdout + again.stderr


def test_no_admin_is_made_where_there_is_nothing_to_serve(tmp_path: Path) -> None:
    """Its key would be shown by a start that came to nothing, and never again."""
    started = CliRunner().invoke(main, ["serve", "--port", "0", "--data-dir", str(tmp_path)])
    assert started.exit_code == 2
    assert "no feature definitions are in force" in started.stderr
    assert started.stdout == ""
    assert list(tmp_path.iterdir()) == []
