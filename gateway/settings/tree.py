"""The settings' tree: every section in its place, and what follows from several of them.

What a setting means stands with it, once: the README's table, the example file and the mistakes are made of it.
"""

from typing import Literal

from pydantic import Field

from gateway.settings.access import Auth
from gateway.settings.caching import Cache, Deadlines, Metadata, Service, View
from gateway.settings.computing import OnDemand, Queries
from gateway.settings.console import Console
from gateway.settings.feature_server import FeatureServer
from gateway.settings.objectives import Slo
from gateway.settings.origin import Forward, Guard, Origin
from gateway.settings.sections import Section
from gateway.settings.server import Server
from gateway.settings.telemetry import Log, RequestLog, Telemetry


class Settings(Section):
    """The gateway's settings."""

    server: Server = Server()
    origin: Origin = Origin()
    forward: Forward = Forward()
    guard: Guard = Guard()
    auth: Auth = Auth()
    cache: Cache = Cache()
    metadata: Metadata = Metadata()
    deadlines: Deadlines = Deadlines()
    on_demand: OnDemand = OnDemand()
    queries: Queries = Queries()
    feature_server: FeatureServer = FeatureServer()
    slo: Slo = Slo()
    telemetry: Telemetry = Telemetry()
    log: Log = Log()
    request_log: RequestLog = RequestLog()
    console: Console = Console()
    services: dict[str, Service] = Field(default_factory=dict, description="Policies by `workspace/service`.")
    views: dict[str, View] = Field(default_factory=dict, description="Policies by view name.")
    default_workspace: str = Field("prod", description="Workspace of Tecton V1 requests that name none.")
    include_names_by_default: bool = Field(
        default=False,
        description="Tecton doors: names and data types also where a request asks for no metadata, as the official client's quick start "
        "needs. Off is faithful.",
    )

    @property
    def auth_mode(self) -> Literal["keys", "passthrough", "open"]:
        if self.auth.mode is not None:
            return self.auth.mode
        return "passthrough" if self.origin.kind == "tecton" and self.origin.api_key is None else "keys"

    @property
    def access_store(self) -> Literal["none", "sqlite", "postgresql"]:
        """Where it is kept who may do what. Keys in the settings are a choice against a store, if nothing else is said."""
        if self.auth.store is not None:
            return self.auth.store
        if self.auth.database is not None:
            return "postgresql"
        return "none" if self.auth_mode != "keys" or self.auth.keys else "sqlite"
