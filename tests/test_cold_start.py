"""What a start does not wait for. Not timed: rooms and libraries that a configuration has no use for are not imported until it is ready."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

STARTED = """
import asyncio, json, sys
import gateway.cli
from gateway.app import create_app
from gateway.settings import load

app = create_app(load(overrides=json.loads(sys.argv[1])))

async def start():
    async with app.router.lifespan_context(app):
        return sorted(sys.modules)

print(json.dumps(asyncio.run(start())))
"""
DEMO = "gateway.demo.definitions:REPOSITORY"
NEVER = {"alembic", "datasketches", "grpc", "lark", "numpy", "opentelemetry.exporter", "psycopg", "pyarrow", "redis", "scim2_models"}
"""For receivers of spans, other stores, sketches, files, SCIM, and a first start alone."""
STORE = {"cryptography", "gateway.administering", "joserfc", "sqlalchemy"}
"""For a store of access control."""
DIGEST = "0" * 64
CLUSTER = {"kind": "tecton", "url": "http://127.0.0.1:9"}


def started(settings: dict[str, Any]) -> set[str]:
    """The modules of a gateway with these settings, once it is ready."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("FEATURE_GATEWAY_", "OTEL_", "COVERAGE_"))}
    run = subprocess.run(
        [sys.executable, "-c", STARTED, json.dumps(settings)], env=plain, check=True, capture_output=True, text=True, timeout=60
    )
    return set(json.loads(run.stdout.splitlines()[-1]))


def with_parts(names: set[str], modules: set[str]) -> set[str]:
    return {name for name in names if any(module == name or module.startswith(f"{name}.") for module in modules)}


@pytest.mark.parametrize(
    ("settings", "idle"),
    [
        pytest.param(
            {
                "auth": {"keys": {"demo": {"digest": DIGEST, "workspaces": ["*"]}}, "store": "none"},
                "feature_server": {"definitions": DEMO},
            },
            NEVER | STORE,
            id="embedded",
        ),
        pytest.param({"origin": CLUSTER}, NEVER | STORE, id="cluster"),
        pytest.param({"origin": {**CLUSTER, "api_key": "k"}}, NEVER, id="cluster with keys of its own"),
    ],
)
def test_nothing_is_imported_that_the_settings_have_no_use_for(settings: dict[str, Any], idle: set[str], tmp_path: Path) -> None:
    settings = {**settings, "feature_server": {**settings.get("feature_server", {}), "data_dir": str(tmp_path)}}
    if idle == NEVER:
        started(settings)  # the first start makes the tables, with alembic
    assert not with_parts(idle, started(settings))
