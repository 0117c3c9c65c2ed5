"""Settings that are well formed each, and do not fit together."""

import re
from collections.abc import Iterator

from gateway.settings.access import Auth
from gateway.settings.faults import contradictions
from gateway.settings.origin import Origin
from gateway.settings.tree import Settings

_ADDRESS = re.compile(r"https?://(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]*)?")
_TOKEN = re.compile(r"[\x21-\x7e]+")


def contradictions_of(settings: Settings) -> Iterator[str]:
    """Settings that are well formed each, and do not fit together."""
    origin = settings.origin
    if origin.kind == "tecton" and not origin.url:
        yield 'origin.url: needed for origin.kind = "tecton", e.g. https://<cluster>.tecton.ai'
    yield from _too_many_workers(settings)
    yield from _wrong_addresses(origin)
    if origin.key_file is not None and origin.certificate_file is None:
        yield "origin.key_file: is the key of origin.certificate_file, which is not set"
    yield from _wrong_auth(settings)
    if settings.server.tls_certificate_file is None and (settings.server.tls_key_file or settings.server.tls_client_ca_file):
        yield "server.tls_certificate_file: needed for server.tls_key_file and server.tls_client_ca_file"
    if settings.server.operations_host is not None and settings.server.operations_port is None:
        yield "server.operations_port: needed for server.operations_host"
    elif settings.server.operations_port and settings.server.operations_port == settings.server.port:
        yield "server.operations_port: must be another than server.port"
    yield from _wrong_kek(settings.auth)
    yield from _wrong_on_demand(settings)
    server = settings.feature_server
    if server.store == "redis" and server.redis.url is None:
        yield 'feature_server.redis.url: needed for feature_server.store = "redis", e.g. redis://127.0.0.1:6379'
    faults = server.faults
    if faults.active and origin.kind != "embedded":
        yield 'feature_server.faults: only the embedded feature server has a fault lab; origin.kind = "embedded" or none of these'
    yield from (f"feature_server.faults.{mistake}" for mistake in contradictions(faults))


def _too_many_workers(settings: Settings) -> Iterator[str]:
    embedded, server = settings.origin.kind == "embedded", settings.feature_server
    if settings.server.workers > 1 and embedded and server.store == "sqlite":
        yield 'server.workers: the online store in SQLite is one process\'s; more need feature_server.store = "redis", or a cluster'
    elif settings.server.workers > 1 and embedded and server.definitions is None:
        yield "server.workers: definitions of `feature-gateway apply` are one process's; more need feature_server.definitions, or a cluster"


def _wrong_auth(settings: Settings) -> Iterator[str]:
    origin = settings.origin
    if settings.auth_mode == "passthrough" and origin.kind == "embedded":
        yield "auth.mode: passthrough needs a cluster to judge credentials; use keys or open"
    if settings.auth_mode == "open" and settings.server.host not in {"127.0.0.1", "::1", "localhost"}:
        yield "auth.mode: open is for loopback only; set server.host to 127.0.0.1 or use keys"
    if settings.access_store != "none" and settings.auth_mode != "keys":
        yield 'auth.store: is for auth.mode = "keys"; before a cluster that judges callers its own services are forwarded'
    if (settings.access_store == "postgresql") != (settings.auth.database is not None):
        yield 'auth.database: goes with auth.store = "postgresql", and that with it'
    if settings.auth.admin_key is not None and settings.access_store == "none":
        yield "auth.admin_key: is kept in the store, and auth.store is none"
    if settings.console.key_digest is not None and settings.auth_mode != "passthrough":
        yield 'console.key_digest: is for auth.mode = "passthrough"; elsewhere the gateway\'s own keys open the console'


def _wrong_kek(auth: Auth) -> Iterator[str]:
    if auth.kek is not None and auth.kek_file is not None:
        yield "auth.kek: is given, and auth.kek_file too; one of them"
    if auth.database is not None and auth.kek is None and auth.kek_file is None:
        yield 'auth.kek_file: needed for auth.store = "postgresql", the same for all replicas; `feature-gateway secrets new-kek` makes one'


def _wrong_addresses(origin: Origin) -> Iterator[str]:
    for name, url in (("url", origin.url), ("ingest_url", origin.ingest_url)):
        if url and not url.startswith(("http://", "https://")):
            yield f"origin.{name}: must start with https:// (or http://)"
        elif url and _ADDRESS.fullmatch(url) is None:
            yield f"origin.{name}: a scheme, a host, a port and a path, if any; no user or password, no query, no fragment"
    if origin.api_key is not None and _TOKEN.fullmatch(origin.api_key.get_secret_value()) is None:
        yield "origin.api_key: visible ASCII characters only, without spaces"


def _wrong_on_demand(settings: Settings) -> Iterator[str]:
    views = settings.on_demand.views
    if views and settings.origin.kind == "embedded":
        yield 'on_demand.views: for a cluster (origin.kind = "tecton"); the embedded feature server has on-demand views of its own'
    for name, view in views.items():
        for source in view.inputs:
            if source in views:
                yield f"on_demand.views.{name}.inputs: {source} is an on-demand view itself, whose values are not at hand"
        if name in settings.views and settings.views[name].join_keys is not None:
            yield f"views.{name}.join_keys: {name} is computed (on_demand.views.{name}), and keyed on nothing; leave them out"
