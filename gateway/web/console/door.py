"""One request to the console: who asks, what comes in, what goes out. A page is a plain function from what was asked to what is told.

Every change is a POST, and a POST that a browser sends from another site's page is refused: the session's cookie is SameSite=Strict, and
the browser says where the form was.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.types import Receive, Scope, Send

from gateway.errors import GatewayError, InvalidRequest, PermissionDenied, Unauthenticated
from gateway.web.admin.door import queried
from gateway.web.assets import HTML, protection
from gateway.web.console.sessions import Sessions, read
from gateway.web.console.visitors import Doorkeeper, Visitor
from gateway.web.exchange import TELL, answer, begin, read_body, read_headers
from gateway.web.problems import Headers
from gateway.web.problems import answer as problem

HOME = "/console"
SIGN_IN = f"{HOME}/sign-in"
COOKIE = "feature_gateway_console"
# same-origin, not no-referrer: under that a browser does not say of a form where it was (Fetch, "append a request Origin header")
PROTECTION = protection(form_action="'self'", referrer="same-origin")
_HEADERS: Headers = [(name.lower().encode(), value.encode()) for name, value in {"Cache-Control": "no-store", **PROTECTION}.items()]
_ELSEWHERE = "This form was sent from a page of another site, or by a browser that does not say."
_MOST_FIELDS = 500


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `visitor` None: of a page that anybody may see. `secure`: it came over TLS."""

    visitor: Visitor | None
    params: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str] = field(repr=False)
    path: str
    secure: bool
    posted: bool
    traceparent: bytes | None = None

    @property
    def known(self) -> Visitor:
        """Of a page that not anybody may see."""
        assert self.visitor is not None
        return self.visitor


@dataclass(frozen=True, slots=True)
class Told:
    """One answer."""

    body: bytes = b""
    status: int = 200
    content_type: str = HTML
    headers: Headers = field(default_factory=list)


Page = Callable[[Asked], Awaitable[Told]]
TellError = Callable[[GatewayError, int, Visitor | None], bytes]
"""An error as a page, with its HTTP status, for whom it is known to be."""


class Reception:
    """Knows visitors by their header, or by their session."""

    def __init__(self, doorkeeper: Doorkeeper, sessions: Sessions) -> None:
        self.doorkeeper = doorkeeper
        self.sessions = sessions

    def receive(self, authorization: bytes | None, cookie: str | None) -> tuple[Visitor, str | None]:
        """Who asks, and the session's new cookie where it is time for one. Raises Unauthenticated and PermissionDenied."""
        if authorization is not None or not self.doorkeeper.signs_in:
            return self.doorkeeper.by_header(authorization), None
        signed = read(cookie) if cookie is not None else None
        if signed is None:
            raise Unauthenticated("Sign in, or send an API key in the Authorization header.")
        visitor = self.doorkeeper.by_name(signed.claim.credential)
        if not self.sessions.holds(signed, visitor.key):
            raise Unauthenticated("The session is over: sign in again.")
        return visitor, self.sessions.renewed(signed, visitor.key)


class ConsoleDoor:
    """`anybody`: whether the page is shown to whoever comes."""

    def __init__(self, reception: Reception, page: Page, tell: TellError, max_body_bytes: int, *, anybody: bool = False) -> None:
        self._reception = reception
        self._page = page
        self._tell = tell
        self._max_body_bytes = max_body_bytes
        self._anybody = anybody

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin(scope, door="console")
        shown = ShownErrors(self._tell)
        scope[TELL] = shown.spell
        authorization, traceparent = read_headers(scope, self._max_body_bytes)
        headers, posted = _named(scope), scope["method"] == "POST"
        if posted:
            refuse_other_sites(headers)
        renewed = None
        try:
            visitor, renewed = self._reception.receive(authorization, _cookie(headers))
        except (Unauthenticated, PermissionDenied) as error:
            visitor = None
            if not self._anybody:
                if posted or isinstance(error, PermissionDenied) or "text/html" not in headers.get("accept", ""):
                    raise
                await answer(scope, send, 303, [*_HEADERS, _sign_in(scope)], b"")
                return
        shown.visitor = visitor
        body = await read_body(receive, self._max_body_bytes, await receive())
        if body is None:
            return
        asked = Asked(
            visitor,
            scope["path_params"],
            queried(scope["query_string"]),
            form_of(body) if posted else {},
            scope["path"],
            scope["scheme"] == "https",
            posted,
            traceparent,
        )
        told = await self._page(asked)
        if renewed is not None:
            told = replace(told, headers=[*told.headers, set_cookie(renewed, self._reception.sessions.life_s, secure=asked.secure)])
        content = [(b"content-type", told.content_type.encode()), (b"content-length", b"%d" % len(told.body))]
        await answer(scope, send, told.status, [*_HEADERS, *content, *told.headers], told.body)


class ShownErrors:
    """Errors for who reads them: a page for people, for programs what every door tells."""

    def __init__(self, tell: TellError) -> None:
        self._tell = tell
        self.visitor: Visitor | None = None

    def spell(self, error: GatewayError, path: str, accept: bytes) -> tuple[int, Headers, bytes]:
        status, headers, body = problem(error, path, accept)
        if b"text/html" not in accept:
            return status, [*_HEADERS, *headers], body
        body = self._tell(error, status, self.visitor)
        others = [(name, value) for name, value in headers if name not in {b"content-type", b"content-length"}]
        content = [(b"content-type", HTML.encode()), (b"content-length", b"%d" % len(body))]
        return status, [*_HEADERS, *content, *others], body


def see_other(path: str, *headers: tuple[bytes, bytes]) -> Told:
    return Told(status=303, headers=[(b"location", path.encode("ascii")), *headers])


def set_cookie(value: str, life_s: float, *, secure: bool) -> tuple[bytes, bytes]:
    """An empty value takes it back."""
    age_s = int(life_s) if value else 0
    told = f"{COOKIE}={value}; Path={HOME}; Max-Age={age_s}; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}"
    return b"set-cookie", told.encode("ascii")


def refuse_other_sites(headers: Mapping[str, str]) -> None:
    """Raises PermissionDenied for what a browser sends from another site's page. What says nothing of where it comes from is no browser."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        if site != "same-origin":
            raise PermissionDenied(_ELSEWHERE)
    elif origin is not None and urlsplit(origin).netloc != headers.get("host"):
        raise PermissionDenied(_ELSEWHERE)


def form_of(body: bytes) -> dict[str, str]:
    """A form's fields. Of several by one name the last counts. Raises InvalidRequest."""
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise InvalidRequest("The form cannot be understood.") from None


def _named(scope: Scope) -> dict[str, str]:
    """A header that comes twice is believed neither time: its values are joined."""
    named: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        named[key] = f"{named[key]}; {text}" if key in named else text
    return named


def _cookie(headers: Mapping[str, str]) -> str | None:
    """The session's, whatever other cookies the browser has for this host."""
    for pair in headers.get("cookie", "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            return value
    return None


def _sign_in(scope: Scope) -> tuple[bytes, bytes]:
    wanted = scope["path"] + (f"?{scope['query_string'].decode('ascii', 'replace')}" if scope["query_string"] else "")
    return b"location", f"{SIGN_IN}?next={quote(wanted, safe='')}".encode()
