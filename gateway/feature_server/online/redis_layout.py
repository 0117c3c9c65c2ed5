"""How the online store lies in Redis: keys, the encoding of rows, and the Lua scripts that change them.

A cell is ONE sorted set, so it expires, moves and is removed as one, on one slot. All its scores are 0: Redis then orders members by their
bytes (memcmp), and ranges by bytes are exact where scores, being doubles, could not hold nanoseconds. Its members:

    t <tile number> <states>
    e <timestamp, ns> <identity> <payload>
    v <token>                               what the last write left; another one means that somebody wrote meanwhile

Numbers are 8 bytes, biased, big-endian, so their bytes order as they do. An identity's zero bytes become 00 FF and 00 00 ends it, so that
one orders before those it is the beginning of.

Beside the cells: under `meta` the schema's version, the views and their newest timestamps; per view and partial join key an index of join
keys, with the times they expire at. Knows nothing of connections.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1, sha256
from typing import NamedTuple

from gateway.feature_server.online.base import BLOCKS_END, Cell, CellChange, Kind, Part, Retention, Rows

SCHEMA_VERSION = b"1"
TILE, EVENT, VERSION = b"t", b"e", b"v"
_BIAS, _NUMBERS = 2**63, 2**64
_END = b"\0\0"
_PREFIX = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_NEWEST_DIGITS = 20
NEVER, UNSAID = "never", "unsaid"
"""In the place of a time to live in milliseconds."""


@dataclass(frozen=True, slots=True)
class Script:
    source: str

    @property
    def digest(self) -> str:
        return sha1(self.source.encode(), usedforsecurity=False).hexdigest()


class Command(NamedTuple):
    """Of Redis, by name, or a script of ours. All keys of one command lie on one slot."""

    does: str | Script
    keys: tuple[bytes, ...]
    arguments: tuple[bytes | str | int, ...] = ()

    def words(self, *, whole: bool) -> tuple[bytes | str | int, ...]:
        """As sent. `whole`: a script with its source, for a server that has not seen it."""
        if isinstance(self.does, str):
            return (self.does, *self.keys, *self.arguments)
        called = ("EVAL", self.does.source) if whole else ("EVALSHA", self.does.digest)
        return (*called, len(self.keys), *self.keys, *self.arguments)


READ = Script(
    "local out = {} "
    "for i = 1, #ARGV, 3 do "
    "out[#out + 1] = redis.call('ZRANGE', KEYS[1], ARGV[i + 1], ARGV[i], 'BYLEX', 'REV', 'LIMIT', 0, ARGV[i + 2]) "
    "end return out"
)
"""Several ranges of one cell at one instant, newest first. ARGV: low, high, count (-1: all) of each."""

WRITE = Script(
    "local key, seen = KEYS[1], redis.call('ZRANGE', KEYS[1], '[v', '(w', 'BYLEX')[1] "
    "if seen == ARGV[2] then return 1 end "
    "if ARGV[1] ~= '*' and ARGV[1] ~= (seen or '') then return 0 end "
    # Without memory left Redis refuses a script's first command that takes some, and none after it: so nothing is done by halves
    "redis.call('ZADD', key, 0, ARGV[2]) "
    "if seen then redis.call('ZREM', key, seen) end "
    "for i = 4, #ARGV, 3 do "
    "redis.call('ZREMRANGEBYLEX', key, ARGV[i], ARGV[i + 1]) "
    "if ARGV[i + 2] ~= '' then redis.call('ZADD', key, 0, ARGV[i + 2]) end "
    "end "
    "if redis.call('ZCARD', key) == 1 then redis.call('DEL', key) return 1 end "
    "if ARGV[3] == 'never' then redis.call('PERSIST', key) "
    "elseif ARGV[3] ~= 'unsaid' then redis.call('PEXPIRE', key, ARGV[3]) end "
    "return 1"
)
"""One cell, if its version is still the one that was seen (`*`: whatever it is). ARGV: version seen, version to leave, time to live; then
low, high and new member (or nothing) of each range to be replaced, in order. 0: somebody else wrote meanwhile, and nothing was done. Sent
again after a lost answer, it knows its own token."""

TRIM = Script(
    "for i = 1, #ARGV, 2 do redis.call('ZREMRANGEBYLEX', KEYS[1], ARGV[i], ARGV[i + 1]) end "
    "if redis.call('ZCARD', KEYS[1]) == 1 then redis.call('DEL', KEYS[1]) end "
    "return 1"
)
"""ARGV: low and high of each range to remove. The version stays: a write under way derives nothing from what need not be kept."""

ADVANCE = Script(
    "for i = 1, #ARGV, 2 do "
    "local old, new = redis.call('HGET', KEYS[1], ARGV[i]), ARGV[i + 1] "
    # In halves: a double holds ten digits exactly, not twenty, and comparing strings would depend on the server's locale
    "local high, old_high = tonumber(string.sub(new, 1, 10)), old and tonumber(string.sub(old, 1, 10)) "
    "if not old or high > old_high or (high == old_high and tonumber(string.sub(new, 11)) > tonumber(string.sub(old, 11))) then "
    "redis.call('HSET', KEYS[1], ARGV[i], new) end "
    "end return 1"
)
"""The views' newest timestamps, never set back. ARGV: view, 20 digits, …"""

_NOW = "local time = redis.call('TIME') local now = time[1] * 1000 + math.floor(time[2] / 1000) "
INDEX = Script(
    _NOW + "local function settle() "
    "if redis.call('ZCARD', KEYS[1]) > redis.call('ZCARD', KEYS[2]) then "
    "redis.call('PERSIST', KEYS[1]) redis.call('PERSIST', KEYS[2]) return end "
    "local last = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')[2] "
    "if last then local at = string.format('%.0f', last) redis.call('PEXPIREAT', KEYS[1], at) redis.call('PEXPIREAT', KEYS[2], at) end "
    "end "
    "for i = 1, #ARGV, 2 do "
    "redis.call('ZADD', KEYS[1], 0, ARGV[i]) "
    "if ARGV[i + 1] == 'never' then redis.call('ZREM', KEYS[2], ARGV[i]) "
    "elseif ARGV[i + 1] ~= 'unsaid' then redis.call('ZADD', KEYS[2], now + ARGV[i + 1], ARGV[i]) end "
    "end "
    "for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. now, 'LIMIT', 0, 100)) do "
    "redis.call('ZREM', KEYS[1], gone) redis.call('ZREM', KEYS[2], gone) "
    "end "
    "settle() return 1"
)
"""Join keys into their index, and some that have expired out of it. ARGV: join key, its cell's time to live, …"""

KEYS = Script(
    _NOW + "local out, from, limit, chunk = {}, 0, tonumber(ARGV[1]), nil "
    "repeat "
    "chunk = redis.call('ZRANGE', KEYS[1], from, from + limit - 1) "
    "for _, member in ipairs(chunk) do "
    "local at = redis.call('ZSCORE', KEYS[2], member) "
    "if #out < limit and (not at or tonumber(at) > now) then out[#out + 1] = member end "
    "end "
    "from = from + limit "
    "until #chunk < limit or #out >= limit "
    "return out"
)
"""The first join keys of an index whose cells have not expired. ARGV: how many at most."""

PREPARE = Script(
    "redis.call('SET', KEYS[1], ARGV[1], 'NX') "
    "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'schema' end "
    "for i = 2, #ARGV, 3 do "
    "redis.call('HSETNX', KEYS[2], ARGV[i], ARGV[i + 1]) "
    "if redis.call('HGET', KEYS[2], ARGV[i]) ~= ARGV[i + 1] then return 'id' end "
    "redis.call('HSET', KEYS[3], ARGV[i + 1], ARGV[i + 2]) "
    "end return 'done'"
)
"""Claim the store and register views. ARGV: schema version; then id, name and description of each."""


def view_id(name: str) -> int:
    """From the name alone: whoever prepares agrees without asking, and after a loss of the server's memory old ids still mean the same
    views. 48 bits: a collision is as good as impossible, and PREPARE finds one."""
    return int.from_bytes(sha256(name.encode()).digest()[:6])


class Keys:
    """The keys of one store, all under one prefix."""

    def __init__(self, prefix: str) -> None:
        if not _PREFIX.fullmatch(prefix):
            raise ValueError("The online store's key prefix is not 1 to 64 letters, digits and `_.:-`.")
        self._prefix = prefix.encode()
        self.schema, self.ids, self.views, self.newest = (b"%s:{meta}:%s" % (self._prefix, name) for name in _META)

    def cell(self, cell: Cell) -> bytes:
        """The braces are Cluster's hash tag; a brace in the join key only makes it shorter."""
        return b"%s:{%x:%s}" % (self._prefix, cell.view, cell.join_key)

    def join_key(self, key: bytes) -> bytes:
        return key[key.index(b":", key.index(b"{")) + 1 : -1]

    def index(self, view: int, indexed_under: bytes) -> tuple[bytes, bytes]:
        tag = b"%s:{i%x:%s}" % (self._prefix, view, indexed_under)
        return tag + b":keys", tag + b":expiry"

    def of_view(self, view: int) -> bytes:
        """A pattern for SCAN: the view's cells."""
        return b"%s:{%x:*" % (self._prefix, view)

    def indexes_of_view(self, view: int) -> bytes:
        return b"%s:{i%x:*" % (self._prefix, view)


_META = (b"schema", b"ids", b"views", b"newest")


def ordered(number: int) -> bytes:
    return (number + _BIAS).to_bytes(8)


def bound(kind: bytes, number: int) -> bytes:
    """Where a range begins or ends; numbers beyond 64 bits mean all there are."""
    if number >= _BIAS:
        return bytes([kind[0] + 1])
    return kind if number < -_BIAS else kind + ordered(number)


def limits(kind: bytes, first: int, end: int) -> tuple[bytes, bytes]:
    return b"[" + bound(kind, first), b"(" + bound(kind, end)


def begin(kind: bytes, number: int, identity: bytes | None) -> bytes:
    """What a row's member begins with and no other's does."""
    start = kind + ordered(number)
    return start if identity is None else start + identity.replace(b"\0", b"\0\xff") + _END


def beginning(prefix: bytes) -> tuple[bytes, bytes]:
    """The range of members with this prefix, whose last byte or an earlier one is below FF, as `begin`'s are."""
    after = (int.from_bytes(prefix) + 1).to_bytes(len(prefix))
    return b"[" + prefix, b"(" + after


def event_of(member: bytes) -> tuple[int, bytes, bytes]:
    """Timestamp, identity, payload."""
    end = member.index(_END, 9)
    return int.from_bytes(member[1:9]) - _BIAS, member[9:end].replace(b"\0\xff", b"\0"), member[end + 2 :]


def rows_of(kind: Kind, members: Sequence[bytes]) -> Rows:
    if kind is Kind.TILES:
        return [(int.from_bytes(member[1:9]) - _BIAS, member[9:]) for member in members]
    return [(int.from_bytes(member[1:9]) - _BIAS, member[member.index(_END, 9) + 2 :]) for member in members]


def read_cell(key: bytes, parts: Sequence[Part]) -> Command:
    """One part is one ZRANGE, which is atomic by itself; several are a script."""
    if len(parts) == 1:
        low, high = limits(TILE if parts[0].kind is Kind.TILES else EVENT, parts[0].first, parts[0].end)
        return Command("ZRANGE", (key,), (high, low, "BYLEX", "REV", "LIMIT", 0, _count(parts[0])))
    asked: list[bytes | int] = []
    for part in parts:
        asked += (*limits(TILE if part.kind is Kind.TILES else EVENT, part.first, part.end), _count(part))
    return Command(READ, (key,), tuple(asked))


def _count(part: Part) -> int:
    return 1 if part.kind is Kind.NEWEST else -1


def write_cell(key: bytes, seen: bytes | None, token: bytes, change: CellChange) -> Command:
    """`seen`: the version that the cell must still have; None: whatever it has."""
    words: list[bytes | str] = [b"*" if seen is None else seen, VERSION + token, life(change.retention)]
    for at_ns, identity, payload in change.events:
        prefix = begin(EVENT, at_ns, identity)
        words += (*beginning(prefix), prefix + payload)
    for number, states in change.tiles.items():
        prefix = begin(TILE, number, None)
        words += (*beginning(prefix), b"" if states is None else prefix + states)
    if change.retention is not None:
        for low, high in outdated(change.retention):
            words += (low, high, b"")
    return Command(WRITE, (key,), tuple(words))


def outdated(retention: Retention) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
    return limits(EVENT, -_NUMBERS, retention.oldest_ns), limits(TILE, BLOCKS_END, max(BLOCKS_END, retention.oldest_tile))


def life(retention: Retention | None) -> str:
    """Redis refuses a time to live beyond 64 bits of milliseconds, and takes 0 for an order to remove."""
    if retention is None:
        return UNSAID
    return NEVER if retention.expires_s is None else str(min(max(1, round(retention.expires_s * 1_000)), 2**53))


def spell_newest(at_ns: int) -> bytes:
    return b"%0*d" % (_NEWEST_DIGITS, at_ns + _BIAS)


def newest_of(stored: bytes) -> int:
    return int(stored) - _BIAS
