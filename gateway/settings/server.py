"""Settings of the listener and of the processes behind it."""

from pathlib import Path

from pydantic import Field

from gateway.settings.sections import Seconds, Section


class Server(Section):
    """The listener."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 lets the system choose.")
    operations_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port of its own for `/livez`, `/readyz`, `/metrics` (and its twin on Tecton's path, without a cluster) and `/v1/slo`, "
        "in plain HTTP; all but the first two are then nowhere else. "
        "0 lets the system choose. Unset: they are where everything is.",
    )
    operations_host: str | None = Field(None, description="Address to listen on for these. Unset: that of all else.")
    max_body_bytes: int = Field(1_048_576, ge=1024, description="A larger request body is refused with 413.")
    workers: int = Field(
        1, ge=1, le=64, description="Processes that serve the port. More than one: before a cluster, or with the online store in Redis."
    )
    drain_s: float = Field(
        5.0,
        ge=0,
        le=3_600,
        description="After SIGTERM: how long everything is still served, for load balancers to see that `/readyz` is red.",
    )
    ready_while_degraded: bool = Field(
        default=True,
        description="Whether `/readyz` stays 200, and says `degraded`, while a feature store elsewhere that was there once, or the store "
        "of access control, is lost. `false`: it is 503.",
    )
    shutdown_grace_s: float = Field(
        30.0, ge=0, le=3_600, description="After that: how long requests under way may take; what then is left is told 503."
    )
    max_header_bytes: int = Field(
        65_536, ge=1024, le=1_048_576, description="A request line and headers that are longer together are refused with 431."
    )
    max_headers: int = Field(100, ge=8, le=10_000, description="More headers than this are refused with 431.")
    header_timeout_s: Seconds = Field(
        10.0,
        description="Time for a request's headers to come in, from its first byte, and for a new connection to begin its first request.",
    )
    body_timeout_s: Seconds = Field(30.0, description="Time for a request's body to come in, from the end of its headers.")
    write_timeout_s: Seconds = Field(30.0, description="How long a client may leave its reply unread before its connection is cut.")
    max_connections: int = Field(4_096, ge=1, description="Connections at most; further ones are answered 503 and closed.")
    max_connections_per_client: int = Field(
        0, ge=0, description="Connections at most from one address; 0: any number. Behind a load balancer all clients share its address."
    )
    tls_certificate_file: Path | None = Field(
        None,
        description="PEM file of the certificate, and those between it and its authority, for HTTPS. Unset: HTTP. Another certificate in "
        "its place is taken up within ten seconds.",
    )
    tls_key_file: Path | None = Field(
        None, description="PEM file of its private key, not encrypted. Unset: it is in the certificate's file."
    )
    tls_client_ca_file: Path | None = Field(
        None,
        description="PEM file of the authorities one of which must have signed a certificate that clients show. Unset: none is asked for.",
    )
