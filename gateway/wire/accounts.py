"""What callers send to the Service Accounts service (contract §9), and how it spells what it answers.

camelCase and snake_case are both taken; null means unset; unknown fields are ignored; an empty body is `{}`. Answers are in snake_case.
Errors: InvalidRequest and MalformedBody, which name the field and never show its value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.errors import InvalidRequest
from gateway.wire.fields import boolean, read_fields, spellings, string, texts
from gateway.wire.json import decode_strict

API_KEY = "SERVICE_ACCOUNT_CREDENTIALS_TYPE_API_KEY"
OAUTH = "SERVICE_ACCOUNT_CREDENTIALS_TYPE_OAUTH_CLIENT_CREDENTIALS"
_FIELDS = spellings(
    {
        name: name
        for name in ("id", "ids", "search", "name", "description", "is_active", "credentials_type", "service_account_id", "secret_id")
    }
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Creation:
    name: str
    description: str
    credentials_type: str


@dataclass(frozen=True, slots=True)
class Search:
    """`ids` None: all of them. An empty list names none, and finds none."""

    text: str
    ids: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Update:
    """None: as it is."""

    id: str
    name: str | None
    description: str | None
    is_active: bool | None


@dataclass(frozen=True, slots=True)
class SecretRef:
    account_id: str
    secret_id: str


def creation(body: bytes) -> Creation:
    """Without a type of credentials: an API key."""
    fields = _read(body)
    kind = string(fields.get("credentials_type", API_KEY), "credentials_type")
    if kind not in {API_KEY, OAUTH}:
        raise InvalidRequest(f"credentials_type must be {API_KEY} or {OAUTH}.")
    return Creation(_required(fields, "name"), string(fields.get("description", ""), "description"), kind)


def search(body: bytes) -> Search:
    fields = _read(body)
    return Search(string(fields.get("search", ""), "search"), frozenset(texts(fields, "ids")) if "ids" in fields else None)


def update(body: bytes) -> Update:
    fields = _read(body)
    return Update(
        _required(fields, "id"),
        string(fields["name"], "name") if "name" in fields else None,
        string(fields["description"], "description") if "description" in fields else None,
        boolean(fields["is_active"], "is_active") if "is_active" in fields else None,
    )


def account_id(body: bytes) -> str:
    return _required(_read(body), "id")


def secret_ref(body: bytes) -> SecretRef:
    fields = _read(body)
    return SecretRef(_required(fields, "service_account_id"), _required(fields, "secret_id"))


def instant(at_us: int, *, timespec: str = "microseconds") -> str:
    """Microseconds since 1970 as RFC 3339 has them, in UTC."""
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat(timespec=timespec).replace("+00:00", "Z")


def _read(body: bytes) -> dict[str, Any]:
    return read_fields(decode_strict(body) if body else {}, _FIELDS, "The body")


def _required(fields: Mapping[str, Any], name: str) -> str:
    value = string(fields.get(name, ""), name)
    if not value:
        raise InvalidRequest(f"{name} is missing.")
    return value
