"""On-demand views over wildcard reads: computed in the gateway, for each result from that result's own views."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from gateway.app import Seams, create_app
from gateway.errors import OriginError
from gateway.features import FLOAT64, INT64, STRING, Caller, Feature, Field, Labels, ServiceRef, SloInfo, Status, ViewLayout, ViewValues
from gateway.on_demand import OnDemandView
from gateway.origins.base import WILDCARD, Description, Fetch, Fetched, IngestReply, Queried, QueriedRow, ViewFacts
from gateway.settings import checked
from gateway.wire.values import compile_writer
from tests.doors.flights import problem
from tests.harness.clock import Clock
from tests.harness.serving import serve

SERVICE = ServiceRef("prod", "visits")
PATH = "/v1/workspaces/prod/feature-services/visits/features"
QUERY = "/api/v1/feature-service/query-features"
SEEN = ViewLayout("seen", (Feature("seen.count", INT64), Feature("seen.mean", FLOAT64)))
HIDDEN = ViewLayout("usual", (Feature("usual.amount", FLOAT64),))
Function = Callable[[Mapping[str, Any], Mapping[str, Mapping[str, Any]]], dict[str, Any]]


def over(context: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    mean = inputs["seen"]["mean"]
    return {"mean": None if mean is None else context["amount"] - mean, "usual": context["amount"] - inputs["usual"]["amount"]}


class Shelf:
    """An origin with its results at hand: (day, count, mean) each."""

    single_views = True

    async def follow(self, changed: Callable[[], None]) -> None:
        """It stays what it is."""

    def batch_limit(self, _service: ServiceRef) -> int:
        return 1

    def rows_at_once(self, _service: ServiceRef) -> int:
        return 0

    def __init__(self, results: list[tuple[str | None, int | None, float | None]], function: Function = over) -> None:
        self.results = results
        self.status = Status.PRESENT
        view = OnDemandView(
            "over", function, ("amount",), (("seen", ("mean",)), ("usual", ("amount",))), (("mean", FLOAT64), ("usual", FLOAT64))
        )
        self.told = Description(
            SERVICE,
            (Field("user_id", STRING),),
            (Field("amount", FLOAT64),),
            (*view.features, *SEEN.features),
            WILDCARD,
            (Field("day", STRING),),
            {
                "seen": ViewFacts(("user_id", "day"), ()),
                "usual": ViewFacts(("user_id",), (), emitted=False, features=HIDDEN.features),
            },
            {"over": view},
            {"seen.count": Labels("How often")},
        )
        self.asked: list[Fetch] = []

    def _row(self, day: str | None, *values: Any) -> QueriedRow:
        return QueriedRow((day,), (self._view(SEEN, *values), self._view(HIDDEN, 2.0)))

    def _view(self, layout: ViewLayout, *values: Any) -> ViewValues:
        pairs = [compile_writer(feature.dtype)(value) for feature, value in zip(layout.features, values, strict=True)]
        named = b",".join(b'"%b":%b' % (name.encode(), pair[1]) for name, pair in zip(layout.names, pairs, strict=True))
        return ViewValues(layout, b",".join(pair[0] for pair in pairs), named, (self.status,) * len(layout), (None,) * len(layout))

    async def describe(self, service: ServiceRef, caller: Caller, deadline: float) -> Description:  # noqa: ARG002 - the Protocol's signature
        return self.told

    async def fetch(self, fetch: Fetch) -> Fetched:
        raise OriginError(f"{fetch.service} is not to be fetched")

    async def query(self, fetch: Fetch) -> Queried:
        self.asked.append(fetch)
        rows = self.results[: fetch.max_results]
        return Queried(self.told.output_join_keys, tuple(self._row(*row) for row in rows), SloInfo(), more=len(rows) < len(self.results))

    async def ingest(self, body: bytes, caller: Caller, deadline: float) -> IngestReply:  # noqa: ARG002 - the Protocol's signature
        raise OriginError("nothing is taken in")

    async def ready(self) -> None:
        """Always."""

    async def aclose(self) -> None:
        """Nothing is open."""


@contextmanager
def before(shelf: Shelf) -> Iterator[httpx.Client]:
    settings = checked({"auth": {"mode": "open"}, "queries": {"max_results": 120}})
    app = create_app(settings, Seams(Clock(), shelf, None, {}))
    with serve(app) as running, httpx.Client(base_url=running.url, timeout=30.0) as client:
        yield client


def body(**more: Any) -> dict[str, Any]:
    return {"joinKeys": {"user_id": "ann"}, "requestContext": {"amount": 10}, **more}


def test_each_result_has_what_is_computed_from_its_own_views() -> None:
    with before(Shelf([("mon", 3, 1.5), ("tue", None, None), (None, 5, 4.0)])) as client:
        answer = client.post(f"{PATH}:query", json=body(include=["source", "status"])).json()
        assert [result["joinKeys"] for result in answer["results"]] == [{"day": "mon"}, {"day": "tue"}, {"day": None}]
        assert [list(result["features"].values()) for result in answer["results"]] == [
            [8.5, 8.0, 3, 1.5],
            [None, 8.0, None, None],
            [6.0, 8.0, 5, 4.0],
        ]
        assert answer["results"][0]["source"] == {
            "over.mean": "computed",
            "over.usual": "computed",
            "seen.count": "origin",
            "seen.mean": "origin",
        }


def test_on_the_tecton_door_too_and_hidden_inputs_are_not_served() -> None:
    params = {
        "workspaceName": "prod",
        "featureServiceName": "visits",
        "joinKeyMap": {"user_id": "ann"},
        "requestContextMap": {"amount": 10},
    }
    with before(Shelf([("mon", 3, 1.5)])) as client:
        shown = {"includeNames": True, "includeFeatureDescriptions": True}
        answer = client.post(QUERY, json={"params": {**params, "metadataOptions": shown}}).json()
        assert answer["results"] == [{"features": [8.5, 8.0, "3", 1.5], "joinKeys": ["mon"]}]
        assert answer["metadata"]["features"][2] == {"name": "seen.count", "description": "How often"}
        assert [one["name"] for one in answer["metadata"]["features"]] == ["over.mean", "over.usual", "seen.count", "seen.mean"]


def test_all_stored_views_are_asked_for_whatever_is_served() -> None:
    shelf = Shelf([("mon", 3, 1.5)])
    with before(shelf) as client:
        assert client.post(f"{PATH}:query", json=body(features=["over.usual"])).json()["results"][0]["features"] == {"over.usual": 8.0}
    [asked] = shelf.asked
    assert asked.rows[0].views == {"seen", "usual"}
    assert (dict(asked.rows[0].join_keys), dict(asked.rows[0].context)) == ({"user_id": "ann"}, {"amount": 10.0})
    assert (asked.max_results, asked.want_labels) == (120, False)


def test_an_input_that_timed_out_times_its_result_out() -> None:
    shelf = Shelf([("mon", 3, 1.5)])
    shelf.status = Status.TIME_OUT
    with before(shelf) as client:
        [result] = client.post(f"{PATH}:query", json=body(include=["status", "source"])).json()["results"]
        assert (result["status"]["over.mean"], result["source"]["over.mean"]) == ("TIME_OUT", "timeout")


@pytest.mark.parametrize(
    "function",
    [
        lambda _context, inputs: {"mean": 1 / (inputs["seen"]["mean"] - 4.0), "usual": 1.0},
        lambda _context, inputs: {"mean": "text" if inputs["seen"]["mean"] == 4.0 else 1.0, "usual": 1.0},
    ],
    ids=["raises", "returns the wrong type"],
)
def test_a_function_that_fails_for_one_result_fails_the_query(function: Function) -> None:
    with before(Shelf([("mon", 3, 1.5), ("tue", 3, 4.0)], function)) as client:
        told = problem(client.post(f"{PATH}:query", json=body()))
        assert told[:2] == (400, 9)
        assert "over" in told[2]
        assert "4.0" not in told[2]


def test_the_origin_is_told_the_limit_and_what_is_left_out_is_told() -> None:
    with before(Shelf([(str(number), number, 0.5) for number in range(121)])) as client:
        assert problem(client.post(f"{PATH}:query", json=body()))[:2] == (400, 9)
        answer = client.post(f"{PATH}:query", json=body(allowPartialResults=True)).json()
        assert [result["features"]["seen.count"] for result in answer["results"]] == list(range(120))
        assert answer["partialResults"] is True


def test_with_open_doors_a_wildcard_service_is_still_not_read_otherwise() -> None:
    with before(Shelf([])) as client:
        assert client.post(f"{PATH}:query", json=body()).json() == {"results": []}
        for selection in ([], ["seen.*"]):
            assert problem(client.post(PATH, json=body(features=selection)))[:2] == (400, 3)
