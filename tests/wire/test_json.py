"""What is let in is what Python's own parser reads; everything that two parsers could read differently is MalformedBody."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import MalformedBody
from gateway.wire.json import MAX_DEPTH, decode_strict

TEXTS = st.text(max_size=12) | st.text(alphabet=':\\"{},[]/ \n\u0000é😀a', max_size=12)
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=20)
LAYOUTS = st.sampled_from(
    [
        {"separators": (",", ":")},
        {},
        {"indent": 2},
        {"separators": (" ,\t", " :\n ")},
        {"ensure_ascii": False},
        {"ensure_ascii": False, "separators": (",", ":")},
    ]
)


def escaped(text: str) -> str:
    """A JSON string whose every UTF-16 unit is an escape."""
    units = text.encode("utf-16-be")
    return '"' + "".join(f"\\u{units[index]:02x}{units[index + 1]:02x}" for index in range(0, len(units), 2)) + '"'


def spelt(value: Any, escape: st.DataObject) -> str:
    """JSON in which any string may be written as escapes throughout."""
    if isinstance(value, str):
        return escaped(value) if escape.draw(st.booleans()) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{spelt(name, escape)}:{spelt(inner, escape)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(spelt(inner, escape) for inner in value) + "]"
    return json.dumps(value)


def nested(depth: int, *, opening: str = "[", closing: str = "]") -> bytes:
    return (opening * depth + closing * depth).encode()


@given(VALUES, LAYOUTS)
def test_every_document_reads_as_python_reads_it(value: Any, layout: dict[str, Any]) -> None:
    body = json.dumps(value, **layout).encode()
    assert repr(decode_strict(body)) == repr(json.loads(body))


@given(VALUES, st.data())
def test_escapes_change_nothing(value: Any, data: st.DataObject) -> None:
    assert repr(decode_strict(spelt(value, data).encode())) == repr(value)


@given(
    st.dictionaries(TEXTS, VALUES, min_size=1, max_size=3),
    VALUES,
    st.lists(st.sampled_from(['{"outer":%s}', "[1,%s]", '[{"x":"a:b"},%s,":"]', '{"e:\\u003a":[%s]}']), max_size=4),
    st.data(),
)
def test_a_duplicate_name_is_refused_wherever_it_is(members: dict[str, Any], other: Any, around: list[str], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(members)))
    pairs = [*members.items(), (name, other)]
    text = "{" + ",".join(f"{spelt(key, data)}:{spelt(value, data)}" for key, value in data.draw(st.permutations(pairs))) + "}"
    for shell in around:
        text = shell.replace("%s", text)
    with pytest.raises(MalformedBody, match=r"duplicate member name"):
        decode_strict(text.encode())


@pytest.mark.parametrize(
    "body",
    [
        r'{"a":1,"a":1}',
        r'{"a":1,"\u0061":2}',
        r'{"a":":","\u0061":"\u003a"}',
        r'{"a":"x","a":"\u003a"}',
        r'{"a:b":1,"a:b":2}',
        r'{"\u003a":":","\u003a":"\u003a\u003a"}',
        r'{"a":{"b":1,"c":2},"a":":::"}',
        r'{"a":{"b":1},"a":"\u003a\u003a"}',
        r'{"x":"\\","a":1,"a":2}',
        r'[[{"a":null,"a":null}]]',
        r'{"":0,"":0}',
        r'{"k":{"a":1,"a":1},"k":2}',
        r'{"params":{"joinKeyMap":{"user":"1","user":"2"}}}',
    ],
)
def test_a_duplicate_cannot_hide(body: str) -> None:
    with pytest.raises(MalformedBody, match=r"duplicate member name"):
        decode_strict(body.encode())


@pytest.mark.parametrize(
    "body",
    [
        r'{"a":":","b":"::"}',
        r'{"a:a":"b:b"}',
        r'{"a":"\u003a","b":"\\u003a"}',
        r'[":",{":":":"}]',
        r'{"a":{"a":{"a":"a"}}}',
        r'[{"a":1},{"a":1}]',
        '{"\u00e9":1,"e\u0301":2}',
    ],
)
def test_colons_and_repeated_names_of_different_objects_are_no_duplicates(body: str) -> None:
    assert decode_strict(body.encode()) == json.loads(body)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_the_deepest_level_is_taken_and_one_more_is_refused(opening: str, closing: str) -> None:
    per_step = opening.count("[") + opening.count("{")
    fill = "1" if "a" in opening else ""
    steps = MAX_DEPTH // per_step
    deepest = opening * steps + fill + closing * steps
    assert decode_strict(deepest.encode()) == json.loads(deepest)
    with pytest.raises(MalformedBody, match="nested more than 32 levels"):
        decode_strict(f"[{deepest}]".encode())


@pytest.mark.parametrize("depth", [33, 500, 1_000, 5_000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ("[", ""), ('{"a":', "")])
def test_hopeless_depth_is_refused_at_once(depth: int, opening: str, closing: str) -> None:
    body = (opening * depth + "1" + closing * depth).encode()
    started = time.perf_counter()
    with pytest.raises(MalformedBody):
        decode_strict(body)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize("depth", [32, *range(900, 1_010)])
def test_depth_under_a_dropped_duplicate_is_refused_too(depth: int) -> None:
    with pytest.raises(MalformedBody):
        decode_strict(b'{"a":%b,"a":1}' % nested(depth))


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 2**53 + 1, 0, -1])
@pytest.mark.parametrize("shell", ["%d", "[%d]", '{"a":%d}', '{"a":[{"b":%d}]}'])
def test_integers_of_64_bits_stay_exact(number: int, shell: str) -> None:
    body = shell % number
    assert repr(decode_strict(body.encode())) == repr(json.loads(body))


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**64, 2**64 + 1, 10**30, -(10**400), 10**5000], ids=lambda n: f"{n.bit_length()}")
@pytest.mark.parametrize("shell", [b"%b", b"[%b]", b'{"a":%b}', b'{"a":[{"b":%b}]}'])
def test_integers_beyond_64_bits_are_refused(number: int, shell: bytes) -> None:
    digits = str(number) if abs(number) < 10**4000 else "1" + "0" * 5000
    with pytest.raises(MalformedBody):
        decode_strict(shell % digits.encode())


def test_a_number_too_long_to_convert_is_refused_under_a_dropped_duplicate() -> None:
    with pytest.raises(MalformedBody):
        decode_strict(b'{"a":' + b"1" * 5000 + b',"a":1}')


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"NaN",
        b"[NaN]",
        b"Infinity",
        b"-Infinity",
        b"1e999",
        b"[-1e999]",
        b'"\\ud800"',
        b'{"\\udc00":1}',
        b'"\\ud800\\ud800"',
        b"\xef\xbb\xbf{}",
        b"{}{}",
        b"{} x",
        b"{},",
        b"1 2",
        b'"\xff"',
        b'{"\xc3":1}',
        b'"\xed\xa0\x80"',
        b'"\xc0\xaf"',
        b"01",
        b"-01",
        b"+1",
        b".5",
        b"1.",
        b"0x10",
        b"1_000",
        b"'a'",
        b"{a:1}",
        b"[1,]",
        b'{"a":1,}',
        b"[1 2]",
        b'{"a" 1}',
        b"{1:2}",
        b'"\t"',
        b'"\\x41"',
        b'"\\u00"',
        b'"unterminated',
        b"[",
        b"{",
        b"tru",
        b"True",
        b"nil",
        b"/* */ {}",
        b"{}//",
        b"\x00",
        b"{}\x00",
        "{}".encode("utf-16"),
        "{}".encode("utf-32-le"),
    ],
)
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        decode_strict(body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"null", None),
        (b"[]", []),
        (b" \t\r\n{} \n", {}),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b"-0", 0),
        (b"-0.0", -0.0),
        (b"1e308", 1e308),
        (b"1e-400", 0.0),
        (b"1E2", 100.0),
        (b'"\\/\\b\\f\\n\\r\\t\\u0000"', "/\b\f\n\r\t\0"),
    ],
)
def test_corners_of_json_are_read(body: bytes, value: Any) -> None:
    assert repr(decode_strict(body)) == repr(value)


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,\\u0a1e-. \u0000', max_size=40).map(str.encode))
def test_arbitrary_bytes_are_read_as_python_reads_them_or_refused(body: bytes) -> None:
    try:
        value = decode_strict(body)
    except MalformedBody:
        return
    assert repr(value) == repr(json.loads(body))


@given(TEXTS.filter(lambda text: len(text) > 5))
def test_the_refusal_quotes_nothing_of_the_body(text: str) -> None:
    token = "T0KEN" + text
    with pytest.raises(MalformedBody) as refused:
        decode_strict(json.dumps({token: 1}).encode() * 2)
    assert "T0KEN" not in refused.value.message
