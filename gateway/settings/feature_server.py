"""Settings of the embedded feature server."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from gateway.settings.faults import Faults
from gateway.settings.sections import Seconds, Section


class Redis(Section):
    """The online store in Redis or Valkey."""

    url: SecretStr | None = Field(None, description="`redis://`, `rediss://` or `unix://`, with user and password where it wants them.")
    cluster: bool = Field(default=False, description="Whether `url` is a node of a Redis Cluster.")
    prefix: str = Field("fg", min_length=1, max_length=64, description="What all keys begin with. Gateways that share a store share it.")
    connect_timeout_s: Seconds = Field(1.0, description="Time to open a connection.")
    command_timeout_s: Seconds = Field(1.0, description="Time for one server's part of a read or write.")
    connections: int = Field(32, ge=1, description="Connections at most, to each server.")


class FeatureServer(Section):
    """The embedded feature server."""

    definitions: str | None = Field(
        None,
        description="The feature repository: a folder, or `module:attribute`, as it is at the start. Unset: the version in force in "
        "`data_dir`, put there by `feature-gateway apply`; later ones are taken up while serving.",
    )
    data_dir: Path = Field(Path("feature-gateway-data"), description="Folder of the online store and of the versions of its definitions.")
    store: Literal["sqlite", "redis"] = Field("sqlite", description="Where events and tiles are kept: a file in `data_dir`, or Redis.")
    redis: Redis = Redis()
    as_of: str | None = Field(None, description="Serve as of this instant (RFC 3339) instead of now.")
    retention_every_s: Seconds = Field(300.0, description="Seconds between two rounds that remove what no read can want any longer.")
    keep_retired_s: float = Field(
        604_800.0, ge=0, le=86_400 * 3650, description="How long the data of views that are no longer defined is kept."
    )
    ingest_records_per_source: int = Field(10, ge=1, description="Records per stream source in one ingest request.")
    faults: Faults = Faults()
