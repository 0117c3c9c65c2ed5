"""The heads of requests in a connection's bytes: HTTP/1.1 as RFC 9112 writes it, and nothing that could be read in two ways.

Pure: bytes in, heads or an error out. (`bodies` says where a request ends.) Whatever a lenient reader before or behind us may take for a
different request (a length said twice, a bare LF, a folded line, `TE : chunked`) is refused, and after an error there is no next request.

A head is judged whole, by one regular expression; until then it is bytes that are counted, and looked at only for what can never become a
head.
"""

import re
from collections.abc import Sequence

import msgspec

from gateway.errors import BodyTooLarge, ExpectationFailed, HeadTooLarge, MalformedHttp, TargetTooLong

MAX_TARGET_BYTES = 8_192
"""Of a request's target. (uvicorn's URL parser counts in 16 bits.)"""
_LINE_BESIDES_TARGET = 64
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
VALUE = rb"[\t\x20-\x7e\x80-\xff]"
_LINE = rb"(" + _TOKEN + rb"{1,32}+) ([!-~]++) HTTP/1\.([01])"
_FIELD = _TOKEN + rb"++:" + VALUE + rb"*+\r\n"
_HEAD = re.compile(_LINE + rb"\r\n((?:" + _FIELD + rb")*+)\r\n")
FIELDS = re.compile(rb"(?:" + _FIELD + rb")*+")
SPLIT = re.compile(rb"([^:]+):[\t ]*([^\r]*)\r\n")
NEVER = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?!\n|\Z)")
"""What no head holds: a control character, an LF without a CR before, a CR without an LF behind (at the end it may still come)."""
_REQUEST_LINE = re.compile(_LINE)
_OTHER_VERSION = re.compile(rb".* HTTP/\S+|\S+ \S+")
_ABSOLUTE = re.compile(rb"https?://([^/?#@\\]+)(/.*)?", re.IGNORECASE)
_HOST = re.compile(rb"(?:[0-9A-Za-z._~!$&'()*+;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_ONCE = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"})


class Head(msgspec.Struct, frozen=True, gc=False):
    """A request's line and headers. Names in lower case; `target` in origin form; `length` None: the body is chunked.

    It answers what uvicorn asks of its parser about the request at hand.
    """

    raw: bytes
    method: bytes
    target: bytes
    version: str
    headers: list[tuple[bytes, bytes]]
    fields: dict[bytes, bytes]
    length: int | None
    keep_alive: bool
    expects_continue: bool
    whole: int
    """How many bytes the request has, where its length is said; -1 where it is not."""

    def repeats(self, names: Sequence[bytes]) -> bool:
        """Whether one of these headers came more than once."""
        return len(self.fields) != len(self.headers) and any(sum(one == name for one, _ in self.headers) > 1 for name in names)

    def get_method(self) -> bytes:
        return self.method

    def get_http_version(self) -> str:
        return self.version

    def should_keep_alive(self) -> bool:
        return self.keep_alive

    def should_upgrade(self) -> bool:
        """Never: an offer to upgrade is passed over, as RFC 9110 section 7.8 allows, and the request is answered as it stands."""
        return False


class Framing:
    """The limits, and how heads are read within them."""

    def __init__(self, *, max_header_bytes: int, max_headers: int, max_body_bytes: int) -> None:
        self.max_body_bytes = max_body_bytes
        self._max_header_bytes = max_header_bytes
        self._max_headers = max_headers

    def head(self, raw: bytes) -> Head:
        """A head that ends where `raw` does, read. Raises MalformedHttp, HeadTooLarge, TargetTooLong, ExpectationFailed, BodyTooLarge."""
        if len(raw) > self._max_header_bytes:
            self._too_large(raw.find(b"\r\n"))
        found = _HEAD.fullmatch(raw)
        if found is None:
            raise MalformedHttp(_what_is_wrong(raw))
        method, target, minor, block = found.groups()
        if len(target) > MAX_TARGET_BYTES:
            raise TargetTooLong(f"The target is longer than {MAX_TARGET_BYTES} bytes.")
        if block.count(b"\r\n") > self._max_headers:
            raise HeadTooLarge(f"There are more than {self._max_headers} headers.")
        headers = [(name.lower(), value.rstrip(b"\t ")) for name, value in SPLIT.findall(block)]
        fields = dict(headers)
        if len(fields) != len(headers):
            _refuse_repeated(headers)
        plain = minor == b"1"
        target = _origin_form(target, _host(fields, required=plain))
        length = self._length(fields, may_be_chunked=plain)
        return Head(
            raw,
            method,
            target,
            "1.1" if plain else "1.0",
            headers,
            fields,
            length,
            plain and not _closes(headers, fields),
            plain and _expects(fields),
            -1 if length is None else len(raw) + length,
        )

    def look_over(self, begun: bytes | bytearray, seen: int) -> None:
        """Of a head that is not whole yet, and of which `seen` bytes have been looked over before: refuse what can never become one."""
        if NEVER.search(begun, max(seen - 1, 0)):
            raise MalformedHttp(_what_is_wrong(begun))
        end = begun.find(b"\r\n")
        if len(begun) > self._max_header_bytes or (end < 0 and len(begun) > MAX_TARGET_BYTES + _LINE_BESIDES_TARGET):
            self._too_large(end)
        if end >= 0 and not _REQUEST_LINE.fullmatch(begun, 0, end):
            raise MalformedHttp(_what_is_wrong(begun))

    def _too_large(self, line_end: int) -> None:
        if line_end < 0 or line_end > MAX_TARGET_BYTES + _LINE_BESIDES_TARGET:
            raise TargetTooLong(f"The target is longer than {MAX_TARGET_BYTES} bytes.")
        raise HeadTooLarge(f"The request line and the headers are longer than {self._max_header_bytes} bytes.")

    def _length(self, fields: dict[bytes, bytes], *, may_be_chunked: bool) -> int | None:
        """How long the body is said to be; None where it is chunked (RFC 9112 section 6.3, without its leniencies)."""
        said, coding = fields.get(b"content-length"), fields.get(b"transfer-encoding")
        if coding is not None:
            if said is not None:
                raise MalformedHttp("it has both Content-Length and Transfer-Encoding")
            if not may_be_chunked or coding.lower() != b"chunked":
                raise MalformedHttp("its Transfer-Encoding is not `chunked`, in HTTP/1.1")
            return None
        if said is None:
            return 0
        if not _LENGTH.fullmatch(said):
            raise MalformedHttp("its Content-Length is not a number")
        if int(said) > self.max_body_bytes:
            raise too_large(self.max_body_bytes)
        return int(said)


def too_large(max_body_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {max_body_bytes} bytes.")


def _refuse_repeated(headers: Sequence[tuple[bytes, bytes]]) -> None:
    met: set[bytes] = set()
    for name, _ in headers:
        if name in met and name in _ONCE:
            raise MalformedHttp(f"the header {name.decode()} comes more than once")
        met.add(name)


def _host(fields: dict[bytes, bytes], *, required: bool) -> bytes | None:
    host = fields.get(b"host")
    if host is None:
        if required:
            raise MalformedHttp("it has no Host")
    elif not _HOST.fullmatch(host):
        raise MalformedHttp("its Host is not a host")
    return host


def _origin_form(target: bytes, host: bytes | None) -> bytes:
    """The target's path and query. In absolute form its authority must be the Host's: two names for one server are one too many."""
    if not target.startswith(b"/"):
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None:
            raise MalformedHttp("its target is no path")
        if host is not None and absolute[1].lower() != host.lower():
            raise MalformedHttp("its target and its Host name different servers")
        target = absolute[2] or b"/"
    if b"#" in target:
        raise MalformedHttp("its target has a fragment")
    return target


def _closes(headers: Sequence[tuple[bytes, bytes]], fields: dict[bytes, bytes]) -> bool:
    return b"connection" in fields and any(
        option.strip(b"\t ").lower() == b"close" for name, value in headers if name == b"connection" for option in value.split(b",")
    )


def _expects(fields: dict[bytes, bytes]) -> bool:
    expected = fields.get(b"expect")
    if expected is not None and expected.lower() != b"100-continue":
        raise ExpectationFailed
    return expected is not None


def _what_is_wrong(head: bytes | bytearray) -> str:
    """Why a head, whole or begun, is none. In names, never in its own bytes."""
    line, _, rest = bytes(head).partition(b"\r\n")
    if re.search(rb"(?<!\r)\n", head):
        return "a line ends in LF without CR"
    if re.search(rb"\r(?!\n|\Z)", head):
        return "there is a CR without LF"
    if NEVER.search(head):
        return "there is a control character in its head"
    if not _REQUEST_LINE.fullmatch(line):
        return "its version is neither HTTP/1.1 nor HTTP/1.0" if _OTHER_VERSION.fullmatch(line) else "its first line is no request line"
    if re.search(rb"(?:^|\r\n)[\t ]", rest):
        return "a header is folded"
    if re.search(rb"(?:^|\n)[^:\r]*[\t ]:", rest):
        return "there is white space before a colon"
    return "a line is no header"
