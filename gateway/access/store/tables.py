"""What is kept of access control. Times are microseconds since 1970, UTC; of keys and client secrets only digests are kept.

`migrations` make these tables; a test holds the two together.
"""

from sqlalchemy import BigInteger, ForeignKey, Integer, LargeBinary, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_Id = String(64)
_Name = String(512)
_Kind = String(32)


class Table(DeclarativeBase):
    """Base of all."""


class Change(Table):
    """One row: how often anything changed that decides who may do what. Whoever keeps a copy of that compares this number."""

    __tablename__ = "change"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    revision: Mapped[int] = mapped_column(BigInteger)


class User(Table):
    """A person, as an identity provider tells of it. One that is not active is not kept."""

    __tablename__ = "user_account"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    user_name: Mapped[str] = mapped_column(_Name, unique=True)
    given_name: Mapped[str | None] = mapped_column(_Name)
    family_name: Mapped[str | None] = mapped_column(_Name)
    email: Mapped[str | None] = mapped_column(_Name)
    email_type: Mapped[str | None] = mapped_column(_Kind)
    email_primary: Mapped[bool | None]
    external_id: Mapped[str | None] = mapped_column(_Name)
    created_us: Mapped[int] = mapped_column(BigInteger)
    updated_us: Mapped[int] = mapped_column(BigInteger)


class ServiceAccount(Table):
    """A program that calls. `credentials`: `api_key` or `oauth`. `creator_*`: the principal that made it; None: somebody at the shell."""

    __tablename__ = "service_account"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    name: Mapped[str] = mapped_column(_Name, unique=True)
    description: Mapped[str] = mapped_column(Text)
    is_active: Mapped[bool]
    credentials: Mapped[str] = mapped_column(_Kind)
    creator_kind: Mapped[str | None] = mapped_column(_Kind)
    creator_id: Mapped[str | None] = mapped_column(_Id)
    external_id: Mapped[str | None] = mapped_column(_Name)
    created_us: Mapped[int] = mapped_column(BigInteger)
    updated_us: Mapped[int] = mapped_column(BigInteger)


class ApiKey(Table):
    """An API key of a service account. `id`: the public part of the key itself. `digest`: SHA-256 of all of it."""

    __tablename__ = "api_key"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("service_account.id", ondelete="CASCADE"), index=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    is_active: Mapped[bool]
    created_us: Mapped[int] = mapped_column(BigInteger)
    last_used_us: Mapped[int | None] = mapped_column(BigInteger)


class ClientSecret(Table):
    """A secret that an OAuth client, which is a service account, shows for a token. `tail`: its last four characters, for people."""

    __tablename__ = "client_secret"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("service_account.id", ondelete="CASCADE"), index=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    tail: Mapped[str] = mapped_column(String(4))
    is_active: Mapped[bool]
    created_us: Mapped[int] = mapped_column(BigInteger)
    updated_us: Mapped[int] = mapped_column(BigInteger)
    last_used_us: Mapped[int | None] = mapped_column(BigInteger)


class SigningKey(Table):
    """A key that access tokens are signed with, sealed. It signs until the next one is made, and verifies until `retires_us`."""

    __tablename__ = "signing_key"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_us: Mapped[int] = mapped_column(BigInteger)
    retires_us: Mapped[int | None] = mapped_column(BigInteger)


class Group(Table):
    """Principals that hold roles together. `idp_mapping_names`: a JSON array."""

    __tablename__ = "principal_group"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    display_name: Mapped[str] = mapped_column(_Name, unique=True)
    description: Mapped[str | None] = mapped_column(Text)
    idp_mapping_names: Mapped[str] = mapped_column(Text)
    external_id: Mapped[str | None] = mapped_column(_Name)
    created_us: Mapped[int] = mapped_column(BigInteger)
    updated_us: Mapped[int] = mapped_column(BigInteger)


class Membership(Table):
    """That a user or service account belongs to a group. `display`: what whoever said so calls the member; None: its own name."""

    __tablename__ = "membership"

    group_id: Mapped[str] = mapped_column(ForeignKey("principal_group.id", ondelete="CASCADE"), primary_key=True)
    member_kind: Mapped[str] = mapped_column(_Kind, primary_key=True)
    member_id: Mapped[str] = mapped_column(_Id, primary_key=True, index=True)
    display: Mapped[str | None] = mapped_column(_Name)


class RoleAssignment(Table):
    """A role given to a principal directly. `resource_kind`: `account_type`, `all_workspaces` (both with an empty `resource_id`),
    `workspace` or `secret_scope` (with its name)."""

    __tablename__ = "role_assignment"

    principal_kind: Mapped[str] = mapped_column(_Kind, primary_key=True)
    principal_id: Mapped[str] = mapped_column(_Name, primary_key=True)
    resource_kind: Mapped[str] = mapped_column(_Kind, primary_key=True)
    resource_id: Mapped[str] = mapped_column(_Name, primary_key=True)
    role: Mapped[str] = mapped_column(_Kind, primary_key=True)


class SecretScope(Table):
    """A named set of secrets, to which roles are given. `manifest`: what its secrets together must be (see `access.manifests`)."""

    __tablename__ = "secret_scope"

    name: Mapped[str] = mapped_column(_Name, primary_key=True)
    manifest: Mapped[bytes] = mapped_column(LargeBinary)
    created_us: Mapped[int] = mapped_column(BigInteger)


class Secret(Table):
    """A secret's value, sealed. `version`: the vault's generation that it was written in; no two values ever had the same."""

    __tablename__ = "secret"

    scope: Mapped[str] = mapped_column(ForeignKey("secret_scope.name"), primary_key=True)
    name: Mapped[str] = mapped_column(_Name, primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_us: Mapped[int] = mapped_column(BigInteger)
    updated_us: Mapped[int] = mapped_column(BigInteger)


class Vault(Table):
    """One row. `generation`: how often anything was written to the vault; `manifest`: what all its scopes together must be."""

    __tablename__ = "vault"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    generation: Mapped[int] = mapped_column(BigInteger)
    manifest: Mapped[bytes] = mapped_column(LargeBinary)


class AuditEntry(Table):
    """One administrative act: who, what, to what, when, how it ended, in which request. Never a value or a credential."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    at_us: Mapped[int] = mapped_column(BigInteger, index=True)
    actor_kind: Mapped[str] = mapped_column(_Kind)
    actor_id: Mapped[str] = mapped_column(_Name)
    actor_name: Mapped[str] = mapped_column(_Name)
    credential: Mapped[str] = mapped_column(_Name)
    action: Mapped[str] = mapped_column(String(64))
    target: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str] = mapped_column(_Kind)
    detail: Mapped[str] = mapped_column(Text)
    request_id: Mapped[str | None] = mapped_column(String(128))
