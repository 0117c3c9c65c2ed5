"""How the settings say that the cluster is reached. A part of the composition root, and of commands that ask a cluster themselves."""

import ssl
from collections.abc import Callable

from gateway.origins.http.connector import Connector
from gateway.origins.http.pool import Limits
from gateway.origins.http.tls import client_context
from gateway.settings import Origin, SettingsError


def connector_of(origin: Origin, *, max_connections: int | None = None) -> Connector:
    """Opens nothing yet. Raises SettingsError for certificates and keys that cannot be used."""
    limits = Limits(
        max_connections or origin.max_connections, origin.connect_timeout_s, origin.idle_connection_s, origin.max_connection_age_s
    )
    tls = _client_tls(origin)
    if origin.ca_file is not None or origin.certificate_file is not None:
        made = tls()  # told at the start, not by the first read
        return Connector(origin.transport, limits, origin.max_reply_bytes, lambda: made)
    return Connector(origin.transport, limits, origin.max_reply_bytes, tls)


def _client_tls(origin: Origin) -> Callable[[], ssl.SSLContext]:
    def make() -> ssl.SSLContext:
        try:
            return client_context(origin.ca_file, origin.certificate_file, origin.key_file)
        except OSError as error:
            raise SettingsError(f"origin.ca_file, origin.certificate_file, origin.key_file: cannot be used ({error.strerror})") from error

    return make
