"""The named doors: features by name, one row or a batch, and the schema of a feature service (design §3.2)."""

from gateway.errors import Code
from gateway.features import UNCACHED, Source, Status
from gateway.web.openapi.examples import (
    CONTEXT,
    CONTEXT_TYPES,
    JOIN_KEY_TYPES,
    JOIN_KEYS,
    ON_DEMAND_VIEW,
    OTHER_CONTEXT,
    OTHER_JOIN_KEYS,
    SERVED,
    SERVICE,
    VIEW_KEYS,
    WORKSPACE,
    Served,
    typed_names,
)
from gateway.web.openapi.parts import (
    Example,
    Node,
    answer,
    described,
    flag,
    listing,
    mapping,
    number,
    operation,
    record,
    ref,
    request_body,
    text,
    whole,
)
from gateway.web.openapi.problems import BODY_STATUSES, READ_STATUSES, problem_refs
from gateway.web.openapi.types import in_service
from gateway.wire.requests import NAMED_BATCH_LIMIT
from gateway.wire.types import encode_type

_TAG = "Features by name"
TAGS = (
    {
        "name": _TAG,
        "description": (
            "For model services. Values come by name, int64 as a JSON number, struct as an object. Fields are accepted in camelCase, as "
            "written here, and in snake_case; null means unset; unknown fields are refused."
        ),
    },
)
_BASE = "/v1/workspaces/{workspace}/feature-services/{feature_service}"
INCLUDE = ["status", "effectiveTime", "ageSeconds", "source", "dataType"]


def paths() -> Node:
    return {
        f"{_BASE}/features": in_service(post=_read()),
        f"{_BASE}/features:batch": in_service(post=_batch()),
        f"{_BASE}/schema": in_service(get=_schema()),
    }


def _read() -> Node:
    everything = {"joinKeys": JOIN_KEYS, "requestContext": CONTEXT, "include": INCLUDE, "deadlineMs": 200}
    some = {"joinKeys": JOIN_KEYS, "requestContext": CONTEXT, "features": ["route_history.*", "airport_departures.flight_count_1h_10m"]}
    return operation(
        "readFeatures",
        tag=_TAG,
        summary="Read features by name for one set of join keys",
        description="One map by name for each thing asked for in `include`, beside the values themselves.",
        body=request_body(
            "ReadRequest",
            everything=Example("All features, and all there is to say of them", everything),
            selection=Example("One view and one feature of another, values alone", some),
        ),
        responses={
            "200": answer(
                "The features.",
                "ReadResponse",
                everything=Example("All features, and all there is to say of them", _everything()),
                selection=Example("One view and one feature of another, values alone", {"features": _selection()}),
            )
        }
        | problem_refs(BODY_STATUSES),
    )


def _everything() -> Node:
    return {
        "features": _values(),
        "status": {one.feature.name: one.status.value for one in SERVED},
        "effectiveTime": {one.feature.name: one.effective_time for one in SERVED},
        "ageSeconds": {one.feature.name: _age_s(one) for one in SERVED},
        "source": {one.feature.name: _source(one).value for one in SERVED},
        "dataType": {one.feature.name: encode_type(one.feature.dtype) for one in SERVED},
    }


def _values() -> Node:
    return {one.feature.name: one.value for one in SERVED}


def _selection() -> Node:
    return {
        name: value
        for name, value in _values().items()
        if name.startswith("route_history.") or name == "airport_departures.flight_count_1h_10m"
    }


def _source(one: Served) -> Source:
    """In this example the airport's view was in the cache."""
    return Source.CACHE if one.feature.view == "airport_departures" else one.source


def _age_s(one: Served) -> float:
    return 12.4 if _source(one) is Source.CACHE else 0.0


def _batch() -> Node:
    rows = [
        {"joinKeys": JOIN_KEYS, "requestContext": CONTEXT},
        {"joinKeys": {"origin": "JFK"}, "requestContext": CONTEXT},
        {"joinKeys": OTHER_JOIN_KEYS, "requestContext": OTHER_CONTEXT},
    ]
    answered = [
        {"features": _values()},
        {"error": {"message": "Missing required join key: dest", "code": Code.INVALID_ARGUMENT.value}},
        {"features": {one.feature.name: one.other_value for one in SERVED}},
    ]
    return operation(
        "readFeaturesBatch",
        tag=_TAG,
        summary=f"Read features by name for up to {NAMED_BATCH_LIMIT:,} rows",
        description=(
            "One answer per row, in order: its features, or its own error. "
            "`features`, `include`, `maxAgeMs` and `deadlineMs` go for all rows."
        ),
        body=request_body("BatchRequest", three_rows=Example("Three flights, one of them without all join keys", {"rows": rows})),
        responses={
            "200": answer(
                "One answer per row.",
                "BatchResponse",
                three_rows=Example("Two vectors and an error", {"rows": answered}),
            )
        }
        | problem_refs(BODY_STATUSES),
    )


def _schema() -> Node:
    return operation(
        "readSchema",
        tag=_TAG,
        summary="The compiled schema of a feature service",
        description="What the gateway validates requests against, and what it knows of the views behind the service.",
        responses={"200": answer("The schema.", "ServiceSchema", flight_delay=Example("The demo's service", _schema_example()))}
        | problem_refs(READ_STATUSES),
    )


def _schema_example() -> Node:
    stored = [
        {"name": view, "joinKeys": keys, "contextKeys": [], "onDemand": False, "ttlSeconds": 60.0} for view, keys in VIEW_KEYS.items()
    ]
    computed = {
        "name": ON_DEMAND_VIEW,
        "joinKeys": VIEW_KEYS["route_history"],
        "contextKeys": list(CONTEXT),
        "onDemand": True,
        "ttlSeconds": None,
    }
    return {
        "workspace": WORKSPACE,
        "featureService": SERVICE,
        "joinKeys": typed_names(JOIN_KEY_TYPES),
        "requestContext": typed_names(CONTEXT_TYPES),
        "features": [{"name": one.feature.name, "dataType": encode_type(one.feature.dtype), "view": one.feature.view} for one in SERVED],
        "views": [computed, *stored],
    }


def schemas() -> Node:
    return _requests() | _answers() | _schema_answer()


def _requests() -> Node:
    return {
        "ReadRequest": record("", **_keys(), **_choices()),
        "BatchRequest": record(
            "", ("rows",), rows=listing(ref("Row"), "Read as one.", minItems=1, maxItems=NAMED_BATCH_LIMIT), **_choices()
        ),
        "Row": record("", **_keys()),
    }


def _keys() -> dict[str, Node]:
    return {
        "joinKeys": mapping(ref("KeyValue"), "Join keys by name."),
        "requestContext": mapping(ref("ContextValue"), "Request context by name, for on-demand views."),
    }


def _choices() -> dict[str, Node]:
    return {
        "features": listing(
            {"type": "string", "examples": ["route_history.*", "airport_departures.flight_count_1h_10m"]},
            "Which features are wanted: `view.feature`, or `view.*` for all of a view. Left out: all of the service.",
        ),
        "include": listing({"type": "string", "enum": list(INCLUDE)}, "What is wanted beside the values."),
        "maxAgeMs": whole("How old a cached value may be, in milliseconds. 0: fetch now.", minimum=0),
        "deadlineMs": whole(
            "How long the read may take, in milliseconds. What has not come by then is null, with status TIME_OUT and source timeout.",
            minimum=1,
        ),
    }


def _answers() -> Node:
    row = _maps()
    return {
        "ReadResponse": record("One map by feature name for each thing asked for.", ("features",), **row),
        "BatchResponse": record("", ("rows",), rows=listing(ref("RowResponse"), "One per row, in order.")),
        "RowResponse": {"oneOf": [ref("ReadResponse"), record("", ("error",), error=ref("RowError"))]},
        "NamedValue": {
            "description": (
                'int64 as a number; float64 and float32 as a number or one of "NaN", "Infinity", "-Infinity"; boolean; string; timestamp '
                "as RFC 3339 text in UTC; array as a list; struct and map as an object; null where there is no value."
            )
        },
        "NamedStatus": text(
            "Whether a value is there. `MISSING_DATA`: the feature store has none for these keys, or none young enough; the value is null. "
            "`TIME_OUT`: time ran out before this value was there. That a value is cached is said by `source`.",
            enum=[status.value for status in Status if status not in UNCACHED],
        ),
        "Source": text(
            "Where a value came from: the feature store just now, the gateway's cache, a computation in the gateway, or nowhere, because "
            "time ran out.",
            enum=[source.value for source in Source],
        ),
    }


def _maps() -> dict[str, Node]:
    time = {"type": ["string", "null"], "format": "date-time"}
    return {
        "features": mapping(ref("NamedValue"), "Values."),
        "status": mapping(ref("NamedStatus"), "Statuses."),
        "effectiveTime": mapping(time, "The time of the newest value behind each feature, where the feature store gave one."),
        "ageSeconds": mapping({"type": ["number", "null"], "minimum": 0}, "How long ago the feature store answered each value."),
        "source": mapping(ref("Source"), "Where each value came from."),
        "dataType": mapping(ref("DataType"), "Data types."),
    }


def _schema_answer() -> Node:
    names: Node = {"type": ["array", "null"], "items": {"type": "string"}}
    return {
        "ServiceSchema": record(
            "",
            ("workspace", "featureService", "joinKeys", "requestContext", "features", "views"),
            workspace=text(),
            featureService=text(),
            joinKeys=listing(ref("TypedName")),
            requestContext=listing(ref("TypedName")),
            outputJoinKeys=listing(ref("TypedName"), "Wildcard services only."),
            features=listing(ref("SchemaFeature"), "In served order."),
            views=listing(ref("SchemaView")),
        ),
        "SchemaFeature": record("", ("name", "dataType", "view"), name=text("`view.feature`"), dataType=ref("DataType"), view=text()),
        "SchemaView": record(
            "",
            ("name", "joinKeys", "contextKeys", "onDemand", "ttlSeconds"),
            name=text(),
            joinKeys=described(names, "The join keys that its values depend on; null where that is not known, so on all."),
            contextKeys=described(names, "The request context that its values depend on; null where that is not known."),
            onDemand=flag("Whether the gateway computes it."),
            ttlSeconds=number("How long its values are served from the cache; null where they are not stored.")
            | {"type": ["number", "null"]},
        ),
    }
