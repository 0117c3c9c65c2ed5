"""API keys: made once, shown once, kept as digests."""

import hashlib
import secrets

PREFIX = "fgk_"


def new_key() -> str:
    """A fresh key of 256 random bits, with a prefix that secret scanners can look for."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(key: str) -> str:
    """What settings and stores keep of a key: its SHA-256 as 64 hex digits. Keys are long and random: no salt or stretching is due."""
    return hashlib.sha256(key.encode()).hexdigest()
