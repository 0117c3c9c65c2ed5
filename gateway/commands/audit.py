"""`feature-gateway audit`: who did what to what, when, and how it ended."""

import json
from pathlib import Path
from typing import Any

import click

from gateway.commands.stores import opened, store_options
from gateway.commands.telling import given, show_rows


@click.command()
@click.option("--actor", metavar="NAME|ID", help="Who did it.")
@click.option("--action", help="What was asked for, such as secret.read.")
@click.option("--target", help="What it was done to, such as secret/etl/token; or its beginning, up to a slash.")
@click.option("--outcome", type=click.Choice(["done", "denied", "refused"]), help="How it ended.")
@click.option("--since", metavar="INSTANT", help="RFC 3339, such as 2026-01-31T00:00:00Z.")
@click.option("--until", metavar="INSTANT", help="Before this instant.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=100, show_default=True, help="Entries at most, the newest first.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines, as GET /v1/audit tells them.")
@store_options
def audit(data_dir: Path | None, database: str | None, config: Path | None, as_json: bool, **wanted: Any) -> None:  # noqa: FBT001 - click's signature
    """The audit log of access control, the newest entry first.

    \b
    Examples:
      feature-gateway audit --data-dir data --since 2026-01-31T00:00:00Z
      feature-gateway audit --config gateway.toml --target secret/etl/ --outcome denied
      feature-gateway audit --data-dir data --json | jq .actor.name
    """
    with opened(config, data_dir, database) as shell:
        from gateway.web.admin.audit import sought, told  # noqa: PLC0415 - see `stores.opened`

        query = {name: str(value) for name, value in given(**wanted).items()}
        entries = [told(entry) for entry in shell.audited(sought(query))]
    if as_json:
        for entry in entries:
            click.echo(json.dumps(entry))
        return
    _show(entries)


def _show(entries: list[dict[str, Any]]) -> None:
    columns = ("at", "actor", "action", "target", "outcome", "detail")
    rows = [(entry["at"], _actor(entry["actor"]), *[entry[column] for column in columns[2:]]) for entry in entries]
    show_rows(columns, rows)


def _actor(actor: dict[str, str]) -> str:
    return f"{actor['name']} ({actor['credential']})" if actor["credential"] else actor["name"]
