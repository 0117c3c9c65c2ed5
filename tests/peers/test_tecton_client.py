"""Tecton's own Python client, unmodified, over a socket."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tecton_client import AsyncTectonClient, MetadataOptions, RequestOptions, TectonClient
from tecton_client.exceptions import (
    BadRequestError,
    ForbiddenError,
    GatewayTimeoutError,
    NotFoundError,
    ResourceExhaustedError,
    ServiceUnavailableError,
    TectonHttpException,
    UnauthorizedError,
)

from tests.doors.flights import CONTEXT, KEYS
from tests.harness.cluster import ALICE, BOB, FRAUD, Act, Cluster, html, refuse
from tests.harness.houses import READER, STRANGER, House, demo_settings, open_house

FLIGHT: dict[str, Any] = {"feature_service_name": "flight_delay", "join_key_map": KEYS, "request_context_map": CONTEXT}
PAYMENT: dict[str, Any] = {
    "feature_service_name": "fraud",
    "join_key_map": {"user_id": "ann", "merchant_id": 5417},
    "request_context_map": {"amount": 250},
}

ALL: MetadataOptions = MetadataOptions.all()  # type: ignore[no-untyped-call]  # the client types half of itself


@contextmanager
def official(house: House, api_key: str = READER, workspace: str | None = "prod") -> Iterator[TectonClient]:
    with httpx.Client() as connections:
        yield TectonClient(url=house.url, api_key=api_key, default_workspace_name=workspace, client=connections)


@asynccontextmanager
async def official_async(house: House, api_key: str = READER) -> AsyncIterator[AsyncTectonClient]:
    async with httpx.AsyncClient() as connections:
        yield AsyncTectonClient(url=house.url, api_key=api_key, default_workspace_name="prod", client=connections)


def test_features_come_as_a_dictionary_with_int64_as_int(demo: House) -> None:
    with official(demo) as client:
        answer = client.get_features(**FLIGHT, metadata_options=ALL)
        features: dict[str, Any] = answer.get_features_dict()
        assert type(features["airport_departures.flight_count_1d_10m"]) is int
        assert features["plane_history.departed_at_last_7d_1h"].endswith("Z")
        assert isinstance(features["plane_history.dest_last_5_7d_1h"], list)
        assert features["planned_flight.longer_than_usual"] is False
        again = client.get_features(**FLIGHT, metadata_options=ALL)
        assert again.get_features_dict() == features
        assert len(demo.origin.fetches) == 1


@pytest.mark.anyio
async def test_the_asynchronous_client_gets_the_same(busy: House) -> None:
    with official(busy) as client:
        told = client.get_features(**FLIGHT, metadata_options=ALL)
    async with official_async(busy) as client_async:
        answer = await client_async.get_features(**FLIGHT, metadata_options=ALL)
        assert answer.get_features_dict() == told.get_features_dict()
        metadata = await client_async.get_feature_service_metadata(feature_service_name="flight_delay")
        assert [one["name"] for one in metadata.feature_values] == list(told.get_features_dict())
        with pytest.raises(NotFoundError):
            await client_async.get_features(**FLIGHT | {"feature_service_name": "nothing"})


@pytest.fixture(scope="module")
def busy(demo_dir: Path) -> Iterator[House]:
    with open_house(demo_settings(demo_dir)) as house:
        yield house


def test_every_metadata_option_is_understood(demo: House) -> None:
    with official(demo) as client:
        answer = client.get_features(**FLIGHT, metadata_options=ALL)
        assert answer.metadata is not None
        item = answer.metadata["features"][-1]
        assert set(item) == {"name", "dataType", "effectiveTime", "status", "description", "tags"}
        assert answer.slo_info is not None
        assert answer.slo_info.slo_eligible is True
        assert answer.slo_info.slo_ineligibility_reasons is None
        assert answer.slo_info.store_response_size_bytes > 0


@pytest.mark.parametrize(
    ("option", "key"),
    [
        ("include_names", "name"),
        ("include_data_types", "dataType"),
        ("include_effective_times", "effectiveTime"),
        ("include_serving_status", "status"),
        ("include_feature_descriptions", "description"),
        ("include_feature_tags", "tags"),
    ],
)
def test_each_metadata_option_alone(busy: House, option: str, key: str) -> None:
    with official(busy) as client:
        fresh = RequestOptions(read_from_cache=False)
        answer = client.get_features(**FLIGHT, metadata_options=MetadataOptions(**{option: True}), request_options=fresh)
        assert answer.metadata is not None
        assert set(answer.metadata["features"][-1]) == {key}
        assert answer.slo_info is None


def test_the_slo_option_alone_gives_slo_info_and_no_features(busy: House) -> None:
    with official(busy) as client:
        answer = client.get_features(**FLIGHT, metadata_options=MetadataOptions(include_slo_info=True))
        assert answer.slo_info is not None
        assert answer.metadata is not None
        assert "features" not in answer.metadata


def test_every_request_option_is_taken(fraud: House, cluster: Cluster) -> None:
    options = RequestOptions(
        read_from_cache=False,
        write_to_cache=False,
        ignore_extra_request_context_fields=True,
        latency_budget_ms=1_500,
        coerce_null_counts_to_zero=True,
    )
    with official(fraud, ALICE) as client:
        client.get_features(**PAYMENT, request_options=options, allow_partial_results=True)
        client.get_features(**PAYMENT)
    first, second = cluster.params()
    budget = first["requestOptions"].pop("latencyBudgetMs")
    assert 1_000 < budget <= 1_500
    assert first["requestOptions"] == {
        "readFromCache": False,
        "writeToCache": False,
        "ignoreExtraRequestContextFields": True,
        "coerceNullCountsToZero": True,
    }
    assert first["allowPartialResults"] is True
    assert "requestOptions" not in second
    assert "allowPartialResults" not in second


def test_every_data_type_arrives_as_the_client_knows_it(fraud: House, cluster: Cluster) -> None:
    with official(fraud, ALICE) as client:
        for _ in range(2):  # from the cluster, then from the cache
            features: dict[str, Any] = client.get_features(**PAYMENT, metadata_options=ALL).get_features_dict()
            assert list(features) == [name for name, _ in FRAUD.features]
            assert type(features["types.an_int64"]) is int
            assert features["types.a_nan"] == "NaN"
            assert features["types.an_infinity"] == "-Infinity"
            assert features["types.nothing"] is None
            assert [type(one) for one in features["types.ints"]] == [int, type(None), int]
            assert {name: type(one) for name, one in features["types.a_struct"].items()} == {"x": float, "n": int, "s": str}
            assert type(features["types.structs"][0]["n"]) is int
            assert features["types.structs"][1] is None
            assert type(features["types.a_map"]["first"]) is int
            assert features["types.a_matrix"][0][1] is None
            assert features["types.a_boolean"] in (True, False)
            assert features["basket.over"] == 150
        assert len(cluster.asked()) == 1
    assert cluster.params()[0]["joinKeyMap"] == {"user_id": "ann", "merchant_id": "5417"}


def test_metadata_is_understood(fraud: House) -> None:
    with official(fraud, ALICE) as client:
        told = client.get_feature_service_metadata(feature_service_name="fraud")
    assert told.input_join_keys == [
        {"name": "user_id", "dataType": {"type": "string"}},
        {"name": "merchant_id", "dataType": {"type": "int64"}},
    ]
    assert told.input_request_context_keys == [{"name": "amount", "dataType": {"type": "float64"}}]
    assert [one["name"] for one in told.feature_values] == [name for name, _ in FRAUD.features]


def test_the_quick_start_works_where_names_are_included_by_default(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir, include_names_by_default=True)) as house, official(house) as client:
        features = client.get_features(**FLIGHT).get_features_dict()
        assert type(features["airport_departures.flight_count_1d_10m"]) is int


def test_the_quick_start_fails_as_it_does_before_a_cluster_where_they_are_not(busy: House) -> None:
    with official(busy) as client:
        answer = client.get_features(**FLIGHT)
        assert len(answer.result.features) > 20
        with pytest.raises(ValueError, match="include_names and include_data_types must be set to True"):
            answer.get_features_dict()


def test_the_workspace_may_be_named_per_call(busy: House) -> None:
    with official(busy, workspace=None) as client:
        assert client.get_features(**FLIGHT, workspace_name="prod").result.features
        with pytest.raises(NotFoundError, match="Unknown feature_service_name: flight_delay for workspace: elsewhere"):
            client.get_features(**FLIGHT, workspace_name="elsewhere")


@pytest.mark.parametrize(
    ("api_key", "request_", "kind", "text"),
    [
        (READER, FLIGHT | {"join_key_map": {"origin": "JFK"}}, BadRequestError, "400 Bad Request: Missing required join key: dest"),
        (
            READER,
            FLIGHT | {"request_context_map": None},
            BadRequestError,
            "400 Bad Request: Expected key not found: \\[planned_air_time\\]",
        ),
        ("fgk_unknown", FLIGHT, UnauthorizedError, "401 Unauthorized: invalid 'Tecton-key' authorization header"),
        (STRANGER, FLIGHT, ForbiddenError, "403 Forbidden: Not Authorized"),
        (READER, FLIGHT | {"feature_service_name": "nothing"}, NotFoundError, "404 Not Found: Unknown feature_service_name: nothing"),
    ],
)
def test_what_the_gateway_refuses_is_the_clients_own_exception(
    busy: House, api_key: str, request_: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with official(busy, api_key) as client, pytest.raises(kind, match=f"^{text}"):
        client.get_features(**request_)


@pytest.mark.parametrize(
    ("act", "kind", "text"),
    [
        (refuse(400, "Unexpected JSON type", 3), BadRequestError, "400 Bad Request: Unexpected JSON type"),
        (refuse(401, "invalid key", 16), UnauthorizedError, "401 Unauthorized: invalid key"),
        (refuse(403, "Not Authorized", 7), ForbiddenError, "403 Forbidden: Not Authorized"),
        (refuse(404, "no materialized data", 5), NotFoundError, "404 Not Found: no materialized data"),
        (refuse(429, "retry later", 8, Retry_After="3"), ResourceExhaustedError, "429 Too Many Requests: retry later"),
        (
            refuse(503, "503 Service Temporarily Unavailable", 14),
            ServiceUnavailableError,
            "503 Service Unavailable: 503 Service Temporarily",
        ),
        (refuse(504, "Timed out", 4), GatewayTimeoutError, "504 Gateway Timeout: Timed out"),
        (html(503), ServiceUnavailableError, "503 Service Unavailable: The feature store is unavailable."),
        (html(504), GatewayTimeoutError, "504 Gateway Timeout: The feature store timed out."),
        (html(429), ResourceExhaustedError, "429 Too Many Requests: The feature store asks for fewer requests."),
        (Act(close=True), ServiceUnavailableError, "503 Service Unavailable: The feature store broke off its answer."),
        (Act(cut=100), ServiceUnavailableError, "503 Service Unavailable: The feature store broke off its answer."),
        (Act(raw=b"garbage\r\n\r\n"), ServiceUnavailableError, "503 Service Unavailable: The feature store broke off its answer."),
        (refuse(500, "Internal", 13), TectonHttpException, "502 Bad Gateway: "),
        (Act(body=b"{}"), TectonHttpException, "502 Bad Gateway: "),
        (html(200), TectonHttpException, "502 Bad Gateway: "),
    ],
)
def test_what_the_cluster_refuses_is_the_clients_own_exception_too(
    fraud: House, cluster: Cluster, act: Act, kind: type[Exception], text: str
) -> None:
    calls = 2 if act.close else 1  # a connection that closes unheard is tried once more
    cluster.act("get-features", *[act] * calls)
    with official(fraud, ALICE) as client:
        with pytest.raises(kind, match=f"^{text}") as caught:
            client.get_features(**PAYMENT)
        assert type(caught.value) is kind
        # and nothing of it was kept
        assert client.get_features(**PAYMENT).result.features
    assert len(cluster.asked()) == calls + 1


@pytest.mark.anyio
async def test_the_asynchronous_client_raises_the_same(fraud: House, cluster: Cluster) -> None:
    async with official_async(fraud, BOB) as client:
        with pytest.raises(ForbiddenError, match="403 Forbidden: Not Authorized"):
            await client.get_features(**PAYMENT)
    cluster.act("get-features", html(503))
    async with official_async(fraud, ALICE) as client:
        with pytest.raises(ServiceUnavailableError):
            await client.get_features(**PAYMENT)


def test_metadata_errors_are_the_clients_own_exceptions(fraud: House, cluster: Cluster) -> None:
    cluster.act("metadata", refuse(429, "Metadata exceeded the concurrent request limit, please retry later", 8), html(503))
    with official(fraud, ALICE) as client:
        with pytest.raises(ResourceExhaustedError, match="Metadata exceeded the concurrent request limit"):
            client.get_feature_service_metadata(feature_service_name="fraud")
        with pytest.raises(ServiceUnavailableError):
            client.get_feature_service_metadata(feature_service_name="fraud")
        with pytest.raises(NotFoundError):
            client.get_feature_service_metadata(feature_service_name="nothing")
        assert client.get_feature_service_metadata(feature_service_name="fraud").feature_values


def test_a_wildcard_service_is_described_and_its_reads_are_refused_as_the_client_knows_it(fraud: House, cluster: Cluster) -> None:
    """The client has no query-features: what it is told names the way."""
    with official(fraud, ALICE) as client:
        told = client.get_feature_service_metadata(feature_service_name="visits")
        assert told.input_join_keys == [{"name": "user_id", "dataType": {"type": "string"}}]
        with pytest.raises(BadRequestError, match="query-features"):
            client.get_features(feature_service_name="visits", join_key_map={"user_id": "ann"}, request_context_map={"amount": 1.0})
    assert not cluster.asked()
