"""A start is measured until the gateway is ready. How long that takes is not judged here."""

from pathlib import Path

import click
import pytest

from loadtests.starting import _EMBEDDED, measure


def test_a_start_ends_with_a_gateway_that_is_ready(tmp_path: Path) -> None:
    start = measure(["serve", "--host", "127.0.0.1", "--data-dir", str(tmp_path)], _EMBEDDED)
    assert start.ready_s > 0
    assert start.cpu_s > 0


def test_one_that_does_not_start_is_told() -> None:
    with pytest.raises(click.ClickException, match="did not start"):
        measure(["serve", "--origin", "tecton"], {})
