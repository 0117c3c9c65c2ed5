"""`feature-gateway explain`: one read of a running gateway, and why it answers what it answers."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from gateway.commands.asking import Asking
from gateway.commands.explanation_text import show
from gateway.commands.telling import fail
from gateway.features import DataType, Kind
from gateway.schema import compile_check
from gateway.wire.explanations import read_explanation
from gateway.wire.metadata import read_inputs

_AS_TEXT = frozenset({Kind.STRING, Kind.TIMESTAMP})


@click.command()
@click.argument("service")
@click.argument("values", metavar="[NAME=VALUE]...", nargs=-1)
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="Base URL of the gateway.")
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with an API key that may read.  [default: the demo's, for a gateway on this machine]",
)
@click.option("--workspace", default="prod", show_default=True, help="Workspace of the feature service.")
@click.option("--context", "contexts", metavar="NAME=VALUE", multiple=True, help="Request context, where a join key has the same name.")
@click.option("--feature", "selectors", metavar="VIEW.FEATURE", multiple=True, help="A feature, or VIEW.* for a view; may be repeated.")
@click.option("--max-age-ms", type=click.IntRange(0), help="How old a cached value may be. 0: fetch now.")
@click.option("--deadline-ms", type=click.IntRange(1), help="How long the read may take.")
@click.option("--json", "as_json", is_flag=True, help="The answer as it came, in JSON.")
def explain(
    service: str,
    values: tuple[str, ...],
    url: str,
    key_file: Path | None,
    workspace: str,
    contexts: tuple[str, ...],
    selectors: tuple[str, ...],
    max_age_ms: int | None,
    deadline_ms: int | None,
    as_json: bool,  # noqa: FBT001 - click's signature
) -> None:
    """Explain a read of the feature service SERVICE: of each value where it came from and how old it is, of each view why, until when,
    and which settings say so; what was asked of the feature store, and where the time went.

    NAME=VALUE is a join key or a part of the request context, as the service's schema has it; a value of any type but text is spelled as
    in JSON. The read is really made, as any other: what it fetches is kept.

    \b
    Examples, on the demo (feature-gateway demo):
      feature-gateway explain flight_delay origin=JFK dest=LAX carrier=AA tailnum=N338AA planned_air_time=330
      feature-gateway explain airport_board origin=JFK dest=LAX --feature 'route_history.*' --max-age-ms 0
      feature-gateway explain airport_board origin=JFK dest=LAX --json | jq '.views[] | {name, cameBy, fragment}'
    """
    with Asking(url, key_file) as gateway:
        path = f"/v1/workspaces/{quote(workspace, safe='')}/feature-services/{quote(service, safe='')}"
        join_keys, context = _inputs(gateway.ask("GET", f"{path}/schema"))
        body = _body(join_keys, context, dict(map(_pair, values)), dict(map(_pair, contexts)))
        body |= {"features": list(selectors)} if selectors else {}
        body |= {} if max_age_ms is None else {"maxAgeMs": max_age_ms}
        body |= {} if deadline_ms is None else {"deadlineMs": deadline_ms}
        told = gateway.ask("POST", f"{path}/features:explain", body)
        if as_json:
            click.echo(told)
            return
        try:
            explanation = read_explanation(told)
        except ValueError:
            fail("What was answered is no explanation that this release can read. Give --json to see it.", 1)
        show(explanation)


def _inputs(schema: bytes) -> tuple[dict[str, DataType], dict[str, DataType]]:
    try:
        return read_inputs(schema)
    except ValueError:
        fail("What answers there is no feature-gateway of this release. Say where one is with --url.", 1)


def _pair(said: str) -> tuple[str, str]:
    name, equals, value = said.partition("=")
    if not equals or not name:
        raise click.UsageError("A value is given as NAME=VALUE: a name, an equals sign, and the value itself.")
    return name, value


def _body(join_keys: dict[str, DataType], context: dict[str, DataType], values: dict[str, str], contexts: dict[str, str]) -> dict[str, Any]:
    """The read's body. A value goes where the schema has its name. Errors name the name."""
    keys_given = {name: value for name, value in values.items() if name in join_keys}
    context_given = {name: value for name, value in values.items() if name not in join_keys} | contexts
    for name in context_given:
        if name not in context:
            raise click.UsageError(f"{name}: the feature service takes no such value. {_takes(join_keys, context)}")
    missing = [name for name in join_keys if name not in keys_given] + [name for name in context if name not in context_given]
    if missing:
        raise click.UsageError(f"{', '.join(missing)}: missing. {_takes(join_keys, context)}")
    return {
        "joinKeys": {name: _typed(name, join_keys[name], value) for name, value in keys_given.items()},
        "requestContext": {name: _typed(name, context[name], value) for name, value in context_given.items()},
    }


def _takes(join_keys: Mapping[str, DataType], context: Mapping[str, DataType]) -> str:
    def listed(fields: Iterable[tuple[str, DataType]]) -> str:
        return ", ".join(f"{name} ({dtype})" for name, dtype in fields) or "none"

    return f"Its join keys: {listed(join_keys.items())}; its request context: {listed(context.items())}."


def _typed(name: str, dtype: DataType, said: str) -> Any:
    """As JSON has it. What the gateway would refuse is told here, where the name on the command line is known."""
    value: Any = said
    if dtype.kind not in _AS_TEXT:
        try:
            value = json.loads(said, parse_constant=str)  # NaN and the infinities are text on the wire
        except ValueError:
            value = said
    try:
        compile_check(dtype)(value)
    except ValueError:
        raise click.UsageError(f"{name}: its value is not of the type {dtype}.") from None
    return value
