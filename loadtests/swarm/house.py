"""What all users of one process share: the feature services they read and by which key, where join keys come from, what was counted."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec

from loadtests.swarm.keys import FlightKeys, KeySource, SchemaDocument, ZipfKeys
from loadtests.swarm.tallies import Tally

_DEMO = {("prod", "flight_history"), ("prod", "flight_delay")}


class CannotBegin(Exception):
    """What is wrong with how the run was asked for, and what to do."""


class Tenant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of `--tenants`. `key_file` None: the run's own key."""

    service: str
    weight: float = 1.0
    key_file: str | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """A feature service as one caller reads it."""

    workspace: str
    name: str
    key: str = field(repr=False)
    keys: KeySource = field(repr=False)
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class House:
    """`services`: the first is read by all users but `Tenants`. `rate_per_user` None: closed loop."""

    services: Sequence[Service]
    rate_per_user: float | None
    batch_rows: int
    is_demo: bool
    chance: random.Random
    tally: Tally = field(default_factory=Tally)

    def draw_service(self) -> Service:
        return self.chance.choices(self.services, [service.weight for service in self.services])[0]


def tenants_of(path: Path) -> list[Tenant]:
    """Of a TOML file of `[[tenants]]`. Raises CannotBegin."""
    try:
        told = msgspec.toml.decode(path.read_bytes(), type=dict[str, list[Tenant]])
    except (OSError, msgspec.DecodeError) as error:
        raise CannotBegin(f"--tenants {path}: {error}") from None
    if list(told) != ["tenants"] or not told["tenants"]:
        raise CannotBegin(f"--tenants {path}: it needs at least one [[tenants]], and nothing else")
    return told["tenants"]


def split_service(spelled: str) -> tuple[str, str]:
    """Raises CannotBegin."""
    workspace, slash, name = spelled.partition("/")
    if not (workspace and slash and name) or "/" in name:
        raise CannotBegin("a feature service is named WORKSPACE/NAME, as in prod/flight_history")
    return workspace, name


def schema_of(host: str, workspace: str, name: str, key: str) -> SchemaDocument:
    """As the gateway tells it. Raises CannotBegin."""
    url = f"{host.rstrip('/')}/v1/workspaces/{workspace}/feature-services/{name}/schema"
    try:
        reply = httpx.get(url, headers={"Authorization": f"Tecton-key {key}"} if key else {}, timeout=30, trust_env=False)
    except httpx.HTTPError as error:
        raise CannotBegin(f"{host} does not answer ({type(error).__name__}): is the gateway running there?") from None
    if reply.status_code != 200:
        raise CannotBegin(f"{host} answers {reply.status_code} to the schema of {workspace}/{name}: is the key for it, and does it exist?")
    return SchemaDocument.of(reply.json())


def source_of(schema: SchemaDocument, kind: str, share: int, shares: int, options: Mapping[str, Any]) -> KeySource:
    """`kind`: flights or zipf. Raises CannotBegin."""
    try:
        if kind == "flights":
            return FlightKeys(schema, share, shares, options["seed"])
        return ZipfKeys(schema, options["population"], options["exponent"], f"{options['seed']}/{share}", options["templates"])
    except ValueError as error:
        raise CannotBegin(str(error)) from None


def is_demo(services: Sequence[tuple[str, str]]) -> bool:
    return set(services) <= _DEMO


def read_key(path: str | None, environment: Mapping[str, str], read: Callable[[str], str] = lambda name: Path(name).read_text()) -> str:
    """From a file, else from SWARM_KEY; empty where there is none. Raises CannotBegin."""
    if path is None:
        return environment.get("SWARM_KEY", "")
    try:
        return read(path).strip()
    except OSError as error:
        raise CannotBegin(f"{path}: {error.strerror}") from None
