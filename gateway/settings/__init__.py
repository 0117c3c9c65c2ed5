"""Settings: one documented tree, from a TOML or YAML file and from `FEATURE_GATEWAY_*` variables (which win).

Nested names join with two underscores: `FEATURE_GATEWAY_ORIGIN__URL`. Importing this package reads nothing; `load` does. Secrets come from
the file or the environment only, and print as asterisks.
"""

from gateway.settings.access import Auth, Key, OAuth, Paths
from gateway.settings.caching import Cache, Deadlines, Freshness, Metadata, Service, SharedCache, View
from gateway.settings.computing import OnDemand, OnDemandFunction, Queries
from gateway.settings.feature_server import FeatureServer, Redis
from gateway.settings.loading import PREFIX, Layer, Loaded, SettingsError, checked, load, read
from gateway.settings.origin import Forward, Guard, Origin
from gateway.settings.server import Server
from gateway.settings.telemetry import Log, RequestLog, Telemetry
from gateway.settings.tree import Settings

__all__ = [
    "PREFIX",
    "Auth",
    "Cache",
    "Deadlines",
    "FeatureServer",
    "Forward",
    "Freshness",
    "Guard",
    "Key",
    "Layer",
    "Loaded",
    "Log",
    "Metadata",
    "OAuth",
    "OnDemand",
    "OnDemandFunction",
    "Origin",
    "Paths",
    "Queries",
    "Redis",
    "RequestLog",
    "Server",
    "Service",
    "Settings",
    "SettingsError",
    "SharedCache",
    "Telemetry",
    "View",
    "checked",
    "load",
    "read",
]
