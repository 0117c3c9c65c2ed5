"""Two requests share a cached answer where they ask for the same, however they are spelled, and never where they do not (design §4.3).

What is asked for is said once more here, with types, by lines that know nothing of the gateway's keys; what was shared is what the origin
was not asked again.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.features import BOOLEAN, FLOAT64, INT64, STRING, TIMESTAMP, Kind, array_of, map_of, struct_of
from tests.harness.cluster import ALICE, Cluster, Service
from tests.harness.houses import House, cluster_settings, open_house

JOIN_KEYS = {"text": STRING, "number": INT64, "share": FLOAT64, "flag": BOOLEAN, "day": TIMESTAMP, "turn": STRING}
CONTEXT = {
    "note": STRING,
    "count": INT64,
    "amount": FLOAT64,
    "sure": BOOLEAN,
    "tags": array_of(STRING),
    "by_name": map_of(INT64),
    "place": struct_of(x=FLOAT64, n=INT64),
}
TYPED = Service(JOIN_KEYS, CONTEXT, (("all.x", INT64),), {"all": tuple(JOIN_KEYS)})
NAMED = "/v1/workspaces/prod/feature-services/typed"
V2 = "/api/v2/workspaces/prod/feature-services/typed"
DOORS = {
    "named": f"{NAMED}/features",
    "named batch": f"{NAMED}/features:batch",
    "tecton": "/api/v1/feature-service/get-features",
    "tecton short": "/v1/feature-service/get-features",
    "tecton batch": "/api/v1/feature-service/get-features-batch",
    "tecton v2": f"{V2}/get-features",
    "tecton v2 batch": f"{V2}/get-features-batch",
}
NFC, NFD = "caf\u00e9", "cafe\u0301"
LARGEST, SMALLEST = 2**63 - 1, -(2**63)
turns = count()


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """One for all: each example has keys of its own."""
    with Cluster() as cluster:
        cluster.services["prod", "typed"] = TYPED
        cluster.rights[ALICE].add("typed")
        with open_house(cluster_settings(cluster.url, auth={"grant_life_s": 1e6}, cache={"early_refresh": 0}), ALICE) as house:
            yield house


class Row(NamedTuple):
    """What is asked for, as typed values."""

    join_keys: Mapping[str, Any]
    context: Mapping[str, Any]

    @property
    def identity(self) -> str:
        """Of the values and their types alone. In a join key zero has no sign: a store looks up by what is equal."""
        keys = {name: 0.0 if value == 0.0 and type(value) is float else value for name, value in self.join_keys.items()}
        return repr((sorted(keys.items()), sorted((name, _ordered(value)) for name, value in self.context.items())))


def _ordered(value: Any) -> Any:
    return sorted(value.items()) if isinstance(value, dict) else value


# Few of each, much alike, so that two rows often agree in most of what they say
TEXTS = st.sampled_from(
    ["1", "01", "1.0", "true", "null", "", " ", "NaN", NFC, NFD, "\u212b", "\u00c5", "😀", "\x00", "a:b", '"', "\\u0031", "ﬁ", "fi"]
)
NUMBERS = st.sampled_from([0, 1, -1, 2**53, 2**53 + 1, LARGEST, LARGEST - 1, SMALLEST, SMALLEST + 1])
SHARES = st.sampled_from([0.0, -0.0, 1.0, 1.0000000000000002, 2.0**53, 5e-324, 1e300, "NaN", "Infinity", "-Infinity"])
FLAGS = st.booleans()
DAYS = st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.0Z", "2026-01-01T01:00:00+01:00", "2026-01-02T00:00:00Z"])


def or_null(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(values, values, st.none())


join_keys = st.fixed_dictionaries(
    {"text": or_null(TEXTS), "number": or_null(NUMBERS), "share": or_null(SHARES), "flag": or_null(FLAGS), "day": or_null(DAYS)}
)
contexts = st.fixed_dictionaries(
    {
        "note": or_null(TEXTS),
        "count": or_null(NUMBERS),
        "amount": or_null(SHARES),
        "sure": or_null(FLAGS),
        "tags": or_null(st.lists(or_null(TEXTS), max_size=2)),
        "by_name": or_null(st.dictionaries(TEXTS, or_null(NUMBERS), max_size=2)),
        "place": or_null(st.fixed_dictionaries({"x": or_null(SHARES), "n": or_null(NUMBERS)})),
    }
)
rows = st.builds(Row, join_keys, contexts)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Row, Row]:
    """Two rows that are the same, or differ in a value or two."""
    one = draw(rows)
    keys, context, other = dict(one.join_keys), dict(one.context), draw(rows)
    for name in draw(st.lists(st.sampled_from([*other.join_keys, *other.context]), max_size=2)):
        (keys if name in keys else context)[name] = (other.join_keys if name in keys else other.context)[name]
    return one, Row(keys, context)


def spelled(draw: st.DrawFn, value: Any, kind: Kind | None = None) -> Any:
    """A typed value as JSON may have it: int64 as a number or as its digits, whole floats as integers, structs as lists."""
    if type(value) is int and draw(FLAGS):
        return str(value)
    if type(value) is float and value.is_integer() and abs(value) < 2**53 and str(value) != "-0.0" and draw(FLAGS):
        return int(value)
    if isinstance(value, dict):
        if kind is Kind.STRUCT and draw(FLAGS):
            return [spelled(draw, value[name]) for name, _ in CONTEXT["place"].fields]
        return shuffled(draw, {name: spelled(draw, one) for name, one in value.items()})
    return value


def shuffled(draw: st.DrawFn, members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: members[name] for name in draw(st.permutations(list(members)))}


def cased(draw: st.DrawFn, camel: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in camel) if draw(FLAGS) else camel


@st.composite
def requests(draw: st.DrawFn, row: Row) -> tuple[str, bytes]:
    """A door, and a body that asks for this row there."""
    door = draw(st.sampled_from(list(DOORS)))
    keys = shuffled(draw, {name: spelled(draw, value) for name, value in row.join_keys.items()})
    context = shuffled(draw, {name: spelled(draw, value, CONTEXT[name].kind) for name, value in row.context.items()})
    if door.startswith("named"):
        asked = shuffled(draw, {cased(draw, "joinKeys"): keys, cased(draw, "requestContext"): context})
        body: Any = {"rows": [asked]} if door.endswith("batch") else asked
    else:
        asked = shuffled(draw, {cased(draw, "joinKeyMap"): keys, cased(draw, "requestContextMap"): context})
        where = {cased(draw, "featureServiceName"): "typed", cased(draw, "workspaceName"): "prod"}
        body = {"params": where | ({cased(draw, "requestData"): [asked]} if door.endswith("batch") else asked)}
    text = json.dumps(body, ensure_ascii=draw(FLAGS), indent=draw(st.sampled_from([None, 1])))
    return DOORS[door], text.encode()


def fetched(house: House) -> int:
    return sum(len(fetch.rows) for fetch in house.origin.fetches)


def ask(house: House, path: str, body: bytes) -> httpx.Response:
    reply = house.client.post(path, content=body)
    assert reply.status_code == 200, (path, body, reply.text)
    return reply


@given(pairs(), st.data())
def test_requests_share_an_answer_where_they_ask_for_the_same_and_only_there(
    house: House, pair: tuple[Row, Row], data: st.DataObject
) -> None:
    turn = f"turn {next(turns)}"
    first, second = (Row({**row.join_keys, "turn": turn}, row.context) for row in pair)
    before = fetched(house)
    ask(house, *data.draw(requests(first)))
    assert fetched(house) == before + 1
    ask(house, *data.draw(requests(second)))
    again = fetched(house) - before - 1
    assert again == (0 if first.identity == second.identity else 1)
    for row in (first, second):  # and what was told apart stays so
        ask(house, *data.draw(requests(row)))
    assert fetched(house) == before + 1 + again


@given(st.lists(pairs(), min_size=1, max_size=5))
def test_rows_of_one_batch_share_an_answer_where_they_are_the_same_and_only_there(house: House, chosen: list[tuple[Row, Row]]) -> None:
    turn = f"turn {next(turns)}"
    asked = [Row({**row.join_keys, "turn": turn}, row.context) for pair in chosen for row in pair]
    before = fetched(house)
    body = {"rows": [{"joinKeys": dict(row.join_keys), "requestContext": dict(row.context)} for row in asked]}
    ask(house, DOORS["named batch"], json.dumps(body).encode())
    assert fetched(house) - before == len({row.identity for row in asked})


KEYS = '"text":"t","number":1,"share":1.0,"flag":true,"day":null,"turn":"refused"'
GOOD_CONTEXT = '"note":"n","count":1,"amount":1.0,"sure":true,"tags":[],"by_name":{},"place":null'
DEEP = '{"a":' * 33 + "1" + "}" * 33


def bodies(keys: str, context: str) -> dict[str, str]:
    """A request on every door, of raw text."""
    tecton = f'"joinKeyMap":{{{keys}}},"requestContextMap":{{{context}}}'
    where = '"featureServiceName":"typed","workspaceName":"prod"'
    named = f'{{"joinKeys":{{{keys}}},"requestContext":{{{context}}}}}'
    single, batch = f'{{"params":{{{where},{tecton}}}}}', f'{{"params":{{{where},"requestData":[{{{tecton}}}]}}}}'
    return {
        door: {"named": named, "named batch": f'{{"rows":[{named}]}}'}.get(door, batch if door.endswith("batch") else single)
        for door in DOORS
    }


def replaced(text: str, name: str, value: str) -> str:
    members = dict(member.split(":", 1) for member in text.split(","))
    return ",".join(f"{member}:{value if member == name else told}" for member, told in members.items())


BAD_KEYS = {
    **{
        f"number {value}": replaced(KEYS, '"number"', value)
        for value in (
            "1.0",
            "1e0",
            "true",
            '"01"',
            '"+1"',
            '" 1"',
            '"1.0"',
            '"\uff11"',
            '""',
            str(LARGEST + 1),
            str(SMALLEST - 1),
            f'"{LARGEST + 1}"',
            "1e400",
            "NaN",
            "[1]",
            "{}",
        )
    },
    **{
        f"text {value}": replaced(KEYS, '"text"', value)
        for value in ("1", "true", "1.5", r'"\ud800"', r'"\udc00\ud800"', r'"\ud83dx"', "[]")
    },
    **{f"share {value}": replaced(KEYS, '"share"', value) for value in ("true", '"1.0"', '"nan"', "Infinity", "-Infinity", "1e999")},
    **{f"flag {value}": replaced(KEYS, '"flag"', value) for value in ("1", "0", '"true"', "1.0")},
    **{f"day {value}": replaced(KEYS, '"day"', value) for value in ('"2026-01-01"', "0", '"now"')},
    "the same twice": f'{KEYS},"number":1',
    "two values": f'{KEYS},"number":2',
    "twice, once in escapes": f'{KEYS},"n\\u0075mber":2',
    "one too many": f'{KEYS},"nu\\u006dbers":2',
    "a name that only looks alike": KEYS.replace('"text"', '"t\u0435xt"'),
    "a byte that is not Unicode": KEYS.replace('"t"', '"\udcff"'),
}
BAD_CONTEXTS = {
    "a duplicate": f'{GOOD_CONTEXT},"count":2',
    "a duplicate within": replaced(GOOD_CONTEXT, '"by_name"', '{"a":1\u002c"a":2}'.replace(",", "\x1f")).replace("\x1f", ","),
    "too long within": replaced(GOOD_CONTEXT, '"by_name"', f'{{"a":{LARGEST + 1}}}'),
    "a surrogate within": replaced(GOOD_CONTEXT, '"tags"', r'["\ud800"]'),
    "too deep": replaced(GOOD_CONTEXT, '"by_name"', DEEP),
    "a float for a count": replaced(GOOD_CONTEXT, '"count"', "1.0"),
    "a number for a text": replaced(GOOD_CONTEXT, '"note"', "1"),
    "a number for a boolean": replaced(GOOD_CONTEXT, '"sure"', "1"),
}


@pytest.mark.parametrize(
    ("keys", "context"),
    [*((keys, GOOD_CONTEXT) for keys in BAD_KEYS.values()), *((KEYS, context) for context in BAD_CONTEXTS.values())],
    ids=[*BAD_KEYS, *(f"context: {name}" for name in BAD_CONTEXTS)],
)
def test_what_could_be_taken_for_another_request_is_refused_before_the_origin_is_asked(house: House, keys: str, context: str) -> None:
    before = fetched(house)
    for door, body in bodies(keys, context).items():
        reply = house.client.post(DOORS[door], content=body.encode(errors="surrogateescape"))
        if door == "named batch" and reply.status_code == 200:
            [row] = reply.json()["rows"]
            assert row["error"]["code"] == 3
        else:
            assert reply.status_code == 400, door
    assert fetched(house) == before


@pytest.mark.parametrize("door", DOORS)
def test_the_good_request_of_which_the_refused_ones_are_spoilt_is_answered(house: House, door: str) -> None:
    """That they are refused for what they are refused for."""
    ask(house, DOORS[door], bodies(KEYS, GOOD_CONTEXT)[door].encode())


OPTIONS = [
    {},
    {"aggregationLeadingEdge": "AGGREGATION_MODE_WALL_CLOCK_TIME"},
    {"aggregationLeadingEdge": "AGGREGATION_MODE_LATEST_EVENT_TIME"},
    {"coerceNullCountsToZero": True},
    {"coerceNullCountsToZero": False},
    {"ignoreExtraRequestContextFields": True},
    {"coerceNullCountsToZero": True, "aggregationLeadingEdge": "AGGREGATION_MODE_LATEST_EVENT_TIME"},
]


@pytest.mark.parametrize("path", [DOORS["tecton"], DOORS["tecton v2"]])
def test_options_that_change_values_are_part_of_what_is_asked_for(house: House, path: str) -> None:
    row = json.loads(bodies(replaced(KEYS, '"turn"', f'"turn {next(turns)}"'), GOOD_CONTEXT)["tecton"])["params"]
    before = fetched(house)
    for again in range(2):
        for options in OPTIONS:
            ask(house, path, json.dumps({"params": row | {"requestOptions": options}}).encode())
        assert fetched(house) == before + len(OPTIONS), again
    ask(house, path, json.dumps({"params": row | {"requestOptions": {"latencyBudgetMs": 5_000, "readFromCache": True}}}).encode())
    assert fetched(house) == before + len(OPTIONS), "these change nothing"
