"""What a door is to the read path: how it spells requests and replies. One object per read endpoint, chosen by the routes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from gateway.errors import GatewayError
from gateway.features import ServiceRef, SloInfo
from gateway.wire import replies
from gateway.wire.replies import Matches, Vector
from gateway.wire.requests import ReadRequest, Show, TectonReads, named_batch, named_query, named_single


class Staleness(NamedTuple):
    """Of a reply into which stale fragments went. `ended_s`: how long ago the one that ended first did; `oldest_s`: the age of the oldest.
    `failing`: some were served because the origin failed or was late, not while they are fetched again. `on_error` and `revalidating`: how
    many views of the reply are of either kind; what is only computed from stale inputs is of neither."""

    ended_s: float
    oldest_s: float
    failing: bool
    on_error: int = 0
    revalidating: int = 0


class Reply(NamedTuple):
    """A read's answer, spelled."""

    body: bytes
    stale: Staleness | None = None


class Answers(msgspec.Struct):
    """The rows of one read, ready to be spelled: a vector or an error each. `server_time_s`: so far.

    `of_origin`: what the origin said of its service of each row; None for a row that it was not asked for, and for all rows of a hit.
    `stale`: what is said of the stale fragments that went into it.
    `waited_s`: how much of the time went into waiting for slow on-demand functions; `sloServerTimeSeconds` leaves it out (contract §4.3).
    """

    rows: Sequence[Vector | GatewayError]
    server_time_s: float
    of_origin: Sequence[SloInfo | None] | None = None
    partial: bool = False
    waited_s: float = 0.0
    stale: "Staleness | None" = None

    def slo(self, index: int) -> SloInfo:
        """`sloInfo` of a row: what the origin says of its store, and the gateway's own time for the whole."""
        said = None if self.of_origin is None else self.of_origin[index]
        slo_s = self.server_time_s - self.waited_s
        if said is None:
            return SloInfo(True, self.server_time_s, slo_s, 0.0, 0)  # noqa: FBT003 - by position: half the time, on every hit
        return SloInfo(
            said.eligible,
            self.server_time_s,
            slo_s,
            said.store_max_latency_s,
            said.store_response_size_bytes,
            said.dynamodb_response_size_bytes,
            said.ineligibility_reasons,
            said.store_time_s,
        )


class Spelled(NamedTuple):
    """A reply to a hit, but for what differs from one to the next of the same fragments: its `sloInfo`, where there is anything after."""

    before: bytes
    after: bytes = b""

    def again(self, server_time_s: float) -> bytes:
        """The whole, for a read that took this long so far."""
        if not self.after:
            return self.before
        return b"%b%b%b" % (self.before, replies.slo_of_hit(int(server_time_s * 1e6)), self.after)


_SLO = Show.SLO_INFO.value
_AGES = Show.AGES.value
_BETWEEN = b"\0"
"""In no JSON."""
BATCH_DOORS = frozenset({"tecton_batch", "named_batch"})
"""Those that take several rows."""
Decode = Callable[[bytes, ServiceRef | None], ReadRequest]
Encode = Callable[[ReadRequest, Answers], bytes]
Spell = Callable[[ReadRequest, Vector], Spelled | None]


@dataclass(frozen=True, slots=True)
class Door:
    """`rows_may_fail`: whether a bad row is told in the reply, or fails the whole request. `spell`: what `encode` would say of a hit of one
    row, as far as it can be said again."""

    name: str
    decode: Decode
    encode: Encode
    rows_may_fail: bool = False
    spell: Spell | None = None


@dataclass(frozen=True, slots=True)
class QueryDoor:
    """A door to wildcard feature services."""

    name: str
    decode: Decode
    encode: Callable[[ReadRequest, Matches], bytes]


def _vector(row: Vector | GatewayError) -> Vector:
    """A row of a door where none may fail."""
    if isinstance(row, GatewayError):
        raise row
    return row


def _tecton_single(request: ReadRequest, answers: Answers) -> bytes:
    vector, show, slo = answers.rows[0], request.show, b""
    if show & _SLO:
        slo = replies.slo_of_hit(int(answers.server_time_s * 1e6)) if answers.of_origin is None else replies.slo_text(answers.slo(0))
    return replies.tecton_single(_vector(vector), show, slo, partial=answers.partial)


def _tecton_again(request: ReadRequest, vector: Vector) -> Spelled:
    if not request.show & _SLO:
        return Spelled(replies.tecton_single(vector, request.show))
    before, _, after = replies.tecton_single(vector, request.show, _BETWEEN).rpartition(_BETWEEN)
    return Spelled(before, after)


def _named_again(request: ReadRequest, vector: Vector) -> Spelled | None:
    return None if request.show & _AGES else Spelled(replies.named_single(vector, request.show))


def _tecton_batch(request: ReadRequest, answers: Answers) -> bytes:
    slos = [answers.slo(index) for index in range(len(answers.rows))]
    return replies.tecton_batch([_vector(row) for row in answers.rows], request.show, slos, replies.batch_slo(slos, answers.server_time_s))


def _named_single(request: ReadRequest, answers: Answers) -> bytes:
    return replies.named_single(_vector(answers.rows[0]), request.show)


def _named_batch(request: ReadRequest, answers: Answers) -> bytes:
    return replies.named_batch(answers.rows, request.show)


def _tecton_query(request: ReadRequest, matches: Matches) -> bytes:
    return replies.tecton_query(matches, request.show)


def _named_query(request: ReadRequest, matches: Matches) -> bytes:
    return replies.named_query(matches, request.show)


def _named(decode: Callable[[bytes, ServiceRef], ReadRequest]) -> Decode:
    def decode_at(body: bytes, path: ServiceRef | None) -> ReadRequest:
        assert path is not None, "the named door's routes name the feature service in their path"
        return decode(body, path)

    return decode_at


@dataclass(frozen=True, slots=True)
class Doors:
    """The four doors for reads, and the two for wildcard reads."""

    tecton_single: Door
    tecton_batch: Door
    named_single: Door
    named_batch: Door
    tecton_query: QueryDoor
    named_query: QueryDoor


def doors(tecton: TectonReads) -> Doors:
    return Doors(
        Door("tecton_single", tecton.single, _tecton_single, spell=_tecton_again),
        Door("tecton_batch", tecton.batch, _tecton_batch),
        Door("named_single", _named(named_single), _named_single, spell=_named_again),
        Door("named_batch", _named(named_batch), _named_batch, rows_may_fail=True),
        QueryDoor("tecton_query", tecton.single, _tecton_query),
        QueryDoor("named_query", _named(named_query), _named_query),
    )
