"""How shared fragments lie in Redis: keys, values, messages, and the Lua scripts that read and change them.

One base (`sharing`) is ONE hash, so a purge of its join keys removes it whole, on one slot, whatever services made of it:

    <entry, 16 bytes>   when it was asked for (16 digits, ms), then MessagePack: generation, values
    t                   left by the last purge: a token; who saw another one, or none, before fetching may not store

Beside them ONE hash of generations: by scope a number that a purge increases, and one random word for all, drawn anew where it is missing.
An entry carries the generation that was seen before it was fetched; with any other it is not there. So a purge of a view touches no entry,
and a fetch that began before cannot be stored after, whoever made it; where Redis forgets the numbers, it forgets the word too, and with it
all entries.

All instants are on Redis' own clock, in milliseconds: replicas' clocks need not agree. Knows nothing of connections.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha1
from typing import NamedTuple

import msgspec

from gateway.cache.sharing import EVERYTHING, Invalidation, Name, base_name, scope_name
from gateway.features import TIMED_OUT, Purge, Status, ViewLayout, ViewValues, Written, statuses_of

MOST_ENTRIES = 64
"""Of one base, which has one for every service's layout of the view, request context and set of options. Beyond it all go: a field of a
hash has no expiry of its own that every server knows."""
SLACK_MS = 1_000
"""A purge's token outlives what it must void by this much: a cluster's server and its replica have two clocks."""
AHEAD_MS = 10_000
"""An entry that was asked for later than now by more than this is none: Redis' clock was put back, and nobody can say how old it is."""
_DIGITS = 16

_NOW = "local time = redis.call('TIME') local now = time[1] * 1000 + math.floor(time[2] / 1000) "
# A value of another kind at a key of ours is an error of that key alone
_LOOKUP = (
    _NOW + "local out = {now} "
    "for i, key in ipairs(KEYS) do "
    "local seen = redis.pcall('HMGET', key, 't', ARGV[i]) "
    "out[2 * i], out[2 * i + 1] = seen[1] or false, seen[2] or false "
    "end return out"
)
_GENERATIONS = (
    "local seen = redis.call('HMGET', KEYS[1], unpack(ARGV, 2)) "
    "if not seen[1] then redis.call('HSET', KEYS[1], ARGV[2], ARGV[1]) seen[1] = ARGV[1] end "
    "return seen"
)
_STORE = (
    _NOW + "for i, key in ipairs(KEYS) do "
    "local a = 5 * (i - 1) "
    "local token, field, value, ends, until_ = ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], ARGV[a + 4] - now, ARGV[a + 5] - now "
    "local seen = redis.pcall('HMGET', key, 't', field) "
    "if seen.err then redis.call('DEL', key) seen = {} end "
    "local asked = string.sub(seen[2] or '', 1, 16) "
    f"local older = asked > string.sub(value, 1, 16) and asked <= string.format('%016.0f', now + {AHEAD_MS}) "
    "if ends > 0 and until_ > 0 and (seen[1] or '') == token and not older then "
    "local life = math.max(ends, redis.call('PTTL', key)) "
    f"if not seen[2] and redis.call('HLEN', key) >= {MOST_ENTRIES} then "
    "redis.call('DEL', key) "
    "if token ~= '' then redis.call('HSET', key, 't', token) end "
    "end "
    "redis.call('HSET', key, field, value) "
    "redis.call('PEXPIRE', key, string.format('%.0f', life)) "
    "end end return 1"
)
_PURGE = (
    "for i, key in ipairs(KEYS) do redis.call('DEL', key) redis.call('HSET', key, 't', ARGV[1]) redis.call('PEXPIRE', key, ARGV[2]) end "
    "return 1"
)
_ANNOUNCE = (
    "for i = 4, #ARGV do "
    "if ARGV[i] == ARGV[3] then redis.call('HSET', KEYS[1], ARGV[i], ARGV[2]) "
    "else redis.call('HINCRBY', KEYS[1], ARGV[i], 1) end "
    "end "
    "return redis.call('PUBLISH', KEYS[2], ARGV[1])"
)


@dataclass(frozen=True, slots=True)
class Script:
    source: str

    @property
    def digest(self) -> str:
        return sha1(self.source.encode(), usedforsecurity=False).hexdigest()


LOOKUP = Script(_LOOKUP)
"""KEYS: bases. ARGV: the entry wanted of each. The time; then token and value of each."""
GENERATIONS = Script(_GENERATIONS)
"""KEYS: the generations. ARGV: a word to begin with; the scope of everything, and others. What is there of each."""
STORE = Script(_STORE)
"""KEYS: bases. ARGV, of each: the token that was seen, entry, value, when it ends, and until when it may be stored."""
PURGE = Script(_PURGE)
"""KEYS: bases. ARGV: the token to leave, and for how long, in ms."""
ANNOUNCE = Script(_ANNOUNCE)
"""KEYS: the generations, the channel (so that both are on one slot). ARGV: message, a new word for all, the scope of everything, and the
scopes whose generation ends. Whoever hears the message reads the new generation."""


class Call(NamedTuple):
    script: Script
    keys: tuple[bytes, ...]
    arguments: tuple[bytes | str | int, ...]

    def words(self, *, whole: bool) -> tuple[bytes | str | int, ...]:
        """As sent. `whole`: with its source, for a server that has not seen it."""
        called = ("EVAL", self.script.source) if whole else ("EVALSHA", self.script.digest)
        return (*called, len(self.keys), *self.keys, *self.arguments)


class Keys:
    """The keys of one shared cache, all under one prefix. The braces are Cluster's hash tag: bases lie in 256 groups, so that those of many
    names come in few commands."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix.encode()
        self.generations = b"%s:{all}:generations" % self._prefix
        self.channel = b"%s:{all}:purges" % self._prefix

    def base(self, base: bytes) -> bytes:
        return b"%s:{%02x}:%s" % (self._prefix, base[0], base.hex().encode())


class Kept(msgspec.Struct, frozen=True, array_like=True, tag="fragment 1", gc=False):
    """An entry's value. Its tag changes when what stands here does."""

    generation: bytes
    positional: bytes
    named: bytes
    pattern: str
    effective_times: tuple[str | None, ...]

    def values(self, layout: ViewLayout) -> ViewValues | None:
        """None where they are not values of this layout."""
        statuses = _statuses(self.pattern)
        if statuses is None or not len(layout) == len(statuses) == len(self.effective_times):
            return None
        return ViewValues(layout, self.positional, self.named, statuses, self.effective_times)


class Message(msgspec.Struct, frozen=True, array_like=True, tag="purges 1"):
    """What replicas tell one another. Join keys travel as they are: by them a replica knows its own fragments. `sender` knows already."""

    sender: str
    purges: tuple[Purge, ...]
    writes: tuple[Written, ...]

    @classmethod
    def of(cls, sender: str, told: Iterable[Invalidation]) -> "Message":
        purges, writes = [], []
        for one in told:
            if isinstance(one, Purge):
                purges.append(one)
            else:
                writes.append(one)
        return cls(sender, tuple(purges), tuple(writes))


_encode = msgspec.msgpack.encode
_kept_of = msgspec.msgpack.Decoder(Kept).decode
_message_of = msgspec.msgpack.Decoder(Message).decode


@lru_cache(maxsize=4096)
def _statuses(pattern: str) -> tuple[Status, ...] | None:
    try:
        return None if TIMED_OUT in pattern else statuses_of(pattern)
    except KeyError:
        return None


def encode_entry(asked_ms: int, kept: Kept) -> bytes:
    return b"%0*d" % (_DIGITS, max(0, asked_ms)) + _encode(kept)


def decode_entry(value: bytes) -> tuple[int, Kept] | None:
    """When it was asked for, and what it is; None for what is no entry."""
    digits = value[:_DIGITS]
    try:
        return (int(digits), _kept_of(value[_DIGITS:])) if digits.isdigit() else None
    except (ValueError, RecursionError):
        return None


def encode_message(message: Message) -> bytes:
    return _encode(message)


def decode_message(text: bytes) -> Message | None:
    """None for what another version of the gateway says, or no gateway at all."""
    try:
        return _message_of(text)
    except (ValueError, RecursionError):
        return None


def generation_of(words: Sequence[bytes | None]) -> bytes:
    """What is there of the scopes of a name, as one word."""
    return b" ".join([word or b"" for word in words])


def bases_of(told: Iterable[Invalidation]) -> set[bytes]:
    """The bases that are purged by their join keys."""
    return {base_name(one.workspace, one.view, one.join_keys) for one in told if isinstance(one, Written) and one.join_keys is not None}


def scopes_of(told: Iterable[Invalidation]) -> set[str]:
    """What is purged by another generation. A purge by join keys is: it means those of all services that use them, under any names."""
    scopes: set[str] = set()
    for one in told:
        if isinstance(one, Purge):
            scopes.update(scope_name(one.workspace, view) for view in (one.views if one.views is not None else (None,)))
        elif one.join_keys is None:
            scopes.add(scope_name(one.workspace, one.view))
    return scopes


def ask_generations(keys: Keys, word: str, names: Iterable[Name]) -> tuple[Call, tuple[str, ...]]:
    """And the scopes that it asks for, in order."""
    scopes = tuple(dict.fromkeys([EVERYTHING, *(scope for stem in {name.stem for name in names} for scope in stem.scopes)]))
    return Call(GENERATIONS, (keys.generations,), (word, *scopes)), scopes


def announce(keys: Keys, word: str, message: bytes, scopes: Iterable[str]) -> Call:
    return Call(ANNOUNCE, (keys.generations, keys.channel), (message, word, EVERYTHING, *sorted(scopes)))
