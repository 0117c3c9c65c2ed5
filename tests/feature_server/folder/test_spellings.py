import pytest
from hypothesis import given

from gateway.feature_server.definitions import spell_duration
from gateway.feature_server.folder.documents import Plain
from gateway.feature_server.folder.spellings import MAX_NESTING, parse_duration, parse_time_limit, parse_type, parse_whole
from gateway.features import BOOLEAN, INT64, STRING, DataType, array_of, map_of, struct_of
from tests.feature_server.folder.strategies import DATA_TYPES, SECONDS


@given(DATA_TYPES)
def test_every_type_comes_back_from_its_text(dtype: DataType) -> None:
    assert parse_type(str(dtype)) == dtype
    assert parse_type(str(dtype).replace(" ", "")) == dtype


@given(SECONDS)
def test_every_duration_comes_back_from_its_spelling(seconds: int) -> None:
    assert parse_duration(spell_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        (" array < int64 > ", array_of(INT64)),
        ("struct<>", struct_of()),
        ("map<string,map<string,boolean>>", map_of(map_of(BOOLEAN))),
        ("struct<a:string,b:struct<a:int64>>", struct_of(a=STRING, b=struct_of(a=INT64))),
    ],
)
def test_spaces_do_not_matter(text: str, dtype: DataType) -> None:
    assert parse_type(text) == dtype


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must be a type"),
        ("int64?", "must be a type"),
        ("Int64", "there is no Int64; did you mean int64?"),
        ("bool", "there is no bool; did you mean boolean?"),
        ("list<string>", "there is no list; did you mean array?"),
        ("wxyz", "there is no wxyz; there are array"),
        ("array<>", "a name is missing"),
        ("array", "a '<' is missing"),
        ("array<int64", "a '>' is missing"),
        ("map<int64, string>", "keys are not string"),
        ("map<string>", "a ',' is missing"),
        ("struct<int64>", "a ':' is missing"),
        ("struct<a: int64, a: int64>", "two fields a"),
        ("struct<:>", "a field that has no name"),
        ("int64 int64", "more after its end: int64"),
        ("array<" * (MAX_NESTING + 1) + "int64" + ">" * (MAX_NESTING + 1), "nested more than 16 levels deep"),
        ("array<" * 100_000, "nested more than 16 levels deep"),
    ],
)
def test_what_is_no_type(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told.replace("?", r"\?")):
        parse_type(text)


@pytest.mark.parametrize("text", ["10", "m", "1.5h", "1h30m", "-1h", "1H", "1 h", "99999999999s", "1٣s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration, such as 90s, 10m, 1h, 7d or 2w"):
        parse_duration(Plain(text))


def test_time_limits_and_numbers() -> None:
    assert (parse_time_limit("50ms"), parse_time_limit("2s")) == (0.05, 2.0)
    assert (parse_whole(Plain("0")), parse_whole(Plain("-5"))) == (0, -5)
    for text in ("05", "+5", "5.0", "0x5", "٣", "5 ", "1" * 5_000):
        with pytest.raises(ValueError, match="must be a whole number"):
            parse_whole(Plain(text))
