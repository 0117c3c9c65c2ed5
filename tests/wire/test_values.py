"""Both spellings against a slow model, and the reader against the writer."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.features import BOOLEAN, FLOAT32, FLOAT64, INT64, STRING, TIMESTAMP, DataType, Feature, array_of, map_of, struct_of
from gateway.wire.values import (
    NULL,
    MembersReader,
    compile_plain,
    compile_reader,
    compile_row_writer,
    compile_writer,
    format_timestamp,
    instant,
    is_timestamp,
    plain_array,
    respelled,
)
from tests.wire.strategies import DATA_TYPES, SCALARS, Typed, has_float, named_model, positional_model, typed

TOKEN = "t0ken-7731"


@given(typed())
def test_both_spellings_are_those_of_the_model(one: Typed) -> None:
    positional, named = compile_writer(one.dtype)(one.value)
    assert json.loads(positional) == positional_model(one.dtype, one.value)
    assert json.loads(named) == named_model(one.dtype, one.value)


@given(typed())
def test_what_is_written_reads_back_as_the_same_pair(one: Typed) -> None:
    written = compile_writer(one.dtype)(one.value)
    assert compile_reader(one.dtype)(written[0]) == written


@given(typed())
def test_spaces_and_escapes_of_an_origin_do_not_change_what_is_read(one: Typed) -> None:
    written = compile_writer(one.dtype)(one.value)
    spaced = json.dumps(json.loads(written[0]), indent=1).encode()
    read = compile_reader(one.dtype)(spaced)
    assert [json.loads(text) for text in read] == [json.loads(text) for text in written]


@given(typed())
def test_the_named_spelling_decodes_to_the_plain_value(one: Typed) -> None:
    plain = compile_plain(one.dtype)
    decoded = msgspec.json.decode(compile_writer(one.dtype)(one.value)[1])
    assert repr(decoded if plain is None else plain(decoded)) == repr(one.value)


@given(DATA_TYPES)
def test_only_types_with_floats_need_to_be_made_plain(dtype: DataType) -> None:
    assert (compile_plain(dtype) is not None) == has_float(dtype)


@given(typed())
def test_one_text_serves_both_doors_where_the_type_says_so(one: Typed) -> None:
    positional, named = compile_writer(one.dtype)(one.value)
    assert respelled(one.dtype) or positional is named


@given(DATA_TYPES)
def test_null_is_null_for_every_type(dtype: DataType) -> None:
    assert compile_writer(dtype)(None) == NULL
    assert compile_reader(dtype)(b"null") == NULL
    plain = compile_plain(dtype)
    assert plain is None or plain(None) is None


@pytest.mark.parametrize(
    ("dtype", "value", "positional", "named"),
    [
        (INT64, 42, b'"42"', b"42"),
        (INT64, -(2**63), b'"-9223372036854775808"', b"-9223372036854775808"),
        (INT64, 2**63 - 1, b'"9223372036854775807"', b"9223372036854775807"),
        (FLOAT64, 1.5, b"1.5", b"1.5"),
        (FLOAT64, 2, b"2.0", b"2.0"),
        (FLOAT64, float("nan"), b'"NaN"', b'"NaN"'),
        (FLOAT64, "NaN", b'"NaN"', b'"NaN"'),
        (FLOAT32, float("-inf"), b'"-Infinity"', b'"-Infinity"'),
        (BOOLEAN, False, b"false", b"false"),
        (BOOLEAN, True, b"true", b"true"),
        (BOOLEAN, None, b"null", b"null"),
        (STRING, "é:\n", '"é:\\n"'.encode(), '"é:\\n"'.encode()),
        (TIMESTAMP, "2013-01-14T23:00:00Z", b'"2013-01-14T23:00:00Z"', b'"2013-01-14T23:00:00Z"'),
        (TIMESTAMP, datetime(2013, 1, 14, 23, tzinfo=UTC), b'"2013-01-14T23:00:00Z"', b'"2013-01-14T23:00:00Z"'),
        (struct_of(x=FLOAT64, y=INT64), {"x": 1.5, "y": 2}, b'[1.5,"2"]', b'{"x":1.5,"y":2}'),
        (struct_of(x=FLOAT64, y=INT64), [1.5, 2], b'[1.5,"2"]', b'{"x":1.5,"y":2}'),
        (struct_of(x=FLOAT64, y=INT64), {}, b"[null,null]", b'{"x":null,"y":null}'),
        (struct_of(x=FLOAT64, y=INT64), None, b"null", b"null"),
        (array_of(INT64), [1, None], b'["1",null]', b"[1,null]"),
        (array_of(INT64), (1,), b'["1"]', b"[1]"),
        (map_of(INT64), {"a": 1}, b'{"a":"1"}', b'{"a":1}'),
        (array_of(struct_of(x=INT64)), [{"x": 1}, None], b'[["1"],null]', b'[{"x":1},null]'),
    ],
)
def test_a_value_is_spelt_for_each_door(dtype: DataType, value: Any, positional: bytes, named: bytes) -> None:
    assert compile_writer(dtype)(value) == (positional, named)


@pytest.mark.parametrize(
    ("dtype", "raw", "positional", "named"),
    [
        (INT64, b'"42"', b'"42"', b"42"),
        (INT64, b"42", b'"42"', b"42"),
        (BOOLEAN, b"true", b"true", b"true"),
        (BOOLEAN, b"false", b"false", b"false"),
        (TIMESTAMP, b'"2013-01-14T23:00:00Z"', b'"2013-01-14T23:00:00Z"', b'"2013-01-14T23:00:00Z"'),
        (FLOAT64, b"216409", b"216409", b"216409"),
        (FLOAT64, b"1E2", b"1E2", b"1E2"),
        (FLOAT64, b'"Infinity"', b'"Infinity"', b'"Infinity"'),
        (STRING, b'"\\u0061"', b'"\\u0061"', b'"\\u0061"'),
        (struct_of(x=INT64, y=STRING), b'{"y":"b","x":"1"}', b'["1","b"]', b'{"x":1,"y":"b"}'),
        (map_of(array_of(FLOAT32)), b'{ "a" : [ "NaN" , null ] }', b'{"a":["NaN",null]}', b'{"a":["NaN",null]}'),
    ],
)
def test_an_origins_value_is_read_for_each_door(dtype: DataType, raw: bytes, positional: bytes, named: bytes) -> None:
    assert compile_reader(dtype)(raw) == (positional, named)


WRONG: list[tuple[DataType, Any, DataType]] = [
    (INT64, TOKEN, INT64),
    (INT64, True, INT64),
    (INT64, 1.0, INT64),
    (INT64, 2**63, INT64),
    (INT64, -(2**63) - 1, INT64),
    (INT64, "9223372036854775808", INT64),
    (INT64, "01", INT64),
    (INT64, "+1", INT64),
    (INT64, " 1", INT64),
    (INT64, "1\n", INT64),
    (INT64, "1_0", INT64),
    (INT64, "", INT64),
    (INT64, "\u0661", INT64),
    (INT64, "\ud800", INT64),
    (INT64, [TOKEN], INT64),
    (FLOAT64, TOKEN, FLOAT64),
    (FLOAT64, True, FLOAT64),
    (FLOAT64, "1.5", FLOAT64),
    (FLOAT64, "nan", FLOAT64),
    (FLOAT64, {TOKEN: 1}, FLOAT64),
    (FLOAT32, TOKEN, FLOAT32),
    (BOOLEAN, TOKEN, BOOLEAN),
    (BOOLEAN, 1, BOOLEAN),
    (BOOLEAN, "true", BOOLEAN),
    (STRING, 7731, STRING),
    (STRING, TOKEN.encode(), STRING),
    (STRING, [TOKEN], STRING),
    (TIMESTAMP, TOKEN, TIMESTAMP),
    (TIMESTAMP, 7731, TIMESTAMP),
    (TIMESTAMP, "2013-01-14", TIMESTAMP),
    (TIMESTAMP, "2013-01-14T23:00:00", TIMESTAMP),
    (TIMESTAMP, "2013-01-14 23:00:00Z", TIMESTAMP),
    (TIMESTAMP, "2013-01-14T23:00:00Z\n", TIMESTAMP),
    (array_of(INT64), TOKEN, array_of(INT64)),
    (array_of(INT64), {TOKEN: 1}, array_of(INT64)),
    (array_of(INT64), [1, TOKEN], INT64),
    (map_of(STRING), [TOKEN], map_of(STRING)),
    (map_of(STRING), {7731: "a"}, map_of(STRING)),
    (map_of(STRING), {"a": 7731}, STRING),
    (struct_of(x=INT64), TOKEN, struct_of(x=INT64)),
    (struct_of(x=INT64), [1, TOKEN], struct_of(x=INT64)),
    (struct_of(x=INT64), [], struct_of(x=INT64)),
    (struct_of(x=INT64), {"x": TOKEN}, INT64),
]


@pytest.mark.parametrize(("dtype", "value", "blamed"), WRONG)
def test_a_wrong_value_is_refused_by_type_and_not_quoted(dtype: DataType, value: Any, blamed: DataType) -> None:
    with pytest.raises(ValueError, match=r"^expected .* or null$") as refused:
        compile_writer(dtype)(value)
    assert str(refused.value) == f"expected {blamed} or null"


@pytest.mark.parametrize(
    ("dtype", "raw", "blamed"),
    [
        *((dtype, b"{}", dtype) for dtype in SCALARS),
        *((dtype, b"[]", dtype) for dtype in SCALARS),
        *((dtype, b'"t0ken-7731"', dtype) for dtype in SCALARS if dtype is not STRING),
        *((dtype, b"7731", dtype) for dtype in (STRING, BOOLEAN, TIMESTAMP)),
        *((dtype, b"true", dtype) for dtype in SCALARS if dtype is not BOOLEAN),
        (INT64, b"7731.0", INT64),
        (INT64, b"1e3", INT64),
        (INT64, b'"9223372036854775808"', INT64),
        (INT64, b'"007731"', INT64),
        (INT64, b'"\\u0031"', INT64),
        (FLOAT64, b"1e999", FLOAT64),
        (FLOAT64, b'"1.5"', FLOAT64),
        (FLOAT64, b'"nan"', FLOAT64),
        (TIMESTAMP, b'"2013-01-14T23:00:00"', TIMESTAMP),
        (TIMESTAMP, b'"2013-01-14"', TIMESTAMP),
        (array_of(INT64), b'["t0ken-7731"]', INT64),
        (map_of(BOOLEAN), b'{"t0ken-7731":7731}', BOOLEAN),
        (struct_of(x=INT64), b'["t0ken-7731"]', INT64),
        (struct_of(x=INT64), b'["1","7731"]', struct_of(x=INT64)),
    ],
)
def test_an_origins_wrong_value_is_refused_by_type_and_not_quoted(dtype: DataType, raw: bytes, blamed: DataType) -> None:
    with pytest.raises(ValueError, match=r"expected") as refused:
        compile_reader(dtype)(raw)
    assert str(refused.value) == f"expected {blamed} or null"


@pytest.mark.parametrize("dtype", [STRING, array_of(STRING), map_of(STRING), struct_of(x=STRING)], ids=str)
@pytest.mark.parametrize("text", [b'"\xff"', b'"a\xc3"', b'"\xed\xa0\x80"', b'"\xc0\xaf"'])
def test_an_origins_text_that_is_not_unicode_is_refused(dtype: DataType, text: bytes) -> None:
    shells = {STRING: b"%b", array_of(STRING): b"[%b]", map_of(STRING): b'{"a":%b}', struct_of(x=STRING): b"[%b]"}
    with pytest.raises(ValueError, match=r"\S"):
        compile_reader(dtype)(shells[dtype] % text)


@pytest.mark.parametrize("number", [10**400, -(10**400)], ids=["large", "small"])
def test_an_integer_beyond_every_float_is_a_value_error(number: int) -> None:
    with pytest.raises(ValueError, match="expected float64 or null"):
        compile_writer(FLOAT64)(number)


def test_an_origins_integer_beyond_every_float_is_a_value_error_inside_an_array() -> None:
    with pytest.raises(ValueError, match=r"\S"):
        compile_reader(array_of(FLOAT64))(b"[" + b"1" * 400 + b"]")


@pytest.mark.parametrize("text", ["٢٠١٣-01-14T23:00:00Z", "2013-01-14T23:00:0\uff10Z"])
def test_a_timestamp_has_ascii_digits(text: str) -> None:
    with pytest.raises(ValueError, match="expected timestamp or null"):
        compile_writer(TIMESTAMP)(text)
    with pytest.raises(ValueError, match="expected timestamp or null"):
        compile_reader(TIMESTAMP)(f'"{text}"'.encode())


def test_a_datetime_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="expected timestamp or null"):
        compile_writer(TIMESTAMP)(datetime(2013, 1, 14, 23))  # noqa: DTZ001 - what is refused


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2013, 1, 14, 23, tzinfo=UTC), "2013-01-14T23:00:00Z"),
        (datetime(2013, 1, 14, 23, 0, 0, 5, tzinfo=UTC), "2013-01-14T23:00:00.000005Z"),
        (datetime(2013, 1, 15, 1, tzinfo=timezone(timedelta(hours=2))), "2013-01-14T23:00:00Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00Z"),
    ],
)
def test_a_moment_is_told_in_utc(moment: datetime, text: str) -> None:
    assert format_timestamp(moment) == text


@given(DATA_TYPES, st.binary(max_size=30) | st.text(alphabet='[]{}":,0-9.e+\\untrfalsNI ', max_size=20).map(str.encode))
def test_arbitrary_bytes_are_read_as_two_json_values_or_are_a_value_error(dtype: DataType, raw: bytes) -> None:
    try:
        msgspec.json.decode(raw, type=msgspec.Raw)
    except ValueError:
        return  # the reply's own decoder refuses these before a reader sees them
    try:
        read = compile_reader(dtype)(raw)
    except ValueError:
        return
    assert [json.dumps(json.loads(text)) for text in read]


@given(st.lists(typed(), min_size=1, max_size=4), st.data())
def test_members_read_back_out_of_a_view_are_the_plain_values_that_are_wanted(view: list[Typed], data: st.DataObject) -> None:
    names = [f"view.f{index}" for index in range(len(view))]
    named = b",".join(
        b"%b:%b" % (msgspec.json.encode(name), compile_writer(one.dtype)(one.value)[1]) for name, one in zip(names, view, strict=True)
    )
    wanted = data.draw(st.lists(st.sampled_from(range(len(view))), unique=True))
    reader = MembersReader({f"want {index}": Feature(names[index], view[index].dtype) for index in wanted})
    for _ in range(2):  # decoded, and remembered
        assert repr(dict(reader.read(named))) == repr({f"want {index}": view[index].value for index in wanted})


@pytest.mark.parametrize("name", ["view.é", "view.a b", "a.b.c", "view.😀"])
def test_members_are_read_by_whatever_name_an_origin_gave_them(name: str) -> None:
    reader = MembersReader({"wanted": Feature(name, INT64)})
    assert reader.read(msgspec.json.encode(name) + b":7") == {"wanted": 7}


@pytest.mark.parametrize(
    ("text", "real"),
    [
        ("2024-02-29T23:59:59Z", True),
        ("2024-02-29T23:59:59.123456789+05:30", True),
        ("2023-02-29T00:00:00Z", False),
        ("2024-13-01T00:00:00Z", False),
        ("2024-01-01T24:00:01Z", False),
        ("2024-01-01T00:00:00+99:00", False),
        ("2024-01-01T00:00:00", False),
        ("2024-01-01", False),
        ("", False),
        ("yesterday", False),
        ("٢٠٢٤-01-01T00:00:00Z", False),
    ],
)
def test_a_timestamp_is_of_a_moment_that_exists(text: str, *, real: bool) -> None:
    assert is_timestamp(text) is real


@given(
    st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis takes naive bounds
    st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=st.just(UTC)),  # noqa: DTZ001 - same
    st.integers(-23, 23),
)
def test_timestamps_are_ordered_as_the_moments_they_tell(left: datetime, right: datetime, hours: int) -> None:
    elsewhere = right.astimezone(timezone(timedelta(hours=hours))).isoformat()
    assert (instant(format_timestamp(left))[0] < instant(elsewhere)[0]) == (left < right)


@pytest.mark.parametrize(
    ("earlier", "later"),
    [("", ".000000001"), (".000000001", ".000000999"), (".000000999", ".000001"), (".000001", ".000001001"), (".000001", ".5")],
)
def test_nanoseconds_decide_between_equal_microseconds(earlier: str, later: str) -> None:
    assert instant(f"2024-01-01T00:00:00{earlier}Z") < instant(f"2024-01-01T00:00:00{later}Z")


ROW_TYPES = [INT64, FLOAT64, BOOLEAN, STRING, TIMESTAMP, array_of(INT64)]
ROW_VALUES: dict[Any, st.SearchStrategy[Any]] = {
    INT64: st.integers(-(2**63), 2**63 - 1),
    FLOAT64: st.floats(),
    BOOLEAN: st.booleans(),
    STRING: st.text(st.characters(exclude_categories=["Cs"])),
    TIMESTAMP: st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2262, 1, 1)).map(lambda at: at.isoformat() + "Z"),  # noqa: DTZ001 - Z says it
    array_of(INT64): st.lists(st.none() | st.integers(-9, 9)),
}


@given(st.data())
def test_a_row_is_written_as_its_values_are(data: st.DataObject) -> None:
    dtypes = data.draw(st.lists(st.sampled_from(ROW_TYPES), min_size=1, max_size=8))
    values = [data.draw(st.none() | ROW_VALUES[dtype]) for dtype in dtypes]
    features = [Feature(f"view.é{index}", dtype) for index, dtype in enumerate(dtypes)]
    each = [compile_writer(dtype)(value) for dtype, value in zip(dtypes, values, strict=True)]
    positional, named = compile_row_writer(features)(values)
    assert positional == b",".join(text for text, _ in each)
    assert named == b",".join(
        b"%b:%b" % (json.dumps(one.name, ensure_ascii=False).encode(), text) for one, (_, text) in zip(features, each, strict=True)
    )


_ODD = (
    b"null",
    b'""',
    b'"0"',
    b'"-0"',
    b'"007"',
    b'"-9223372036854775808"',
    b'"9223372036854775808"',
    b'"1.5"',
    b"12",
    b"-0.0",
    b"1e5",
    b"1E-7",
)
_ODDER = (
    b"1e999",
    b"01",
    b'"NaN"',
    b'"-Infinity"',
    b"true",
    b'"tr\\u00fce"',
    b'"\xc3\xa9"',
    b'"2026-01-02T03:04:05Z"',
    b'"2026-01-02"',
    b"[1]",
)


@example([(FLOAT32, b"12")], b",")
@given(
    st.lists(st.tuples(st.sampled_from(SCALARS), st.sampled_from((*_ODD, *_ODDER))), min_size=1, max_size=4), st.sampled_from((b",", b", "))
)
def test_what_the_pattern_of_an_array_takes_is_what_the_readers_take_and_as_it_is(
    cells: list[tuple[DataType, bytes]], between: bytes
) -> None:
    pattern = plain_array([dtype for dtype, _ in cells])
    assert pattern is not None
    found = pattern.fullmatch(b"[%b]" % between.join([raw for _, raw in cells]))
    if found is not None:
        read = [compile_reader(dtype)(raw) for dtype, raw in cells]
        assert list(found.groups()) == [positional for positional, _ in read]
        named = [text.strip(b'"') if dtype is INT64 else text for (dtype, _), text in zip(cells, found.groups(), strict=True)]
        assert named == [named for _, named in read]


@given(st.lists(typed(st.sampled_from(SCALARS)), min_size=1, max_size=4))
def test_the_pattern_of_an_array_takes_what_is_plainly_written(cells: list[Typed]) -> None:
    written = [compile_writer(one.dtype)(one.value)[0] for one in cells]
    pattern = plain_array([one.dtype for one in cells])
    assert pattern is not None
    plain = all(raw.isascii() and b"\\" not in raw and b"\x7f" not in raw for raw in written)
    plain = plain and not any(raw in {b'"NaN"', b'"Infinity"', b'"-Infinity"'} or b"e" in raw.lower() for raw in written)
    plain = plain and not any(one.dtype is INT64 and len(raw) > 20 for one, raw in zip(cells, written, strict=True))
    assert not plain or pattern.fullmatch(b"[%b]" % b",".join(written)) is not None


def test_an_array_with_anything_nested_has_no_pattern() -> None:
    assert plain_array([STRING, array_of(STRING)]) is None
    assert plain_array([]) is None
