"""RFC 3339 text ⇄ nanoseconds since 1970 (contract §6): `datetime` stops at microseconds, events do not.

Owns both directions. Knows nothing of records, windows or clocks.
"""

import re
from datetime import UTC, datetime, timedelta

NS_PER_S = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_NS = -(_EPOCH - datetime(1800, 1, 1, tzinfo=UTC)).days * 86_400 * NS_PER_S
_END_NS = (datetime(2200, 1, 1, tzinfo=UTC) - _EPOCH).days * 86_400 * NS_PER_S
"""Far enough from the ends of int64 for whole windows, tiles and TTLs to be added."""
_TO_SECONDS = len("1970-01-01T00:00:00")
_SHAPE = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)


def parse_timestamp(text: str) -> int:
    """`YYYY-MM-DDThh:mm[:ss[.1-9 digits]][Z|±hh:mm]` → nanoseconds; no offset means UTC. ValueError for anything else."""
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise ValueError("not an ISO 8601 timestamp")
    day, hour, minute, second, fraction, offset = shape.groups()
    moment = datetime.fromisoformat(f"{day}T{hour}:{minute}:{second or '00'}+00:00")
    elapsed = moment - _EPOCH
    seconds = elapsed.days * 86_400 + elapsed.seconds - _offset_s(offset)
    at_ns = seconds * NS_PER_S + int((fraction or "").ljust(9, "0"))
    if not _FIRST_NS <= at_ns < _END_NS:
        raise ValueError("timestamp outside the years 1800 to 2199")
    return at_ns


def _offset_s(offset: str | None) -> int:
    if offset is None or offset in "Zz":
        return 0
    hours, minutes = int(offset[1:3]), int(offset[4:6])
    if hours > 23 or minutes > 59:
        raise ValueError("not an ISO 8601 offset")
    return (hours * 3600 + minutes * 60) * (-1 if offset[0] == "-" else 1)


def format_timestamp_ns(at_ns: int) -> str:
    """In UTC with Z, and 0, 3, 6 or 9 digits of fraction: as few as say all of it."""
    seconds, fraction = divmod(at_ns, NS_PER_S)
    text = (_EPOCH + timedelta(seconds=seconds)).isoformat()[:_TO_SECONDS]
    if fraction == 0:
        return text + "Z"
    digits = f"{fraction:09d}"
    kept = 3 if fraction % 1_000_000 == 0 else 6 if fraction % 1_000 == 0 else 9
    return f"{text}.{digits[:kept]}Z"
