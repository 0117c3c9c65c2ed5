"""The request log: which join keys of which views were read when, for `feature-gateway simulate`. JSON lines, sampled and hashed.

    {"request_log":1,"sample":0.1}                                     a part begins (a file's, or a process's); its hashes are its own
    {"service":"prod/flights","views":[{"number":3,"view":"route","join_keys":["origin","dest"],"bytes":912}]}   who is who in it
    {"at":1760000000.125,"service":"prod/flights","keys":{"3":"9c1185a5c5e9fc54"}}   one row of a read: the hash of each view's keys
    {"seen":4096}                                                      so many more views were read, whether their keys are sampled or not
    {"dropped":17}                                                     so many more lines were not written

Sampled is by key, not by read (SHARDS: Waldspurger et al., FAST 2015): every read of a chosen key is there, none of the others, so the
sample is all that a cache of a share of the size would see. What was seen tells how far the luck of the draw went: whether keys that are
read all the time are among the chosen. A hash is keyed with 16 random bytes that never leave memory: join keys cannot
be found again by guessing.

Owns what is sampled and what is said of it. Knows nothing of HTTP, nor of what was answered.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from statistics import fmean

import msgspec

from gateway.cache.keys import Key, Namespaces
from gateway.line_file import LineFile

VERSION = 1
BUFFERED_LINES = 50_000
"""About 10 MB: two seconds of the fastest hits, all of them logged."""
_REMEMBERED_HASHES = 65_536
_BITS = 0xFFFF_FFFF
_SEEN_EVERY = 256
"""Logged rows between two lines that say how much was seen."""
_TOLD_AT = (1, 8, 64)
"""After so many logged rows a service is introduced, each time with better sizes: the means over the rows until then."""


class RequestLog:
    """`size_of`: the bytes of a kept fragment, None of one that is not kept. Times given to `note` are `clock`'s; in the file they are
    `wall`'s, as both stood at the start. Belongs to one event loop; writing is a thread's.
    """

    def __init__(
        self,
        path: Path,
        *,
        sample: float,
        max_bytes: int,
        namespaces: Namespaces,
        size_of: Callable[[Key], int | None],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        buffered_lines: int = BUFFERED_LINES,
    ) -> None:
        self._sample = sample
        self._limit = round(sample * (_BITS + 1))
        self._max_bytes = max_bytes
        self._namespaces = namespaces
        self._size_of = size_of
        self._offset_s = wall() - clock()
        self._file = LineFile(path, buffered_lines)
        self._file_bytes = self._file.size_bytes()
        self._dropped_told = 0
        self._seen = 0
        self._rows = 0
        self._begun = False
        self._draw()

    def _draw(self) -> None:
        """Another sample, and other hashes."""
        self._salt = secrets.randbits(60)
        self._spell = lru_cache(_REMEMBERED_HASHES)(_hasher(secrets.token_bytes(16)))
        self._services: dict[str, _Service] = {}

    @property
    def dropped(self) -> int:
        """Lines that were not written: the buffer was full, or the file could not be written."""
        return self._file.dropped

    def note(self, service: str, keys: Sequence[Key], now_s: float) -> None:
        """One row of a read: the keys of the views that it wanted. Half a microsecond where none of four is in the sample."""
        salt, limit = self._salt, self._limit
        self._seen += len(keys)
        for key in keys:
            if hash((key, salt)) & _BITS < limit:
                self._write(service, keys, now_s)
                return

    def _write(self, service: str, keys: Sequence[Key], now_s: float) -> None:
        if not self._file.has_room():
            return
        if not self._begun or self._file.torn or self._file_bytes >= self._max_bytes:
            self._begin()
        known = self._services.get(service)
        if known is None:
            known = self._services[service] = _Service(service)
        chosen = [key for key in keys if hash((key, self._salt)) & _BITS < self._limit]
        if known.rows < _TOLD_AT[-1] or not known.sizes.keys() >= {key[0] for key in chosen}:
            self._introduce(known, keys)
        if self._file.dropped > self._dropped_told:
            self._tell_dropped()
        self._rows += 1
        if chosen:  # else they were of the sample that has just ended
            self._add(f'{{"at":{now_s + self._offset_s:.3f},"service":{known.name},"keys":{{{",".join(map(self._spell, chosen))}}}}}\n')
        if self._rows % _SEEN_EVERY == 0:
            self._tell_seen()

    def _begin(self) -> None:
        """A part of the log: at the start, in a new file, and after lines were lost that the next ones would need."""
        if self._begun:
            if self._file.torn:
                self._seen = 0  # of rows that are lost
            else:
                self._tell_seen()
            self._draw()
        if self._file_bytes >= self._max_bytes:
            self._file.turn()
            self._file_bytes = 0
        self._begun, self._file.torn = True, False
        self._tell({"request_log": VERSION, "sample": self._sample})

    def _introduce(self, service: "_Service", keys: Sequence[Key]) -> None:
        """Take the fragments' sizes, and tell who the views are where there is something new to say."""
        service.rows += 1
        news = service.rows in _TOLD_AT
        for key in keys:
            number = _number(key)
            news = news or number not in service.sizes
            sizes = service.sizes.setdefault(number, [])
            size_bytes = self._size_of(key)
            if size_bytes is not None and len(sizes) < _TOLD_AT[-1]:
                sizes.append(size_bytes)
        if news:
            self._tell({"service": service.service, "views": list(self._views(service))})

    def _views(self, service: "_Service") -> Iterator[dict[str, object]]:
        known = dict(self._namespaces.known())
        for number, sizes in service.sizes.items():
            namespace = known.get(number)  # None: of definitions that have just been replaced
            yield {
                "number": number,
                "view": "" if namespace is None else namespace.layout.view,
                "join_keys": [] if namespace is None else [field.name for field in namespace.join_keys],
                "bytes": round(fmean(sizes)) if sizes else None,
            }

    def _tell_seen(self) -> None:
        self._tell({"seen": self._seen})
        self._seen = 0

    def _tell_dropped(self) -> None:
        dropped = self._file.dropped
        self._tell({"dropped": dropped - self._dropped_told})
        self._dropped_told = dropped

    def _tell(self, content: object) -> None:
        self._add(msgspec.json.encode(content).decode() + "\n")

    def _add(self, line: str) -> None:
        self._file_bytes += len(line)
        self._file.add(line)

    def flush(self) -> None:
        """Write what is buffered now. Blocks; not for the event loop's thread."""
        self._file.flush()

    def close(self) -> None:
        """Write what is buffered, and end. Blocks."""
        if self._begun:
            self._tell_seen()
            if self._file.dropped > self._dropped_told:
                self._tell_dropped()
        self._file.close()


class _Service:
    """What has been told of a feature service in this part of the log. `name` as JSON; `sizes` by view."""

    __slots__ = ("name", "rows", "service", "sizes")

    def __init__(self, service: str) -> None:
        self.service = service
        self.name = msgspec.json.encode(service).decode()
        self.rows = 0
        self.sizes: dict[int, list[int]] = {}


def _number(key: Key) -> int:
    number = key[0]
    assert isinstance(number, int)  # a key begins with its namespace
    return number


def _hasher(secret: bytes) -> Callable[[Key], str]:
    """`repr` tells all values apart that may stand in a key."""

    def spell(key: Key) -> str:
        return f'"{key[0]}":"{blake2b(repr(key).encode(errors="surrogatepass"), key=secret, digest_size=8).hexdigest()}"'

    return spell
