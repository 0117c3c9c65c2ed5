"""Sealing: what is kept so that only the holder of a key-encryption key (KEK) can read it, or change it unseen.

Envelope encryption, AES-256-GCM twice: every value has a data key of its own, and the KEK wraps that. So another KEK means wrapping 32
bytes again for each value, and no KEK ever encrypts anything but random keys.

    sealed = format (1) · KEK's id (8) · nonce (12) · wrapped data key (48) · nonce (12) · ciphertext and tag

Both layers bind the format and the `context`, which says what the value is and where it belongs: sealed bytes that were moved elsewhere do
not open. The wrapping binds the KEK's id too. Nonces are random: of a data key's there is one, of a KEK's one for each value that was ever
sealed under it (NIST SP 800-38D §8.3 allows 2^32).
"""

import base64
import binascii
import hmac
import os
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.errors import Sealed, Tampered

KEK_BYTES = 32
_FORMAT = b"\x01"
_ID, _NONCE, _WRAPPED = 8, 12, 48
_HEAD = len(_FORMAT) + _ID
_BODY = _HEAD + _NONCE + _WRAPPED
_SHORTEST = _BODY + _NONCE + 16
_URL_SAFE = str.maketrans("-_", "+/")
_NO_KEK = "not a key of 32 bytes in base64 or hex; `feature-gateway secrets new-kek` makes one"


class Sealer:
    """Seals under the first of its KEKs, opens what any of them sealed. Without the right one everything stays sealed: it raises Sealed.

    Before it does it looks again whether the key is there by now, so that a key which came late, or is another since a rotation, needs no
    new start."""

    def __init__(self, keks: Sequence[bytes] = (), again: Callable[[], Sequence[bytes]] | None = None) -> None:
        """`keks`: 32 bytes each, the newest first. `again`: reads them anew; none where they cannot be had."""
        self._ring = _Ring(keks)
        self._again = again

    @property
    def kek_id(self) -> str:
        """Of the KEK that seals: a public name, from which the key cannot be had. Raises Sealed."""
        return self._holding(None).newest.hex()

    @property
    def kek_ids(self) -> Sequence[str]:
        """Of all, the newest first."""
        return [identity.hex() for identity in self._ring.wrapping]

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """Raises Sealed where there is no KEK."""
        data_key, nonce = AESGCM.generate_key(256), secrets.token_bytes(_NONCE)
        return self._wrap(data_key, context) + nonce + AESGCM(data_key).encrypt(nonce, plaintext, _FORMAT + b"value" + context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Raises Sealed where the KEK is not at hand, Tampered where this is not what was sealed under this context."""
        data_key, nonce = self._unwrap(sealed, context), sealed[_BODY : _BODY + _NONCE]
        try:
            return AESGCM(data_key).decrypt(nonce, sealed[_BODY + _NONCE :], _FORMAT + b"value" + context)
        except InvalidTag:
            raise Tampered from None

    def rewrap(self, sealed: bytes, context: bytes) -> bytes:
        """The same value under the newest KEK; itself where it is so already. The value is not decrypted. Raises as `open`."""
        if sealed[:_HEAD] == _FORMAT + self._holding(None).newest:
            return sealed
        return self._wrap(self._unwrap(sealed, context), context) + sealed[_BODY:]

    def authenticate(self, message: bytes) -> bytes:
        """A tag that only a holder of the newest KEK can make: its id, and an HMAC-SHA-256 under a key derived from it."""
        ring = self._holding(None)
        return ring.newest + hmac.digest(ring.authentic[ring.newest], message, "sha256")

    def authentic(self, message: bytes, tag: bytes) -> bool:
        """Whether the tag was made of this message. Raises Sealed where the KEK that it says made it is not at hand."""
        key = self._holding(tag[:_ID]).authentic[tag[:_ID]]
        return hmac.compare_digest(tag[_ID:], hmac.digest(key, message, "sha256"))

    def _wrap(self, data_key: bytes, context: bytes) -> bytes:
        ring, nonce = self._holding(None), secrets.token_bytes(_NONCE)
        head = _FORMAT + ring.newest + nonce
        return head + ring.wrapping[ring.newest].encrypt(nonce, data_key, _FORMAT + b"key" + ring.newest + context)

    def _unwrap(self, sealed: bytes, context: bytes) -> bytes:
        if len(sealed) < _SHORTEST or not sealed.startswith(_FORMAT):
            raise Tampered
        identity, nonce = sealed[len(_FORMAT) : _HEAD], sealed[_HEAD : _HEAD + _NONCE]
        kek = self._holding(identity).wrapping[identity]
        try:
            return kek.decrypt(nonce, sealed[_HEAD + _NONCE : _BODY], _FORMAT + b"key" + identity + context)
        except InvalidTag:
            raise Tampered from None

    def _holding(self, identity: bytes | None) -> "_Ring":
        """The keys, this one among them; None: any. Raises Sealed."""
        if not self._ring.holds(identity) and self._again is not None:
            self._ring = _Ring(self._again())
        if not self._ring.holds(identity):
            raise Sealed
        return self._ring


class _Ring:
    """KEKs, and what is derived from them, by id. Never changed: threads share it."""

    def __init__(self, keks: Sequence[bytes]) -> None:
        named = {_derived(kek, b"id")[:_ID]: kek for kek in keks}
        self.wrapping = {identity: AESGCM(kek) for identity, kek in named.items()}
        self.authentic = {identity: _derived(kek, b"authentication") for identity, kek in named.items()}
        self.newest = next(iter(named), b"")

    def holds(self, identity: bytes | None) -> bool:
        return bool(self.newest) if identity is None else identity in self.wrapping


def context_of(kind: str, *parts: str | int) -> bytes:
    """What a sealed value is and where it belongs, such that no two places are spelled alike."""
    spelled = [str(part).encode() for part in (kind, *parts)]
    return b"".join(len(part).to_bytes(4, "big") + part for part in spelled)


def sealed_under(sealed: bytes) -> str:
    """The id of the KEK that sealed bytes say they need."""
    return sealed[len(_FORMAT) : _HEAD].hex()


def new_kek() -> str:
    """A fresh KEK as files and settings hold it."""
    return base64.b64encode(secrets.token_bytes(KEK_BYTES)).decode()


def parse_kek(text: str) -> bytes:
    """A KEK from base64 (either alphabet) or 64 hex digits. Raises ValueError, which does not quote it."""
    text = text.strip()
    try:
        key = bytes.fromhex(text) if len(text) == 2 * KEK_BYTES else base64.b64decode(text.translate(_URL_SAFE), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEK_BYTES:
        raise ValueError(_NO_KEK)
    return key


def read_keks(file: Path) -> Sequence[bytes]:
    """The KEKs in a file, one a line, the newest first: at least one. Raises ValueError, also for what cannot be read."""
    try:
        lines = file.read_text("ascii").split("\n")
    except UnicodeDecodeError:
        raise ValueError(_NO_KEK) from None
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from error
    return [parse_kek(line) for line in lines if line.strip()] or [parse_kek("")]


def create_keks(file: Path) -> None:
    """Put a fresh KEK into a file that only its owner reads. Whole, and on the disk, before it has its name; one that is there stays.
    Several may do it at once."""
    draft = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    try:
        _write(draft, [new_kek()])
        with suppress(FileExistsError):
            file.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)
    _settle(file.parent)


def replace_keks(file: Path, keks: Sequence[bytes]) -> None:
    """Put these, the newest first, in the place of those that the file held, at once. One may do it at a time; what one that was
    interrupted left behind goes with the next."""
    draft = file.with_name(f"{file.name}.next")
    draft.unlink(missing_ok=True)
    _write(draft, [base64.b64encode(kek).decode() for kek in keks])
    draft.replace(file)
    _settle(file.parent)


def _write(draft: Path, lines: Sequence[str]) -> None:
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as fresh:
        fresh.writelines(f"{line}\n" for line in lines)
        fresh.flush()
        os.fsync(fresh.fileno())


def _settle(folder: Path) -> None:
    """Names in a folder reach the disk with the folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _derived(kek: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEK_BYTES, salt=None, info=b"feature-gateway " + purpose).derive(kek)
