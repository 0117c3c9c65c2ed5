"""What the gateway itself needs to know of an ingest request: for which workspace it is. The rest is the origin's to read."""

from gateway.errors import MalformedBody
from gateway.wire.json import decode_strict


def named_workspace(body: bytes) -> str | None:
    """The workspace, or None where the body does not name one: then the origin refuses it, in the ingest API's own words."""
    try:
        given = decode_strict(body)
    except MalformedBody:
        return None
    if type(given) is not dict:
        return None
    named = [given[name] for name in ("workspaceName", "workspace_name") if name in given]
    return named[0] if len(named) == 1 and type(named[0]) is str else None
