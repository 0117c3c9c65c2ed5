"""An authority of a test's own, with certificates for `localhost` and for a client. Made by the `openssl` command, which Python's own TLS
comes with on every system that the tests run on."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

_CONFIG = """
[req]
distinguished_name = name
prompt = no
[name]
CN = {name}
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = CA:false
subjectAltName = DNS:localhost
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@dataclass(frozen=True, slots=True)
class Authority:
    """`server_file` and `client_file` hold a certificate and its key, PEM."""

    ca_file: Path
    server_file: Path
    client_file: Path

    def server_context(self, *, asks: bool = False) -> ssl.SSLContext:
        """`asks`: for the client's certificate too."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server_file)
        if asks:
            context.load_verify_locations(self.ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def make_authority(folder: Path) -> Authority:
    ca, ca_key = folder / "ca.pem", folder / "ca.key"
    _openssl(folder, "ca", "req", "-x509", "-extensions", "authority", "-days", "30", "-keyout", str(ca_key), "-out", str(ca))
    made = []
    for name in ("server", "client"):
        key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
        signed = ["-CA", str(ca), "-CAkey", str(ca_key), "-extensions", "leaf", "-days", "30"]
        _openssl(folder, name, "req", "-x509", *signed, "-keyout", str(key), "-out", str(certificate))
        whole = folder / f"{name}.pem"
        whole.write_text(certificate.read_text() + key.read_text())
        made.append(whole)
    return Authority(ca, *made)


def _openssl(folder: Path, name: str, *arguments: str) -> None:
    config = folder / f"{name}.cnf"
    config.write_text(_CONFIG.format(name=f"{name} of a test"))
    command = ["openssl", *arguments, "-config", str(config), "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run(command, check=True, capture_output=True)
