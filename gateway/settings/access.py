"""Settings of who may do what."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from gateway.settings.sections import Digest, Seconds, Section


class Key(Section):
    """One API key of the gateway's own."""

    digest: Digest = Field(description="SHA-256 of the key, 64 hex digits. `feature-gateway new-key` makes both.")
    workspaces: frozenset[str] = Field(frozenset(), description="Workspaces it may read; `*` for all.")
    ingest: bool = Field(default=False, description="Whether it may write to /ingest.")
    purge: bool = Field(default=False, description="Whether it may purge the cache, in its workspaces; with `*` also all of it.")


_ApiPath = Annotated[str, Field(pattern=r"^/api(/[A-Za-z0-9_-]{1,64}){1,6}$")]


class OAuth(Section):
    """Access tokens for the client credentials of service accounts."""

    token_life_s: int = Field(3600, ge=60, le=86_400, description="How long a token is good for.")
    key_life_s: float = Field(
        86_400.0,
        ge=300,
        le=31_536_000,
        description="How old a signing key gets before another takes its place. It verifies until its last token is over.",
    )
    issuer: str = Field(
        "feature-gateway",
        pattern=r"^[!-~]{1,256}$",
        description="What tokens say of who made them (`iss`). The same for all replicas of one store, and unlike that of another.",
    )
    audience: str = Field("feature-gateway", pattern=r"^[!-~]{1,256}$", description="What tokens say of whom they are for (`aud`).")


class Paths(Section):
    """Where the administrative doors are that no public source confirms."""

    service_accounts: _ApiPath = Field(
        "/api/v1/metadata-service",
        description="Before `/create-service-account`, `/get-service-account` and so on. They are below /api/v1/service-accounts-service "
        "too.",
    )
    service_account_secrets: _ApiPath = Field(
        "/api/v1/service-accounts-service", description="Before `/create-service-account-secret` and the four others."
    )


class Auth(Section):
    """Who may read."""

    mode: Literal["keys", "passthrough", "open"] | None = Field(
        None,
        description="`keys`: the gateway's own keys. `passthrough`: the cluster judges. `open`: everybody. "
        "Unset: `keys`, or `passthrough` before a cluster without `origin.api_key`.",
    )
    grant_life_s: Seconds = Field(
        30.0, description="With `passthrough`: how long one answer of the cluster lets its caller read from the cache."
    )
    keys: dict[str, Key] = Field(default_factory=dict, description="The gateway's own API keys, by name.")
    store: Literal["none", "sqlite", "postgresql"] | None = Field(
        None,
        description="Where principals, their roles and keys, secrets and the audit log are kept, for `keys`: `access.db` in "
        "`auth.data_dir`, or PostgreSQL for several replicas. `none`: only the settings' keys, and no administrative doors. "
        "Unset: `postgresql` with `auth.database`, `none` with `auth.keys`, else `sqlite`.",
    )
    data_dir: Path | None = Field(None, description="Folder of `access.db`. Unset: `feature_server.data_dir`.")
    database: SecretStr | None = Field(None, description="URL of the PostgreSQL database: `postgresql://user:password@host/name`.")
    kek_file: Path | None = Field(
        None,
        description="File with the key-encryption key that secrets are sealed under: 32 bytes in base64 or hex. Unset, and `auth.kek` too: "
        "`access.kek` beside `access.db`, made at the first start.",
    )
    kek: SecretStr | None = Field(None, description="The key itself, for an environment variable, in place of `auth.kek_file`.")
    kek_previous_files: tuple[Path, ...] = Field(
        (), description="Files with earlier keys, which still open what they sealed until `feature-gateway secrets rotate-kek` was run."
    )
    refresh_s: float = Field(
        1.0, gt=0, le=5, description="How often the store is asked whether another process has changed who may do what."
    )
    scim_roles: bool = Field(
        default=True,
        description="Whether roles can be given and taken over SCIM. false: what SCIM clients say of roles counts for nothing.",
    )
    oauth: OAuth = OAuth()
    paths: Paths = Paths()
    max_copy_age_s: Seconds | None = Field(
        None,
        description="While the store cannot be read, what was read last counts for so long; then its keys are refused with 503. "
        "Unset: until it can be read again.",
    )
    admin_key: SecretStr | None = Field(
        None,
        description="An API key, as `feature-gateway new-key` makes them, that the service account `admin` has from the next start on. "
        "Unset: where the store holds no admin, `serve` makes one and prints its key, once.",
    )
    metrics: Literal["role", "open"] = Field(
        "role",
        description="Who reads `/metrics` and `/v1/slo`, for `keys`. `role`: whoever holds a role, from viewer up, in all workspaces; "
        "of the settings' keys those of `*`. `open`: everybody. Metrics name workspaces, feature services and views; never keys, callers "
        "or values.",
    )
