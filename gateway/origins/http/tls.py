"""What the other side of a TLS connection has to prove, and what we show it. There is no way to leave the proof out."""

import ssl
from pathlib import Path


def client_context(ca_file: Path | None = None, certificate_file: Path | None = None, key_file: Path | None = None) -> ssl.SSLContext:
    """TLS 1.2 or later, certificate and name verified: against the system's authorities, or only those in `ca_file`. `certificate_file` and
    `key_file` (PEM): who we are, where the other side asks. Raises OSError, and its ssl.SSLError, for files that cannot be used."""
    context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if certificate_file is not None:
        context.load_cert_chain(certificate_file, key_file, password=lambda: "")  # an encrypted key fails, instead of asking a terminal
    return context
