"""What a door is to the read path: how it spells requests and replies. One object per read endpoint, chosen by the routes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.errors import GatewayError
from gateway.features import ServiceRef, SloInfo
from gateway.wire import replies
from gateway.wire.replies import Vector
from gateway.wire.requests import ReadRequest, TectonReads, named_batch, named_single


@dataclass(frozen=True, slots=True)
class Answers:
    """The rows of one read, ready to be spelled: a vector or an error each, with their SLO info. `server_time_s`: so far."""

    rows: Sequence[Vector | GatewayError]
    slos: Sequence[SloInfo]
    partial: bool
    server_time_s: float


Decode = Callable[[bytes, ServiceRef | None], ReadRequest]
Encode = Callable[[ReadRequest, Answers], bytes]


@dataclass(frozen=True, slots=True)
class Door:
    """`rows_may_fail`: whether a bad row is told in the reply, or fails the whole request."""

    name: str
    decode: Decode
    encode: Encode
    rows_may_fail: bool = False


def _vectors(answers: Answers) -> list[Vector]:
    """The rows of a door where none may fail."""
    vectors: list[Vector] = []
    for row in answers.rows:
        if isinstance(row, GatewayError):
            raise row
        vectors.append(row)
    return vectors


def _tecton_single(request: ReadRequest, answers: Answers) -> bytes:
    return replies.tecton_single(_vectors(answers)[0], request.show, answers.slos[0], partial=answers.partial)


def _tecton_batch(request: ReadRequest, answers: Answers) -> bytes:
    total = replies.batch_slo(answers.slos, answers.server_time_s)
    return replies.tecton_batch(_vectors(answers), request.show, answers.slos, total)


def _named_single(request: ReadRequest, answers: Answers) -> bytes:
    return replies.named_single(_vectors(answers)[0], request.show)


def _named_batch(request: ReadRequest, answers: Answers) -> bytes:
    return replies.named_batch(answers.rows, request.show)


def _named(decode: Callable[[bytes, ServiceRef], ReadRequest]) -> Decode:
    def decode_at(body: bytes, path: ServiceRef | None) -> ReadRequest:
        assert path is not None, "the named door's routes name the feature service in their path"
        return decode(body, path)

    return decode_at


@dataclass(frozen=True, slots=True)
class Doors:
    """The four doors for reads."""

    tecton_single: Door
    tecton_batch: Door
    named_single: Door
    named_batch: Door


def doors(tecton: TectonReads) -> Doors:
    return Doors(
        Door("tecton_single", tecton.single, _tecton_single),
        Door("tecton_batch", tecton.batch, _tecton_batch),
        Door("named_single", _named(named_single), _named_single),
        Door("named_batch", _named(named_batch), _named_batch, rows_may_fail=True),
    )
