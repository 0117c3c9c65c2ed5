"""Which headers pass between callers and a cluster: by lists of what may, never of what may not.

Out go a caller's credential and what describes its body and wishes; back come what describes the reply, and what to do next. Cookies,
`X-Forwarded-*`, `Forwarded`, hop-by-hop headers and whatever `Connection` names stop here, in both directions. Framing (Host,
Content-Length, Transfer-Encoding) is said anew on each side.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from urllib.parse import SplitResult, urlsplit, urlunsplit

from gateway import request_ids
from gateway.errors import InvalidRequest

Header = tuple[bytes, bytes]

_OUT = frozenset({b"accept", b"accept-encoding", b"content-type", b"content-encoding", b"if-match", b"if-none-match"})
_ONCE = frozenset({b"content-type"})
_BACK = frozenset(
    {
        b"allow",
        b"cache-control",
        b"content-disposition",
        b"content-encoding",
        b"content-language",
        b"content-type",
        b"etag",
        b"expires",
        b"last-modified",
        b"pragma",
        b"retry-after",
        b"vary",
        b"www-authenticate",
    }
)
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_BODILESS = frozenset({204, 205, 304})
_VISIBLE = re.compile(rb"[\x21-\x5b\x5d-\x7e]+")
"""Without the backslash, which some readers of URLs take for a slash."""
_DELAY = re.compile(r"[0-9]{1,9}|[A-Za-z]{3,9},? [A-Za-z0-9: -]{10,30}")
_PORTS = MappingProxyType({"http": 80, "https": 443})


def outgoing_headers(authorization: str | None, traceparent: str | None = None) -> dict[str, str]:
    """Of a call that the gateway makes itself: JSON out, JSON back, the caller's credential, the ids by which it is found again."""
    headers = {"content-type": "application/json", "accept": "application/json"}
    if authorization is not None:
        headers["authorization"] = authorization
    if traceparent is not None:
        headers["traceparent"] = traceparent
    request_id = request_ids.current()
    if request_id is not None:
        headers["x-request-id"] = request_id
    return headers


def passed_on(headers: Sequence[Header]) -> list[Header]:
    """Of a caller's headers (names in lower case), those that a forwarded call keeps; credential, ids and framing are not among them.

    A header that comes twice goes out joined (RFC 9110, section 5.3). Raises InvalidRequest where it may come once, or its value is none.
    """
    kept: dict[bytes, bytes] = {}
    named = _named_by_connection(headers)
    for name, value in headers:
        if name not in _OUT or name in named:
            continue
        if _VALUE.fullmatch(value) is None:
            raise InvalidRequest(f"The header {name.decode('ascii')} holds a control character.")
        if name in kept and name in _ONCE:
            raise InvalidRequest(f"The header {name.decode('ascii')} comes twice.")
        kept[name] = kept[name] + b", " + value if name in kept else value
    return list(kept.items())


def passed_back(status: int, headers: Sequence[Header], origin: str) -> list[Header]:
    """Of a cluster's headers, those that its caller gets. `origin`: the cluster's base URL; Location is kept where it stays there."""
    kept: list[Header] = []
    named = _named_by_connection(headers)
    for spelled, value in headers:
        name = spelled.lower()
        if name in named or _VALUE.fullmatch(value) is None:
            continue
        if name in _BACK:
            kept.append((name, value))
        elif name == b"location":
            here = local(value, origin)
            kept += [] if here is None else [(name, here)]
    length = content_length(headers)
    if length is not None and status not in _BODILESS:
        kept.append((b"content-length", b"%d" % length))
    return kept


def local(location: bytes, origin: str) -> bytes | None:
    """A Location that leads to this gateway: of the cluster's own address the path alone, so that whoever follows it comes by here again.
    None for any other address: a credential must not follow it there."""
    if _VISIBLE.fullmatch(location) is None or location.startswith(b"//"):
        return None
    here = urlsplit(origin)
    try:
        there = urlsplit(location.decode("ascii"))
        if there.scheme or there.netloc:
            if _address(there) != _address(here) or there.username is not None:
                return None
        elif not location.startswith(b"/"):
            return location
    except ValueError:
        return None
    path = there.path.removeprefix(here.path.rstrip("/")) or "/"
    if not there.path.startswith(here.path.rstrip("/")) or not path.startswith("/") or path.startswith("//"):
        return None
    return urlunsplit(("", "", path, there.query, there.fragment)).encode("ascii")


def _address(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or _PORTS.get(url.scheme)


def retry_after(headers: Mapping[str, str]) -> str | None:
    """A cluster's Retry-After, if it is one (RFC 9110, section 10.2.3): seconds, or a date."""
    told = headers.get("retry-after", "").strip()
    return told if _DELAY.fullmatch(told) else None


def content_length(headers: Sequence[Header]) -> int | None:
    """The announced size of a body; None where there is none, or it is not the framing that counts (RFC 9112, section 6.3)."""
    told = {value for name, value in headers if name.lower() == b"content-length"}
    chunked = any(name.lower() == b"transfer-encoding" for name, _ in headers)
    if chunked or len(told) != 1:
        return None
    [length] = told
    return int(length) if length.isdigit() and len(length) < 19 else None


def _named_by_connection(headers: Sequence[Header]) -> frozenset[bytes]:
    """What must not go further because Connection names it (RFC 9110, section 7.6.1)."""
    named = [one.strip().lower() for name, value in headers if name.lower() == b"connection" for one in value.split(b",")]
    return frozenset(named)
