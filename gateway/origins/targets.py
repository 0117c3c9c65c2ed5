"""Which targets of the cluster's API are forwarded: the groups, and what a path may hold.

A target is judged by its raw bytes, as it would go out, and goes out as it came. A path is refused where two readers of it could differ on
which endpoint it names: dot segments, empty segments, encoded slashes and backslashes, control characters, at whatever depth of
percent-encoding. Its group is found by the most lenient reading (decoded, in lower case, without path parameters), and must be spelled
plainly: no spelling of a group that is switched off passes as another.
"""

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import unquote_to_bytes

from gateway.errors import InvalidRequest, NotFound, UnknownRoute

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
_ALL_BELOW = "{path}"
_LONGEST = 8192
_DEEPEST = 3
_PATH = re.compile(rb"(?:/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})+)+/?")
"""RFC 3986, section 3.3, without empty segments but for a last one."""
_QUERY = re.compile(rb"[\x21\x22\x24-\x7e]*")
"""What is visible, but for the number sign. Wider than RFC 3986: SCIM filters come with bare quotes and brackets."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")


@dataclass(frozen=True, slots=True)
class Group:
    """Endpoints that are switched together. `paths`: each with the methods that the cluster documents; `{path}` is all that is below."""

    name: str
    meaning: str
    paths: Mapping[str, tuple[str, ...]]
    methods: tuple[str, ...] = METHODS


OAUTH = Group(
    "oauth",
    "Access tokens for the client credentials of service accounts",
    MappingProxyType({"/oauth2/default/v1/token": ("POST",)}),
    ("POST",),
)
OTHER = Group("other", "Whatever else the cluster has below /api/", MappingProxyType({"/api/{path}": METHODS}))
GROUPS = (
    Group(
        "secrets",
        "Secrets, their scopes, and who may use them",
        MappingProxyType(
            {
                "/api/v1/secrets-service/{path}": ("GET", "POST", "PUT", "DELETE"),
                "/api/v1/authorization-service/{path}": ("POST",),
            }
        ),
    ),
    Group(
        "service_accounts",
        "Service accounts and their client secrets",
        MappingProxyType(
            {
                "/api/v1/metadata-service/create-service-account": ("POST",),
                "/api/v1/metadata-service/delete-service-account": ("POST",),
                "/api/v1/metadata-service/get-service-account": ("POST",),
                "/api/v1/metadata-service/update-service-account": ("POST",),
                "/api/v1/service-accounts-service/{path}": ("POST",),
            }
        ),
    ),
    Group(
        "scim", "Users, groups and service accounts by SCIM", MappingProxyType({"/api/scim/v2/{path}": ("GET", "POST", "PUT", "DELETE")})
    ),
    OAUTH,
    Group(
        "feature_service",
        "The state of a feature service",
        MappingProxyType({"/api/v1/feature-service/get-feature-service-state": ("POST",)}),
    ),
    Group(
        "metadata",
        "Workspaces, and how feature servers are scaled",
        MappingProxyType(
            {
                "/api/v1/metadata-service/get-feature-server-config": ("POST",),
                "/api/v1/metadata-service/set-feature-server-config": ("POST",),
                "/api/v1/metadata-service/workspaces/{path}": ("GET",),
            }
        ),
    ),
    Group("jobs", "Materialization jobs", MappingProxyType({"/api/v1/jobs/{path}": ("GET", "POST")})),
    Group("observability", "The cluster's own metrics", MappingProxyType({"/api/v1/observability/metrics": ("GET",)})),
    OTHER,
)
"""In the order in which they are tried."""
_OWN = ("/api/v1/feature-service", "/api/v2/workspaces")
"""Below these the gateway has doors of its own: what they do not take is not forwarded past them."""

FORWARDED = re.compile(
    r"/(?P<path>oauth2/default/v1/token|api/(?:v1/feature-service/get-feature-service-state|(?!v1/feature-service/|v2/workspaces/).*))\Z",
    re.DOTALL,
)
"""Decoded paths that may be forwarded, as far as a router need know."""


class Targets:
    """`on`: names of the groups that are forwarded."""

    def __init__(self, on: Collection[str]) -> None:
        self._on = frozenset(on)
        self.groups = tuple(group for group in GROUPS if group.name in self._on)

    def find(self, path: bytes) -> tuple[Group, str]:
        """The group of a raw path, and the template that it fits. Raises InvalidRequest, UnknownRoute; NotFound where the group is off."""
        read = _read(path)
        for group in GROUPS:
            for template in group.paths:
                if _fits(template, read) and not (group is OTHER and _is_own(read)):
                    if not _is_plain(template, path.decode("ascii")):
                        raise UnknownRoute
                    if group.name not in self._on:
                        raise NotFound(f"Not Found: the gateway does not forward this; forward.{group.name} is off.")
                    return group, template
        raise UnknownRoute


def whole(path: bytes, query: bytes) -> bytes:
    """The target of a request, byte for byte. Raises InvalidRequest for a query that cannot be one."""
    if len(query) > _LONGEST or _QUERY.fullmatch(query) is None:
        raise InvalidRequest("The query of the URL is too long, or holds what must be percent-encoded.")
    return path + b"?" + query if query else path


def _read(path: bytes) -> str:
    """The path as the most lenient of servers would read it. Raises InvalidRequest where that could be another than was meant."""
    if len(path) > _LONGEST or _PATH.fullmatch(path) is None:
        raise InvalidRequest("The path of the URL is too long, or holds what must be percent-encoded, or an empty segment.")
    slashes, rest = path.count(b"/"), path
    for _ in range(_DEEPEST):
        decoded = unquote_to_bytes(rest)
        try:
            text = unicodedata.normalize("NFKC", decoded.decode())
        except UnicodeDecodeError:
            raise InvalidRequest("The path of the URL is not UTF-8 once it is decoded.") from None
        segments = [segment.partition(";")[0] for segment in text.split("/")]
        if text.count("/") > slashes or _CONTROL.search(text) or not {".", ".."}.isdisjoint(segments):
            raise InvalidRequest("The path of the URL holds a dot segment, an encoded slash or backslash, or a control character.")
        if decoded == rest:
            return "/".join(segments).lower().rstrip("/")
        rest = decoded
    raise InvalidRequest("The path of the URL is percent-encoded too many times over.")


def _fits(template: str, read: str) -> bool:
    if not template.endswith(_ALL_BELOW):
        return read == template
    return read.startswith(template.removesuffix(_ALL_BELOW)) or read == template.removesuffix("/" + _ALL_BELOW)


def _is_plain(template: str, path: str) -> bool:
    """Whether the path begins with the template to the letter, and goes on where the template does."""
    if not template.endswith(_ALL_BELOW):
        return path == template
    below = template.removesuffix(_ALL_BELOW)
    return path.startswith(below) and len(path) > len(below)


def _is_own(read: str) -> bool:
    return any(read == own or read.startswith(own + "/") for own in _OWN)
