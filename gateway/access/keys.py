"""API keys and client secrets: made once, shown once, kept as digests.

    fgk_<id>_<secret><checksum>      id: 12, secret: 43, checksum: 6 characters of 0-9 A-Z a-z
    fgs_<secret>                     a client secret; secret: 60

The prefix is for secret scanners; the id is public, and names the key in lists and logs; the checksum (CRC-32 of all before it) lets a
scanner, and the gateway, tell a key from something that only looks like one without asking the store. After GitHub's token format.
"""

import hashlib
import re
import secrets
import string
import zlib

PREFIX = "fgk_"
SECRET_PREFIX = "fgs_"  # noqa: S105 - what secrets begin with
_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID, _SECRET, _CHECKSUM = 12, 43, 6
_CLIENT_SECRET = 60
_SHAPE = re.compile(rf"{PREFIX}([0-9A-Za-z]{{{_ID}}})_[0-9A-Za-z]{{{_SECRET + _CHECKSUM}}}")


def new_key() -> str:
    """A fresh key of 256 random bits."""
    body = f"{PREFIX}{random_name(_ID)}_{random_name(_SECRET)}"
    return body + _checksum(body)


def new_client_secret() -> str:
    """A fresh secret of 357 random bits. People are shown its last four characters ever after."""
    return SECRET_PREFIX + random_name(_CLIENT_SECRET)


def key_id(key: str) -> str | None:
    """The public id of a key; None for what is none."""
    match = _SHAPE.fullmatch(key)
    return match[1] if match is not None and _checksum(key[:-_CHECKSUM]) == key[-_CHECKSUM:] else None


def digest(key: str) -> str:
    """What settings and stores keep of a key: its SHA-256 as 64 hex digits. Keys are long and random: no salt or stretching is due."""
    return hashlib.sha256(key.encode()).hexdigest()


def random_name(length: int) -> str:
    """Random digits and letters, of 5.95 bits each."""
    return "".join(secrets.choice(_DIGITS) for _ in range(length))


def _checksum(text: str) -> str:
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(_CHECKSUM):
        number, place = divmod(number, len(_DIGITS))
        digits = _DIGITS[place] + digits
    return digits
