"""Requests and answers of the Tecton doors, with the demo's data."""

from dataclasses import dataclass

from gateway.features import CACHED
from gateway.web.openapi.examples import (
    CONTEXT,
    CONTEXT_TYPES,
    JOIN_KEY_TYPES,
    JOIN_KEYS,
    OTHER_CONTEXT,
    OTHER_JOIN_KEYS,
    SERVED,
    SERVICE,
    WORKSPACE,
    Served,
    positional,
    typed_names,
)
from gateway.web.openapi.parts import Example, Node
from gateway.wire.types import encode_type


@dataclass(frozen=True, slots=True)
class Exchange:
    """Example requests of an operation and the answers they get, under the same names."""

    requests: dict[str, Example]
    answers: dict[str, Example]


_ASK_EVERYTHING = {"includeNames": True, "includeDataTypes": True, "includeEffectiveTimes": True, "includeServingStatus": True}
_ASK_NAMES = {"includeNames": True, "includeServingStatus": True}


def _locator() -> Node:
    return {"workspaceName": WORKSPACE, "featureServiceName": SERVICE}


def read(*, in_path: bool) -> Exchange:
    locator = {} if in_path else _locator()
    keys = {"joinKeyMap": JOIN_KEYS, "requestContextMap": CONTEXT}
    full = {**keys, "metadataOptions": {**_ASK_EVERYTHING, "includeSloInfo": True}, "requestOptions": {"latencyBudgetMs": 500}}
    requests = {
        "with_metadata": Example("Values with names, types, times and statuses", {"params": {**locator, **full}}),
        "values_only": Example("Values alone", {"params": {**locator, **keys}}),
    }
    if not in_path:
        requests["snake_case"] = Example("The same in snake_case, as the Java client sends it", {"params": _snake_case()})
    return Exchange(requests, _read_answers())


def _snake_case() -> Node:
    return {
        "workspace_name": WORKSPACE,
        "feature_service_name": SERVICE,
        "join_key_map": JOIN_KEYS,
        "request_context_map": CONTEXT,
        "metadata_options": {"include_names": True, "include_data_types": True},
    }


def _read_answers() -> dict[str, Example]:
    result = {"features": [positional(one.value, one.feature.dtype) for one in SERVED]}
    slo = {"sloEligible": True, "sloServerTimeSeconds": 0.011, "serverTimeSeconds": 0.013, "storeMaxLatency": 0.006}
    fresh = {"features": [_fresh(one) for one in SERVED], "sloInfo": {**slo, "storeResponseSizeBytes": 2100}}
    cached = {"features": [_cached(one) for one in SERVED]}
    return {
        "with_metadata": Example("From the feature store", {"result": result, "metadata": fresh}),
        "cached": Example("From the cache: no effective times, statuses say so", {"result": result, "metadata": cached}),
        "values_only": Example("No metadata asked for", {"result": result}),
    }


def _fresh(one: Served) -> Node:
    time = {} if one.effective_time is None else {"effectiveTime": one.effective_time}
    return {"name": one.feature.name, "dataType": encode_type(one.feature.dtype), "status": one.status.value, **time}


def _cached(one: Served) -> Node:
    status = one.status if one.effective_time is None else CACHED[one.status]
    return {"name": one.feature.name, "dataType": encode_type(one.feature.dtype), "status": status.value}


def batch(*, in_path: bool) -> Exchange:
    locator = {} if in_path else _locator()
    data = [
        {"joinKeyMap": JOIN_KEYS, "requestContextMap": CONTEXT},
        {"joinKeyMap": OTHER_JOIN_KEYS, "requestContextMap": OTHER_CONTEXT},
    ]
    asked = Example("Two flights", {"params": {**locator, "requestData": data, "metadataOptions": _ASK_NAMES}})
    result = [
        {"features": [positional(one.value, one.feature.dtype) for one in SERVED]},
        {"features": [positional(one.other_value, one.feature.dtype) for one in SERVED]},
    ]
    features = [{"name": one.feature.name, "status": [one.status.value, one.other_status.value]} for one in SERVED]
    answered = Example("Two flights", {"result": result, "metadata": {"features": features}})
    return Exchange({"two_flights": asked}, {"two_flights": answered})


def metadata() -> Exchange:
    described = {
        "featureServiceType": "DEFAULT",
        "inputJoinKeys": typed_names(JOIN_KEY_TYPES),
        "inputRequestContextKeys": typed_names(CONTEXT_TYPES),
        "featureValues": typed_names({one.feature.name: one.feature.dtype for one in SERVED}),
    }
    return Exchange(
        {"by_name": Example("A feature service by name", {"params": _locator()})},
        {"flight_delay": Example("The demo's service", described)},
    )
