"""`feature-gateway keys`: service accounts and their API keys, beside a server that runs."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.access.roles import ADMIN, WorkspaceRole
from gateway.commands.stores import F, opened, store_options
from gateway.commands.telling import show_rows

if TYPE_CHECKING:
    from gateway.access.keyholders import Grant, Listed, Made

_ROLES = [role.value for role in WorkspaceRole]


def _split(_: click.Context, __: click.Parameter, said: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs = []
    for one in said:
        workspace, equals, role = one.rpartition("=")
        if not equals or not workspace or role not in _ROLES:
            raise click.BadParameter(f"WORKSPACE=ROLE, where ROLE is one of {', '.join(_ROLES)}")
        if workspace == "*":
            raise click.BadParameter("a role in all workspaces is given with --all-workspaces ROLE")
        pairs.append((workspace, role))
    return tuple(pairs)


def _role_options(command: F) -> F:
    for option in (
        click.option("--all-workspaces", type=click.Choice(_ROLES), multiple=True, help="Role in all workspaces; may be repeated."),
        click.option("--role", "roles", metavar="WORKSPACE=ROLE", multiple=True, callback=_split, help="Role in one; may be repeated."),
        click.option("--account-type", type=click.Choice([ADMIN]), help="An admin owns every workspace and administers the gateway."),
    ):
        command = option(command)
    return command


@click.group()
def keys() -> None:
    """Service accounts and their API keys. A running server knows of a change within auth.refresh_s, a second.

    \b
    Examples:
      feature-gateway keys create fraud-model --role prod=consumer --data-dir data > fraud-model.key
      feature-gateway keys list --data-dir data
      feature-gateway keys rotate fraud-model --data-dir data > fraud-model.key
      feature-gateway keys deactivate 5KbN73Z35RZA --data-dir data
    """


@keys.command()
@click.argument("name")
@_role_options
@store_options
def create(
    name: str,
    account_type: str | None,
    roles: tuple[tuple[str, str], ...],
    all_workspaces: tuple[str, ...],
    data_dir: Path | None,
    database: str | None,
    config: Path | None,
) -> None:
    """Make the service account NAME with an API key: the key alone on stdout, this once.

    consumer reads features, editor ingests too, operator purges the cache, viewer sees what there is, owner may do all of it.

    \b
    Examples:
      feature-gateway keys create fraud-model --role prod=consumer > fraud-model.key
      feature-gateway keys create loader --role prod=editor --role staging=editor --config gateway.toml
      feature-gateway keys create prometheus --all-workspaces viewer --data-dir data
      feature-gateway keys create ops --account-type admin --data-dir data
    """
    with opened(config, data_dir, database, new=True) as shell:
        made = shell.create(name, _grants(account_type, roles, all_workspaces))
    _tell_made(name, made)


@keys.command()
@click.argument("account", metavar="NAME|ID")
@click.option("--now", is_flag=True, help="Deactivate the keys that it has.")
@store_options
def rotate(account: str, now: bool, data_dir: Path | None, database: str | None, config: Path | None) -> None:  # noqa: FBT001 - click's signature
    """Make another key for a service account: the key alone on stdout, this once.

    The keys that the account has stay good until they are deactivated, so that callers can change over in their own time.

    \b
    Examples:
      feature-gateway keys rotate fraud-model --data-dir data > fraud-model.key
      feature-gateway keys rotate fraud-model --now --config gateway.toml > fraud-model.key
    """
    with opened(config, data_dir, database) as shell:
        made = shell.rotate(account, at_once=now)
    _tell_made(account, made)


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@store_options
def list_command(as_json: bool, data_dir: Path | None, database: str | None, config: Path | None) -> None:  # noqa: FBT001 - click's signature
    """All keys, with their accounts and roles, and when each was used last, to the minute.

    \b
    Examples:
      feature-gateway keys list --data-dir data
      feature-gateway keys list --json --config gateway.toml | jq '.[] | select(.lastUsed == null)'
    """
    with opened(config, data_dir, database) as shell:
        listed = shell.listed()
    if as_json:
        click.echo(json.dumps([_as_json(one) for one in listed], indent=2))
        return
    rows = [(one.key_id, one.account, _state(one), ", ".join(one.roles) or "-", _time(one.created_us), _used(one)) for one in listed]
    show_rows(("key", "account", "state", "roles", "created", "last used"), rows)


@keys.command()
@click.argument("key_or_account", metavar="KEY|ACCOUNT")
@store_options
def deactivate(key_or_account: str, data_dir: Path | None, database: str | None, config: Path | None) -> None:
    """No longer let in a key, by its id in `keys list`, or a whole service account, by its name or id.

    \b
    Examples:
      feature-gateway keys deactivate 5KbN73Z35RZA --data-dir data
      feature-gateway keys deactivate fraud-model --config gateway.toml
    """
    with opened(config, data_dir, database) as shell:
        click.echo(f"{shell.switch(key_or_account, active=False)} is deactivated.", err=True)


@keys.command()
@click.argument("key_or_account", metavar="KEY|ACCOUNT")
@store_options
def activate(key_or_account: str, data_dir: Path | None, database: str | None, config: Path | None) -> None:
    """Let in again what was deactivated.

    \b
    Example:
      feature-gateway keys activate 5KbN73Z35RZA --data-dir data
    """
    with opened(config, data_dir, database) as shell:
        click.echo(f"{shell.switch(key_or_account, active=True)} is active.", err=True)


@keys.command()
@click.argument("account", metavar="NAME|ID")
@_role_options
@store_options
def grant(
    account: str,
    account_type: str | None,
    roles: tuple[tuple[str, str], ...],
    all_workspaces: tuple[str, ...],
    data_dir: Path | None,
    database: str | None,
    config: Path | None,
) -> None:
    """Give a service account roles, beside those that it has.

    \b
    Example:
      feature-gateway keys grant fraud-model --role staging=consumer --data-dir data
    """
    with opened(config, data_dir, database) as shell:
        _tell_roles(account, shell.grant(account, _some(_grants(account_type, roles, all_workspaces))))


@keys.command()
@click.argument("account", metavar="NAME|ID")
@_role_options
@store_options
def revoke(
    account: str,
    account_type: str | None,
    roles: tuple[tuple[str, str], ...],
    all_workspaces: tuple[str, ...],
    data_dir: Path | None,
    database: str | None,
    config: Path | None,
) -> None:
    """Take roles from a service account that it was given itself. Those that it has through a group stay.

    \b
    Example:
      feature-gateway keys revoke fraud-model --role staging=consumer --data-dir data
    """
    with opened(config, data_dir, database) as shell:
        _tell_roles(account, shell.revoke(account, _some(_grants(account_type, roles, all_workspaces))))


def _grants(account_type: str | None, roles: Sequence[tuple[str, str]], all_workspaces: Sequence[str]) -> Sequence["Grant"]:
    from gateway.access.keyholders import Grant  # noqa: PLC0415 - see `stores.opened`
    from gateway.access.standings import ACCOUNT_TYPE, ALL_WORKSPACES, WORKSPACE  # noqa: PLC0415

    types = [] if account_type is None else [Grant(ACCOUNT_TYPE, "", account_type)]
    everywhere = [Grant(ALL_WORKSPACES, "", role) for role in all_workspaces]
    return [*types, *everywhere, *[Grant(WORKSPACE, workspace, role) for workspace, role in roles]]


def _some(grants: Sequence["Grant"]) -> Sequence["Grant"]:
    if not grants:
        raise click.UsageError("Name a role: --role WORKSPACE=ROLE, --all-workspaces ROLE or --account-type admin.")
    return grants


def _tell_made(name: str, made: "Made") -> None:
    click.echo(f"Service account {name} ({made.account_id}) has the key {made.key_id}, which is shown only now:", err=True)
    click.echo(made.key)


def _tell_roles(account: str, roles: Sequence[str]) -> None:
    click.echo(f"{account} holds: {', '.join(roles) or 'no role'}", err=True)


def _as_json(one: "Listed") -> dict[str, object]:
    return {
        "key": one.key_id,
        "account": one.account,
        "accountId": one.account_id,
        "active": one.is_active,
        "roles": list(one.roles),
        "created": _time(one.created_us),
        "lastUsed": None if one.last_used_us is None else _time(one.last_used_us),
    }


def _state(one: "Listed") -> str:
    return "active" if one.is_active else "deactivated"


def _used(one: "Listed") -> str:
    return "never" if one.last_used_us is None else _time(one.last_used_us)


def _time(at_us: int) -> str:
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).isoformat().replace("+00:00", "Z")
