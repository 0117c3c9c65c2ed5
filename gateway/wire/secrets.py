"""What callers send to the Secrets service: `{"value": "…"}`. Errors name the field and never show the value."""

from gateway.errors import InvalidRequest
from gateway.wire.fields import read_fields, spellings, string
from gateway.wire.json import decode_strict

_PUT = spellings({"value": "value"})


def secret_value(body: bytes, max_bytes: int) -> str:
    """Raises InvalidRequest, MalformedBody. An empty value is refused: it is a variable that was not set far more often than a secret."""
    value = string(read_fields(decode_strict(body), _PUT, "The body").get("value"), "value")
    if not value:
        raise InvalidRequest("value must not be empty; to take a secret away, delete it.")
    if len(value.encode()) > max_bytes:
        raise InvalidRequest(f"value is larger than {max_bytes} bytes of UTF-8.")
    return value
