"""What the gateway itself needs to know of an ingest request: for which workspace it is. The rest is the origin's to read."""

from gateway.errors import InvalidRequest
from gateway.wire.json import decode_strict

_SPELLINGS = ("workspaceName", "workspace_name")


def named_workspace(body: bytes) -> str | None:
    """The workspace; None where the body names none: then the origin refuses it, in the ingest API's own words.

    Raises MalformedBody and InvalidRequest for a body that another parser could take to name another workspace: rights hang on this name.
    """
    given = decode_strict(body)
    if type(given) is not dict:
        return None
    named = [given[name] for name in _SPELLINGS if name in given and given[name] is not None]
    if len(named) > 1:
        raise InvalidRequest("The body has workspace_name twice, in camelCase and in snake_case.")
    if named and type(named[0]) is not str:
        raise InvalidRequest("workspaceName must be a string.")
    return named[0] if named else None
