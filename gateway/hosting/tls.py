"""TLS of the listener: what the gateway shows, what it asks for, and a renewed certificate taken up without a restart."""

import logging
import ssl
from pathlib import Path

from gateway.settings import Server, SettingsError

logger = logging.getLogger(__name__)


class ListenerTls:
    """The certificate and key that the settings name. `context` is the listener's, for as long as it listens; `handshake_s`: for a new
    connection to agree on its keys, until which it is not counted among the connections."""

    def __init__(self, settings: Server) -> None:
        """Raises SettingsError for files that cannot be used."""
        assert settings.tls_certificate_file is not None
        self._certificate_file = settings.tls_certificate_file
        self._key_file = settings.tls_key_file or settings.tls_certificate_file
        self._client_ca_file = settings.tls_client_ca_file
        self.handshake_s = settings.header_timeout_s
        self._seen = self._looks()
        self._complained = False
        try:
            self.context = self._made()
        except OSError as error:
            why = error.strerror or type(error).__name__
            names = "server.tls_certificate_file, server.tls_key_file, server.tls_client_ca_file"
            raise SettingsError(f"{names}: cannot be used ({why})") from None

    def renew(self) -> None:
        """Show what is in the files now, from the next connection on, if it is another certificate and whole. What is not, such as one of
        two files that are being replaced, is looked at again; until then the one before is shown."""
        looks = self._looks()
        if looks == self._seen or None in looks:
            return
        try:
            self._made()  # a context that took up half of it would be no good for either
            self._load(self.context)
        except OSError:
            if not self._complained:
                logger.warning("The new certificate in server.tls_certificate_file cannot be used yet; the one before is shown")
            self._complained = True
            return
        self._seen, self._complained = looks, False

    def _made(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        self._load(context)
        if self._client_ca_file is not None:
            context.load_verify_locations(self._client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        context.load_cert_chain(self._certificate_file, self._key_file, password=lambda: "")  # an encrypted key fails, and asks no terminal

    def _looks(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_look(file) for file in (self._certificate_file, self._key_file))


def _look(file: Path) -> tuple[int, int, int] | None:
    """None: it is not there."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
