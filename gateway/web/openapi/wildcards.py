"""The doors to wildcard feature services: Tecton's query-features (contract §2.5) and the named one beside it.

Their examples are of a service like one that the demo's data would give, `routes`: all destinations of an airport.
"""

from gateway.features import FLOAT64, INT64, STRING
from gateway.web.openapi.examples import WORKSPACE, positional
from gateway.web.openapi.named import INCLUDE
from gateway.web.openapi.parts import (
    Example,
    Node,
    answer,
    flag,
    listing,
    mapping,
    operation,
    path_parameter,
    record,
    ref,
    request_body,
    text,
    whole,
)
from gateway.web.openapi.problems import BODY_STATUSES, problem_refs
from gateway.wire.types import encode_type

_TAG = "Wildcard feature services"
TAGS = (
    {
        "name": _TAG,
        "description": (
            "A feature service whose type is `WILDCARD` is read by some of its join keys, the `inputJoinKeys` of its metadata. The answer "
            "has one result for each set of the others, its `outputJoinKeys`, that the feature store has something for. Nothing of it is "
            "cached."
        ),
    },
)
SERVICE = "routes"
_GIVEN = {"origin": "JFK"}
_FEATURES = {"route_history.air_time_mean_7d_1h": FLOAT64, "route_history.flight_count_7d_1h": INT64}
_FOUND = {"BOS": (39.567567567567565, 112), "LAX": (345.2307692307692, 209), "SFO": (360.3310810810811, 149)}
_TOO_MANY = (
    "More results than the gateway is set to answer are refused with 400 and code 9; with `allowPartialResults` some are left out, and "
    "`partialResults` says so."
)


def paths() -> Node:
    parameters = [
        path_parameter("workspace", "The workspace.", WORKSPACE),
        path_parameter("feature_service", "The wildcard feature service's name, percent-encoded where it needs to be.", SERVICE),
    ]
    return {
        "/api/v1/feature-service/query-features": {"post": _query()},
        "/v1/workspaces/{workspace}/feature-services/{feature_service}/features:query": {"parameters": parameters, "post": _named()},
    }


def _query() -> Node:
    shown = {"includeNames": True, "includeDataTypes": True}
    asked = {"workspaceName": WORKSPACE, "featureServiceName": SERVICE, "joinKeyMap": _GIVEN, "metadataOptions": shown}
    results = [
        {"features": [positional(value, dtype) for value, dtype in zip(values, _FEATURES.values(), strict=True)], "joinKeys": [dest]}
        for dest, values in _FOUND.items()
    ]
    features = [{"name": name, "dataType": encode_type(dtype)} for name, dtype in _FEATURES.items()]
    told = {"results": results, "metadata": {"features": features, "joinKeys": [{"name": "dest", "dataType": encode_type(STRING)}]}}
    return operation(
        "queryFeatures",
        tag=_TAG,
        summary="Read the features of all sets of join keys that go with the given ones",
        description=f"Takes what get-features takes. {_TOO_MANY} Also served without the `/api` prefix.",
        body=request_body("GetFeaturesRequest", routes=Example("All routes from an airport", {"params": asked})),
        responses={"200": answer("The results.", "QueryFeaturesResponse", routes=Example("Three routes", told))}
        | problem_refs(BODY_STATUSES),
    )


def _named() -> Node:
    told = {
        "results": [{"joinKeys": {"dest": dest}, "features": dict(zip(_FEATURES, values, strict=True))} for dest, values in _FOUND.items()]
    }
    return operation(
        "queryFeaturesByName",
        tag=_TAG,
        summary="Read features by name for all sets of join keys that go with the given ones",
        description=f"Each result has its own output join keys, by name, and what a read by name answers. {_TOO_MANY}",
        body=request_body("QueryRequest", routes=Example("All routes from an airport", {"joinKeys": _GIVEN})),
        responses={"200": answer("The results.", "QueryResponse", routes=Example("Three routes", told))} | problem_refs(BODY_STATUSES),
    )


def schemas() -> Node:
    return _tecton_answer() | {
        "QueryRequest": record(
            "",
            joinKeys=mapping(ref("KeyValue"), "The input join keys, by name."),
            requestContext=mapping(ref("ContextValue"), "Request context by name, for on-demand views."),
            features=listing({"type": "string"}, "Which features are wanted: `view.feature`, or `view.*`. Left out: all of the service."),
            include=listing({"type": "string", "enum": list(INCLUDE)}, "What is wanted beside the values."),
            deadlineMs=whole("How long the query may take, in milliseconds; then 504.", minimum=1),
            allowPartialResults=flag("Answer what there is room for, marked by `partialResults`.", default=False),
        ),
        "QueryResponse": record(
            "",
            ("results",),
            results=listing(ref("NamedQueryResult"), "In no particular order."),
            partialResults=flag("Only, and true, where something was left out."),
        ),
        "NamedQueryResult": {
            "allOf": [
                ref("ReadResponse"),
                record("", ("joinKeys",), joinKeys=mapping(ref("NamedValue"), "The output join keys, by name.")),
            ]
        },
    }


def _tecton_answer() -> Node:
    return {
        "QueryFeaturesResponse": record(
            "",
            ("results",),
            results=listing(ref("QueryResult"), "In no particular order."),
            metadata=record(
                "Only what was asked for. Not there where nothing was.",
                features=listing(
                    ref("FeatureMetadata"),
                    "One per value of a result, in the same order, for all results: the status is the worst that any of them has, the "
                    "effective time the newest.",
                ),
                joinKeys=listing(ref("KeyMetadata"), "One per output join key of a result, in the same order."),
                sloInfo=ref("SloInfo"),
                partialResults=flag("The answer is incomplete, as `allowPartialResults` allows."),
            ),
        ),
        "QueryResult": record(
            "",
            ("features", "joinKeys"),
            features=listing(ref("Value"), "In the order of the metadata."),
            joinKeys=listing(ref("Value"), "The output join keys, in the order of the metadata."),
        ),
        "KeyMetadata": record("", name=text(), dataType=ref("DataType")),
    }
