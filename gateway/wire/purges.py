"""What callers send to the purge doors: `{"views":[…],"joinKeys":{…},"everything":true,"soft":true}`, or a part of it, as one `Purge`.

Named doors: unknown fields are refused, camelCase and snake_case both taken, null means unset. An empty body is `{}`. What names nothing,
such as an empty list, is refused: it could mean all as well as none. A door's own workspace and feature service are not the body's to say,
so a `Purge` leaves here without them.
Errors: InvalidRequest and MalformedBody, which name the field and never show its value.
"""

from collections.abc import Mapping
from typing import Any

from gateway.errors import InvalidRequest
from gateway.features import Purge
from gateway.wire.fields import boolean, mapping, read_fields, spellings, texts
from gateway.wire.json import decode_strict

_SERVICE = spellings({name: name for name in ("views", "join_keys", "soft")})
_WORKSPACE = spellings({name: name for name in ("views", "join_keys", "everything", "soft")})
_WHOLE = spellings({name: name for name in ("everything", "soft")})
_KEY_TYPES = (str, int, float, bool, type(None))


def service_purge(body: bytes) -> Purge:
    """…/feature-services/{fs}/features:purge. Without views: all of the service's, which its schema says."""
    return _purge(_read(body, _SERVICE))


def service_drop(body: bytes) -> Purge:
    """DELETE …/features: all of the service's views, hard. What a DELETE's body means is nobody's to say (RFC 9110 §9.3.5)."""
    if body:
        raise InvalidRequest("DELETE takes no body: post it to …/features:purge.")
    return Purge()


def workspace_purge(body: bytes) -> Purge:
    """…/workspaces/{ws}/features:purge."""
    fields = _read(body, _WORKSPACE)
    purge = _purge(fields)
    everything = boolean(fields.get("everything", False), "everything")
    if everything and (purge.views is not None or purge.join_keys):
        raise InvalidRequest("everything goes with neither views nor joinKeys.")
    if not (everything or purge.views is not None or purge.join_keys):
        raise InvalidRequest('The body must have views, joinKeys or "everything": true.')
    return purge


def whole_purge(body: bytes) -> Purge:
    """/v1/features:purge: all workspaces."""
    fields = _read(body, _WHOLE)
    if not boolean(fields.get("everything", False), "everything"):
        raise InvalidRequest('The body must have "everything": true.')
    return _purge(fields)


def _read(body: bytes, table: Mapping[str, str]) -> dict[str, Any]:
    return read_fields(decode_strict(body) if body else {}, table, "The body", strict=True)


def _purge(fields: Mapping[str, Any]) -> Purge:
    views, join_keys = texts(fields, "views"), mapping(fields, "join_keys", "joinKeys")
    if "views" in fields and not views:
        raise InvalidRequest("views must name at least one feature view; without it all are meant.")
    if "join_keys" in fields and not join_keys:
        raise InvalidRequest("joinKeys must name at least one join key; without it all are meant.")
    for name, value in join_keys.items():
        if type(value) not in _KEY_TYPES:
            raise InvalidRequest(f"Unexpected JSON type for {name[:200]} in joinKeys. Expected a scalar or null.")
    return Purge(
        views=frozenset(views) if views else None,
        join_keys=join_keys,
        soft=boolean(fields.get("soft", False), "soft"),
    )
