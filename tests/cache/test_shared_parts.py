"""The parts of the shared cache that need no Redis: what is owed, how entries and messages are spelt."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.shared.layout import (
    Kept,
    Message,
    bases_of,
    decode_entry,
    decode_message,
    encode_entry,
    encode_message,
    scopes_of,
)
from gateway.cache.shared.owed import Owed
from gateway.cache.sharing import EVERYTHING, Invalidation, scope_name
from gateway.features import Purge, Written
from tests.cache.replicas import ANN, LAYOUT, VALUES, named, stem_of

KEPT = Kept(b"g 1", VALUES.positional, VALUES.named, VALUES.pattern, VALUES.effective_times)


def test_what_is_owed_is_not_believed_until_it_is_taken() -> None:
    owed = Owed()
    assert owed.since(ANN) == float("-inf")
    first = owed.add([Written("prod", "users@1", ("ann",))], 5.0)
    owed.add([Written("prod", "shops@1")], 7.0)
    assert owed.since(ANN) == 5.0
    assert owed.since(named("bob")) == float("-inf")
    assert owed.since(named("bob", stem=stem_of("shop", identity="shops@1"))) == 7.0
    owed.settle(first)
    assert owed.since(ANN) == float("-inf")
    assert owed.all()[1] == [Written("prod", "shops@1")]


def test_what_is_owed_again_while_it_is_being_told_stays_owed() -> None:
    owed, write = Owed(), Written("prod", "users@1", ("ann",))
    first = owed.add([write], 5.0)
    owed.add([write], 6.0)
    owed.settle(first)
    assert owed.since(ANN) == 6.0
    assert len(owed) == 1


@pytest.mark.parametrize(("purge", "soft"), [(Purge("prod", soft=True), True), (Purge("prod"), False)])
def test_too_much_that_is_owed_becomes_one_purge_of_everything(purge: Purge, soft: bool) -> None:  # noqa: FBT001 - a case
    owed = Owed(most=3)
    owed.add([Written("prod", "shops@1", (number,)) for number in range(2)], 1.0)
    last = owed.add([purge, Written("prod", "users@1", ("bob",))], 2.0)
    assert owed.all() == (last, [Purge(soft=soft)])
    assert owed.since(ANN) == 2.0
    owed.settle(last)
    assert not owed


def test_invalidations_mean_bases_or_scopes() -> None:
    told: list[Invalidation] = [
        Purge("prod", frozenset({"user", "shop"})),
        Purge("dev", join_keys={"user_id": "ann"}),
        Purge(None, frozenset({"any"}), soft=True),
        Written("prod", "users@1", ("ann",)),
        Written("prod", "shops@1"),
    ]
    assert bases_of(told) == {ANN.base}
    assert scopes_of(told) == {
        scope_name("prod", "user"),
        scope_name("prod", "shop"),
        scope_name("dev", None),
        scope_name(None, "any"),
        scope_name("prod", "shops@1"),
    }
    assert scopes_of([Purge()]) == {EVERYTHING}


def test_an_entry_comes_back_as_it_was() -> None:
    assert decode_entry(encode_entry(1_764_000_000_123, KEPT)) == (1_764_000_000_123, KEPT)
    assert KEPT.values(LAYOUT) == VALUES


@given(st.binary(max_size=80), st.integers(0, 60))
def test_whatever_else_stands_there_is_no_entry_and_no_message(garbage: bytes, kept: int) -> None:
    assert decode_entry(garbage) is None
    assert decode_entry(encode_entry(1, KEPT)[:kept] + garbage) in (None, (1, KEPT))
    assert decode_message(garbage) is None


def test_deep_garbage_is_no_entry_and_no_message() -> None:
    deep = b"\x91" * 100_000
    assert decode_entry(b"0" * 16 + deep) is None
    assert decode_message(deep) is None


@pytest.mark.parametrize(
    "wrong",
    [
        msgspec.structs.replace(KEPT, pattern="P"),
        msgspec.structs.replace(KEPT, pattern="P?"),
        msgspec.structs.replace(KEPT, pattern="PT"),
        msgspec.structs.replace(KEPT, effective_times=(None,)),
    ],
)
def test_what_does_not_fit_the_layout_or_is_incomplete_is_no_values(wrong: Kept) -> None:
    assert wrong.values(LAYOUT) is None


def test_an_instant_before_redis_time_began_is_its_beginning() -> None:
    assert decode_entry(encode_entry(-5, KEPT)) == (0, KEPT)


def test_messages_bring_typed_join_keys() -> None:
    told: list[Invalidation] = [
        Purge("prod", frozenset({"user"}), {"user_id": 2**63 - 1, "x": 1.0, "y": True}, soft=True),
        Written("prod", "users@1", ("1", 1, 1.0, True, None)),
        Written("prod", "shops@1"),
    ]
    message = decode_message(encode_message(Message.of("me", told)))
    assert message == Message("me", (told[0],), (told[1], told[2]))  # type: ignore[arg-type]
    assert message is not None
    assert [type(value) for value in message.writes[0].join_keys or ()] == [str, int, float, bool, type(None)]
