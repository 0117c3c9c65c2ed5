"""What it costs to know who asks and what they may have: the gate's part of a hit, timed by itself, beside a look-up in a bare dict."""

import gc
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median

from gateway.access.bearers import Bearers, Token
from gateway.access.gates import KeyTable, Passthrough
from gateway.access.grants import Grants
from gateway.access.principals import Principal, PrincipalKind
from gateway.access.reach import ALL, Directory, Entry, Reach
from gateway.features import ServiceRef

_SERVICE = ServiceRef("prod", "fraud")
_WORKSPACES = frozenset({"dev", "staging", "prod"})
_ONCE = 2_000
"""Callers of one measurement, each on the header object of its own that a request brings."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way of letting a caller in. `admit`: whether this header may have what is cached."""

    name: str
    admit: Callable[[bytes], bool]
    headers: tuple[bytes, ...]


def cost_us(way: Way, rounds: int) -> list[float]:
    """Microseconds of CPU time for each caller, of each round. The first is for what is remembered, and not counted."""
    return list(_rounds(way, rounds))[1:]


def _rounds(way: Way, rounds: int) -> Iterator[float]:
    for _ in range(rounds + 1):
        headers = [bytes(bytearray(header)) for header in way.headers]  # new objects: their hashes are not known yet
        gc.collect()
        gc.disable()
        began = time.thread_time_ns()
        for header in headers:
            if not way.admit(header):
                raise AssertionError("a caller that is known was refused")
        took = time.thread_time_ns() - began
        gc.enable()
        yield took / len(headers) / 1_000


def ways(keys: int) -> Mapping[str, Way]:
    """With so many API keys, and as many accounts, in the directory."""
    secrets = [b"fgk_%012d_%049d" % (number, number) for number in range(keys)]
    shown = tuple(b"Tecton-key " + secret for secret in secrets[: min(_ONCE, keys)])
    tokens = tuple(b"Bearer " + b"x" * 400 + b"%d" % number for number in range(min(_ONCE, keys)))
    table = _table(secrets)
    bare = dict.fromkeys(shown, True)
    granted = Passthrough(Grants(3_600.0))
    for header in shown:
        granted.answered(granted.identify(header), _SERVICE, 0.0)
    forgetful = partial(_admit_anew, table)
    made = [
        Way("a bare dict, by the header", lambda header: bare[header], shown),
        Way("keys", partial(_admit, table), shown),
        Way("keys, once a minute for each", forgetful, shown),
        Way("keys, tokens", partial(_admit, table), tokens),
        Way("passthrough, under a grant", partial(_admit, granted), shown),
    ]
    return {way.name: way for way in made}


def _admit(gate: KeyTable | Passthrough, header: bytes) -> bool:
    return gate.holds(gate.identify(header), _SERVICE, 1.0)


def _admit_anew(table: KeyTable, header: bytes) -> bool:
    """As after `take_used`: the header is not known by sight."""
    return table.holds(table.identify(header[:10] + b"  " + header[11:]), _SERVICE, 1.0)


def _table(secrets: list[bytes]) -> KeyTable:
    reach = Reach(_WORKSPACES, _WORKSPACES, ALL, _WORKSPACES)
    accounts = {f"sa-{number}": Principal(PrincipalKind.SERVICE_ACCOUNT, f"sa-{number}") for number in range(len(secrets))}
    entries = {name: Entry(principal, name, name, reach) for name, principal in accounts.items()}
    digests = [hashlib.sha256(secret).digest() for secret in secrets]
    table = KeyTable({})
    table.adopt(Directory(1, dict(zip(digests, entries.values(), strict=True)), entries))
    table.believe(Bearers(lambda token: Token(f"sa-{token[400:].decode()}", 2e9)))
    return table


def told(costs: list[float]) -> str:
    return f"{median(costs):.3f} [{min(costs):.3f}-{max(costs):.3f}]"
