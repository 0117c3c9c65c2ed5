"""Which group a path is of, and which paths are none."""

import posixpath
import re
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import InvalidRequest, NotFound, UnknownRoute
from gateway.origins.targets import FORWARDED, GROUPS, METHODS, OTHER, Targets, whole
from gateway.settings import Forward

ALL = Targets([group.name for group in GROUPS])
DOCUMENTED = [(group, path) for group in GROUPS for path in group.paths]


def plain(template: str) -> str:
    return template.replace("{path}", "a/b")


def test_each_group_has_its_switch_and_the_documented_ones_are_on() -> None:
    names = [group.name for group in GROUPS]
    assert len(set(names)) == len(names)
    assert set(names) == {name for name, field in Forward.model_fields.items() if field.annotation is bool}
    assert Forward().groups == set(names) - {OTHER.name}
    assert Targets(Forward().groups).groups == GROUPS[:-1]


@pytest.mark.parametrize(("group", "template"), DOCUMENTED, ids=[path for _, path in DOCUMENTED])
def test_a_path_is_found_in_its_group_by_its_template(group: object, template: str) -> None:
    assert ALL.find(plain(template).encode()) == (group, template)
    assert FORWARDED.fullmatch(plain(template))


@pytest.mark.parametrize(("group", "template"), DOCUMENTED[:-1], ids=[path for _, path in DOCUMENTED[:-1]])
def test_a_group_that_is_off_is_off_in_every_spelling(group: object, template: str) -> None:
    off = Targets([one.name for one in GROUPS if one is not group])
    path = plain(template)
    with pytest.raises(NotFound, match=r"forward\.\w+ is off"):
        off.find(path.encode())
    head, _, last = path.rpartition("/")
    for spelled in (
        path.upper(),
        f"{path[:6]}%{ord(path[6]):02x}{path[7:]}",
        path.replace("/", ";x/", 2),
        f"{path};x",
        f"{path}/",
        f"{head};/{last}",
    ):
        with pytest.raises((NotFound, InvalidRequest)):
            off.find(spelled.encode())


def test_every_group_documents_methods_that_are_forwarded() -> None:
    for group, path in DOCUMENTED:
        assert group.paths[path]
        assert set(group.paths[path]) <= set(group.methods) <= set(METHODS)
        assert group.meaning


SEGMENTS = st.text(st.characters(min_codepoint=1, max_codepoint=0x2FF), max_size=5) | st.sampled_from(
    ["..", ".", "", "a", "\uff0e\uff0e", "\uff0f"]
)


@given(segments=st.lists(SEGMENTS, max_size=4), depth=st.integers(0, 4), slashes=st.booleans())
@example(segments=["..", "feature-service"], depth=1, slashes=True)
def test_what_is_found_reads_the_same_at_every_depth_of_decoding(segments: list[str], depth: int, *, slashes: bool) -> None:
    rest = "/".join(segments)
    for _ in range(depth):
        rest = quote(rest, safe="" if slashes else "/")
    path = f"/api/scim/v2/{rest}"
    try:
        group, _ = ALL.find(path.encode())
    except (InvalidRequest, UnknownRoute):
        return
    assert group.name == "scim"
    read = path
    while True:
        assert read.count("/") == path.count("/")
        assert posixpath.normpath(read) == read.rstrip("/")
        assert not re.search(r"[\x00-\x1f\x7f\\]", read)
        if read == (read := unquote(read)):
            break


@given(st.binary(max_size=60))
def test_any_bytes_are_a_path_or_an_error_of_the_callers(rest: bytes) -> None:
    for path in (rest, b"/" + rest, b"/api/" + rest, b"/api/v1/jobs/" + rest):
        try:
            ALL.find(path)
        except (InvalidRequest, NotFound):
            continue


@pytest.mark.parametrize(
    "rest",
    [
        "..",
        "../x",
        "./x",
        "%2e%2e/x",
        ".%2E/x",
        "%252e%252e/x",
        "..;/x",
        "..%3Bx/x",
        "/x",
        "x//y",
        "x%2Fy",
        "x%252fy",
        "x%5cy",
        "x\\y",
        "x%00y",
        "x%0d%0ay",
        "x%7fy",
        "%c0%ae%c0%ae/x",
        "%EF%BC%8E%EF%BC%8E/x",
        "x%EF%BC%8Fy",
        "x%zz",
        "x%2",
        "%2525252525",
        'x"y',
        "x y",
        "x<y>",
        "x" * 8192,
    ],
)
def test_a_path_that_two_could_read_differently_is_refused(rest: str) -> None:
    with pytest.raises(InvalidRequest):
        ALL.find(f"/api/v1/secrets-service/{rest}".encode())


@pytest.mark.parametrize(
    "rest", ["x", "x/", "x:y", "x%20y", "x%25y", "%C3%A9", "x@y;v=1", "...", "..x", "x..", "~", "x%3By", "x%3Fy", "x%23y"]
)
def test_a_path_that_is_only_unusual_is_not(rest: str) -> None:
    assert ALL.find(f"/api/v1/secrets-service/{rest}".encode())[1] == "/api/v1/secrets-service/{path}"


def test_what_is_refused_is_not_repeated() -> None:
    for path in (b"/api/v1/jobs/../canary", b"/api/canary//x", b"/canary", b"/api/canary%00", b"/api/canary%ff", b"/api/canary%25252525"):
        with pytest.raises((InvalidRequest, NotFound)) as refused:
            Targets([]).find(path)
        assert "canary" not in refused.value.message


@pytest.mark.parametrize("query", [b"a=b", b'filter=name%20eq%20"x"', b"a=[1]&b={2}|^`\\", b"%zz%", b"?/?", b"x" * 8192])
def test_a_query_goes_with_its_path_byte_for_byte(query: bytes) -> None:
    assert whole(b"/api/x", query) == b"/api/x?" + query


@pytest.mark.parametrize("query", [b"a b", b"a\r\nb", b"a\x00", b"a#b", b"\xc3\xa9", b"x" * 8193])
def test_a_query_that_cannot_be_one_is_refused(query: bytes) -> None:
    with pytest.raises(InvalidRequest):
        whole(b"/api/x", query)


def test_no_query_adds_nothing() -> None:
    assert whole(b"/api/x", b"") == b"/api/x"
