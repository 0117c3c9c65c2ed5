"""Texts as both stores can keep them, and instants as SCIM spells them."""

from datetime import UTC, datetime, timedelta

from gateway.errors import InvalidScim

NAME_LENGTH, KIND_LENGTH, TEXT_LENGTH = 512, 32, 65_536
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def fitting(text: str | None, attribute: str, most: int = NAME_LENGTH) -> str | None:
    """None for what is empty. Raises InvalidScim."""
    if not text:
        return None
    if len(text) > most:
        raise InvalidScim("invalidValue", f"{attribute}: longer than {most} characters")
    if not storable(text):
        raise InvalidScim("invalidValue", f"{attribute}: has a NUL character")
    return text


def storable(text: str) -> bool:
    """PostgreSQL keeps no NUL, and neither store what is no Unicode."""
    return "\0" not in text and not any("\ud800" <= one <= "\udfff" for one in text)


def instant(us: int) -> str:
    """Microseconds since 1970 as RFC 3339 has them."""
    return (_EPOCH + timedelta(microseconds=us)).isoformat().replace("+00:00", "Z")


def microseconds(at: datetime) -> int:
    """Since 1970; without an offset it is UTC."""
    return ((at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)
