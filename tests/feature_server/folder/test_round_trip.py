"""Over all repositories there are, and over all texts."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gateway.feature_server.definitions import Repository
from gateway.feature_server.folder import load
from gateway.feature_server.validation import DefinitionError, find_mistakes
from tests.feature_server.folder.shop import SHOP, shop, write
from tests.feature_server.folder.strategies import COMPUTE, REPOSITORIES, compute, dump, flow

NO_WAIT = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
PIECES = st.sampled_from(
    [
        "\n",
        "  ",
        "- ",
        ": ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "'",
        '"',
        "&a ",
        "*a",
        "!!int ",
        "? ",
        "|\n",
        ">\n",
        "#",
        "---\n",
        "...\n",
        "%YAML 9\n",
        "\t",
        "~",
        "<<: ",
    ]
)
SECTIONS = st.sampled_from(
    ["workspace", "sources", "feature_views", "views", "name", "columns", "aggregations", "window", "tags", "inputs"]
)


def without_functions(repository: Repository) -> Repository:
    return Repository(
        tuple(
            replace(workspace, on_demand=tuple(replace(view, function=compute) for view in workspace.on_demand))
            for workspace in repository.workspaces
        )
    )


@NO_WAIT
@given(REPOSITORIES, st.booleans())
def test_a_repository_that_is_written_down_is_read_again(tmp_path: Path, repository: Repository, in_one_line: bool) -> None:  # noqa: FBT001 - hypothesis
    assume(not find_mistakes(repository))  # nearly all are valid as they are drawn
    texts = [flow(dump(one)) if in_one_line else yaml.safe_dump(dump(one), sort_keys=False) for one in repository.workspaces]
    write(tmp_path, {"functions.py": COMPUTE, "all.yaml": "\n---\n".join(texts)})
    assert without_functions(load(tmp_path)) == repository


@st.composite
def spoilt(draw: st.DrawFn) -> str:
    text = SHOP
    for _ in range(draw(st.integers(1, 3))):
        first, length = draw(st.integers(0, len(text))), draw(st.integers(0, 40))
        text = text[:first] + draw(PIECES | SECTIONS | st.text(max_size=4) | st.just("")) + text[first + length :]
    return text


@NO_WAIT
@given(spoilt() | st.text() | st.lists(PIECES | SECTIONS, max_size=20).map("".join))
def test_no_text_makes_anything_but_a_repository_or_its_mistakes(tmp_path: Path, text: str) -> None:
    shop(tmp_path)
    (tmp_path / "shop.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    told: tuple[str, ...] = ()
    try:
        load(tmp_path)
    except DefinitionError as error:
        told = error.mistakes or ("nothing",)
    assert all(mistake.startswith(("shop.yaml:", f"{tmp_path}: there are no definitions")) for mistake in told)
    "".join(told).encode()


@NO_WAIT
@given(st.binary(max_size=60))
def test_no_bytes_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "shop.yaml").write_bytes(content)
    with pytest.raises(DefinitionError):
        load(tmp_path)


@NO_WAIT
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SECTIONS | st.text(max_size=5), inner, max_size=4),
        max_leaves=12,
    )
)
def test_no_data_does(tmp_path: Path, data: object) -> None:
    (tmp_path / "shop.yaml").write_text(
        yaml.safe_dump({"workspace": "shop", "feature_views": [data], "sources": [data], "feature_services": [data]})
    )
    with pytest.raises(DefinitionError):
        load(tmp_path)
