"""What is sealed opens where it belongs, under the key that sealed it, unchanged, and nowhere else."""

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.sealing import Sealer, context_of, create_keks, new_kek, parse_kek, read_keks, replace_keks, sealed_under
from gateway.errors import Sealed, Tampered

OLD, NEW = bytes(range(32)), bytes(range(1, 33))


@given(st.binary(max_size=2_000), st.binary(max_size=200))
def test_what_is_sealed_opens(plaintext: bytes, context: bytes) -> None:
    sealer = Sealer([NEW])
    sealed = sealer.seal(plaintext, context)
    assert sealer.open(sealed, context) == plaintext
    assert sealed_under(sealed) == sealer.kek_id
    assert len(plaintext) < 8 or plaintext not in sealed


@given(st.binary(max_size=40), st.data())
def test_a_changed_bit_anywhere_is_seen(plaintext: bytes, data: st.DataObject) -> None:
    sealer = Sealer([NEW])
    sealed = bytearray(sealer.seal(plaintext, b"here"))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Sealed):  # a KEK's id that is another says that its key is not at hand
        sealer.open(bytes(sealed), b"here")
    if not 1 <= bit // 8 < 9:
        with pytest.raises(Tampered):
            sealer.open(bytes(sealed), b"here")


@given(st.binary(max_size=40), st.integers(min_value=0))
def test_what_is_cut_short_is_seen(plaintext: bytes, keep: int) -> None:
    sealer = Sealer([NEW])
    sealed = sealer.seal(plaintext, b"here")
    with pytest.raises(Tampered):
        sealer.open(sealed[: keep % len(sealed)], b"here")


def test_it_opens_nowhere_else() -> None:
    sealer = Sealer([NEW])
    with pytest.raises(Tampered):
        sealer.open(sealer.seal(b"value", context_of("secret", "etl", "a", 1)), context_of("secret", "etl", "a", 2))


def test_parts_of_two_values_make_no_third() -> None:
    sealer = Sealer([NEW])
    one, other = sealer.seal(b"one", b"here"), sealer.seal(b"other", b"here")
    with pytest.raises(Tampered):
        sealer.open(one[:69] + other[69:], b"here")


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_no_two_places_are_spelled_alike(one: list[str], other: list[str]) -> None:
    assert (context_of("secret", *one) == context_of("secret", *other)) == (one == other)


def test_without_the_key_everything_stays_sealed() -> None:
    sealed, tag = Sealer([OLD]).seal(b"value", b"here"), Sealer([OLD]).authenticate(b"all")
    for sealer in (Sealer(), Sealer([NEW])):
        with pytest.raises(Sealed) as refused:
            sealer.open(sealed, b"here")
        assert type(refused.value) is Sealed
        with pytest.raises(Sealed):
            sealer.authentic(b"all", tag)
    for act in (lambda: Sealer().seal(b"value", b"here"), lambda: Sealer().authenticate(b"all"), lambda: Sealer().kek_id):
        with pytest.raises(Sealed):
            act()


def test_any_key_opens_and_the_newest_seals() -> None:
    before, both = Sealer([OLD]), Sealer([NEW, OLD])
    sealed = before.seal(b"value", b"here")
    assert both.open(sealed, b"here") == b"value"
    assert sealed_under(both.seal(b"value", b"here")) == both.kek_id == Sealer([NEW]).kek_id
    assert both.kek_ids == [Sealer([NEW]).kek_id, before.kek_id]


def test_a_value_is_wrapped_again_without_being_sealed_again() -> None:
    before, both, after = Sealer([OLD]), Sealer([NEW, OLD]), Sealer([NEW])
    sealed = before.seal(b"value", b"here")
    again = both.rewrap(sealed, b"here")
    assert after.open(again, b"here") == b"value"
    assert again[69:] == sealed[69:]
    assert both.rewrap(again, b"here") == again
    with pytest.raises(Sealed):
        before.open(again, b"here")
    with pytest.raises(Tampered):
        both.rewrap(sealed, b"elsewhere")


def test_a_tag_is_only_of_what_it_was_made_of() -> None:
    sealer = Sealer([NEW, OLD])
    tag = sealer.authenticate(b"all")
    assert sealer.authentic(b"all", tag)
    assert not sealer.authentic(b"some", tag)
    assert not sealer.authentic(b"all", tag[:-1] + bytes([tag[-1] ^ 1]))
    assert sealer.authentic(b"all", Sealer([OLD]).authenticate(b"all"))
    with pytest.raises(Sealed):
        sealer.authentic(b"all", b"")


@given(st.binary(min_size=32, max_size=32))
def test_a_key_is_read_in_base64_and_in_hex(key: bytes) -> None:
    for text in (base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode(), key.hex(), f" {key.hex().upper()}\n"):
        assert parse_kek(text) == key


@pytest.mark.parametrize("text", ["", "5ecret", "00" * 31, "zz" * 32, base64.b64encode(bytes(31)).decode(), "é" * 44])
def test_what_is_no_key_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="32 bytes") as refused:
        parse_kek(text)
    assert not text or text not in str(refused.value)


def test_a_fresh_key_is_its_owners_alone_and_stays(tmp_path: Path) -> None:
    file = tmp_path / "access.kek"
    create_keks(file)
    [key] = read_keks(file)
    create_keks(file)
    assert read_keks(file) == [key] != [parse_kek(new_kek())]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_of_many_that_make_a_key_at_once_one_does(tmp_path: Path) -> None:
    file = tmp_path / "access.kek"

    def made(_: int) -> bytes:
        create_keks(file)
        [key] = read_keks(file)
        return key

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(made, range(64)))) == 1
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_is_not_there_or_holds_none_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        read_keks(tmp_path / "absent")
    (tmp_path / "binary").write_bytes(b"\xff" * 32)
    with pytest.raises(ValueError, match="32 bytes"):
        read_keks(tmp_path / "binary")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ValueError, match="32 bytes"):
        read_keks(tmp_path / "empty")


def test_keys_take_the_place_of_those_before(tmp_path: Path) -> None:
    file = tmp_path / "access.kek"
    create_keks(file)
    replace_keks(file, [NEW, OLD])
    assert read_keks(file) == [NEW, OLD]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_key_that_came_later_is_looked_for_when_it_is_needed() -> None:
    there: list[bytes] = []
    sealer = Sealer(again=lambda: there)
    with pytest.raises(Sealed):
        sealer.seal(b"value", b"here")
    there[:] = [OLD]
    sealed = sealer.seal(b"value", b"here")
    there[:] = [NEW, OLD]
    assert sealer.open(sealed, b"here") == b"value"
    again = Sealer([NEW, OLD]).rewrap(sealed, b"here")
    assert sealer.open(again, b"here") == b"value"
    assert sealer.kek_id == Sealer([NEW]).kek_id
