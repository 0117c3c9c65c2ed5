"""The Tecton-compatible doors to feature services: V1, where the body names the service, and V2, where the path does (contract §2-§5)."""

from gateway.web.openapi import tecton_examples as examples
from gateway.web.openapi.parts import (
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
from gateway.wire.requests import TECTON_BATCH_LIMIT

_V1 = "Tecton feature service V1"
_V2 = "Tecton feature service V2"
TAGS = (
    {
        "name": _V1,
        "description": (
            "Also served without the `/api` prefix, as `/v1/feature-service/…`, where Tecton's Python SDK looks for it. Every field is "
            "accepted in camelCase, as written here, and in snake_case, even mixed in one body; unknown fields are ignored; null means "
            "unset. Answers are in camelCase."
        ),
    },
    {
        "name": _V2,
        "description": "The same with the workspace and the feature service in the path, which wins over names in the body.",
    },
)
_V2_BASE = "/api/v2/workspaces/{workspace}/feature-services/{feature_service}"


def paths() -> Node:
    return {
        "/api/v1/feature-service/get-features": {
            "post": _get_features("getFeatures", _V1, "GetFeaturesRequest", examples.read(in_path=False))
        },
        "/api/v1/feature-service/get-features-batch": {
            "post": _get_features_batch("getFeaturesBatch", _V1, "GetFeaturesBatchRequest", examples.batch(in_path=False))
        },
        "/api/v1/feature-service/metadata": {"post": _metadata()},
        f"{_V2_BASE}/get-features": in_service(
            post=_get_features("getFeaturesV2", _V2, "GetFeaturesV2Request", examples.read(in_path=True))
        ),
        f"{_V2_BASE}/get-features-batch": in_service(
            post=_get_features_batch("getFeaturesBatchV2", _V2, "GetFeaturesBatchV2Request", examples.batch(in_path=True))
        ),
        f"{_V2_BASE}/metadata": in_service(get=_metadata_v2()),
    }


def _get_features(operation_id: str, tag: str, body: str, read: examples.Exchange) -> Node:
    return operation(
        operation_id,
        tag=tag,
        summary="Read the features of one set of join keys",
        description=(
            "Values come in the order of the service's metadata: on-demand views first, then the others, by name. Without metadata options "
            "the answer has no `metadata`, unless the gateway is set to name features by default."
        ),
        body=request_body(body, **read.requests),
        responses={"200": answer("The feature vector.", "GetFeaturesResponse", **read.answers)} | problem_refs(BODY_STATUSES),
    )


def _get_features_batch(operation_id: str, tag: str, body: str, batch: examples.Exchange) -> Node:
    return operation(
        operation_id,
        tag=tag,
        summary="Read the features of up to 10 sets of join keys",
        description=(
            "One result per item, in order. An item that cannot be answered fails the whole request; the named batch answers row by row."
        ),
        body=request_body(body, **batch.requests),
        responses={"200": answer("One feature vector per item.", "GetFeaturesBatchResponse", **batch.answers)}
        | problem_refs(BODY_STATUSES),
    )


_METADATA_SUMMARY = "Describe a feature service: its keys and its features, with their types"


def _metadata() -> Node:
    return operation(
        "getMetadata",
        tag=_V1,
        summary=_METADATA_SUMMARY,
        body=request_body("MetadataRequest", **examples.metadata().requests),
        responses={"200": answer("What the feature service takes and answers.", "MetadataResponse", **examples.metadata().answers)}
        | problem_refs(BODY_STATUSES),
    )


def _metadata_v2() -> Node:
    return operation(
        "getMetadataV2",
        tag=_V2,
        summary=_METADATA_SUMMARY,
        responses={"200": answer("What the feature service takes and answers.", "MetadataResponse", **examples.metadata().answers)}
        | problem_refs(READ_STATUSES),
    )


def schemas() -> Node:
    return _requests() | _options() | _answers() | _slo()


def _requests() -> Node:
    locator, by_path = _locator(), _names_in_the_way()
    read, batch = _read_fields(), _batch_fields()
    return {
        "GetFeaturesRequest": record("", ("params",), params=record("", **locator, **read)),
        "GetFeaturesV2Request": record("", ("params",), params=record("", **by_path, **read)),
        "GetFeaturesBatchRequest": record("", ("params",), params=record("", **locator, **batch)),
        "GetFeaturesBatchV2Request": record("", ("params",), params=record("", **by_path, **batch)),
        "MetadataRequest": record("", ("params",), params=record("", **locator)),
        "RequestData": record("One item of a batch.", **_keys()),
        "KeyValue": {
            "type": ["string", "integer", "null"],
            "description": "A string key as a string; an int64 key as a decimal string or an integral number; null.",
        },
        "ContextValue": {
            "description": (
                "By the type of the key: string; boolean; int64 as a decimal string or an integral number; float64 as a number or one of "
                '"NaN", "Infinity", "-Infinity"; timestamp as RFC 3339 text; array as a list; struct as a list in field order or an '
                "object; map as an object; null."
            )
        },
    }


def _locator() -> dict[str, Node]:
    return {
        "workspaceName": text("The workspace. Where it is left out, the gateway's default: `prod`, unless it is set otherwise."),
        "featureServiceName": text(
            "The feature service. Exactly one of its name and its id must be given; other locators of Tecton's are refused."
        ),
        "featureServiceId": text("The feature service's id, 32 hexadecimal digits.", pattern="^[0-9a-f]{32}$"),
    }


def _names_in_the_way() -> dict[str, Node]:
    note = "Tolerated; the path decides."
    return {"workspaceName": text(note), "featureServiceName": text(note)}


def _keys() -> dict[str, Node]:
    return {
        "joinKeyMap": _or_null(mapping(ref("KeyValue"), "Join keys by name.")),
        "requestContextMap": _or_null(mapping(ref("ContextValue"), "Request context by name, for on-demand views.")),
    }


def _or_null(schema: Node) -> Node:
    return schema | {"type": [schema["type"], "null"]}


def _read_fields() -> dict[str, Node]:
    partial = (
        "When the feature store's limit on the size of one answer is exceeded: true answers what there is, marked by "
        "`metadata.partialResults`; false is an error."
    )
    return _keys() | {
        "metadataOptions": ref("MetadataOptions"),
        "requestOptions": ref("RequestOptions"),
        "allowPartialResults": flag(partial, default=False),
    }


def _batch_fields() -> dict[str, Node]:
    return {
        "requestData": listing(ref("RequestData"), minItems=1, maxItems=TECTON_BATCH_LIMIT),
        "metadataOptions": ref("MetadataOptions"),
        "requestOptions": ref("RequestOptions"),
    }


def _options() -> Node:
    return {
        "MetadataOptions": record(
            "What the answer says besides values.",
            includeNames=flag("Names, as `view.feature`.", default=False),
            includeDataTypes=flag("Data types.", default=False),
            includeEffectiveTimes=flag("The time of the newest value behind each feature.", default=False),
            includeServingStatus=flag("Statuses.", default=False),
            includeSloInfo=flag("How the feature store served the read.", default=False),
            includeFeatureDescriptions=flag("Descriptions, where features have one.", default=False),
            includeFeatureTags=flag("Tags.", default=False),
            includeTypes=flag("The former name of `includeDataTypes`.", default=False, deprecated=True),
        ),
        "RequestOptions": record(
            "How the read is served. Unknown options are tolerated.",
            readFromCache=flag("false: no cached value is read. Writing is not affected.", default=True),
            writeToCache=flag("false: no value is put into the cache. Reading is not affected.", default=True),
            ignoreExtraRequestContextFields=flag("true: fields of a struct that its type does not have are ignored.", default=False),
            latencyBudgetMs=_numeric(
                "When this is spent, the answer is 200 with what there is; the rest is null with status `TIME_OUT`. Milliseconds, sensibly "
                "100 to 2000."
            ),
            coerceNullCountsToZero=flag("true: counts of nothing are 0, not null. Left out: the feature store's own setting."),
            aggregationLeadingEdge=text(
                "What the newest edge of an aggregation window is.",
                enum=["AGGREGATION_MODE_WALL_CLOCK_TIME", "AGGREGATION_MODE_LATEST_EVENT_TIME"],
                deprecated=True,
            ),
            highWatermarkOverride=text("Internal to the feature store. Such a read does not use the cache.", format="date-time"),
        ),
    }


def _numeric(description: str) -> Node:
    """Numbers may be sent as text too (contract §1.2)."""
    return {"oneOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[0-9]{1,9}$"}], "description": description}


def _answers() -> Node:
    value: Node = {
        "description": (
            'int64 as a decimal string; float64 and float32 as a number or one of "NaN", "Infinity", "-Infinity"; boolean; string; '
            "timestamp as RFC 3339 text in UTC; array as a list; struct as a list in field order; map as an object; null where there is no "
            "value."
        )
    }
    result = record("", ("features",), features=listing(ref("Value"), "In the order of the metadata."))
    return {
        "Value": value,
        "Result": result,
        "GetFeaturesResponse": record(
            "",
            ("result",),
            result=ref("Result"),
            metadata=record(
                "Only what was asked for. Not there where nothing was.",
                features=listing(ref("FeatureMetadata"), "One per value, in the same order."),
                sloInfo=ref("SloInfo"),
                partialResults=flag("The answer is incomplete, as `allowPartialResults` allows."),
            ),
        ),
        "FeatureMetadata": record("", **_labels(), status=ref("Status")),
        "GetFeaturesBatchResponse": record(
            "",
            ("result", "metadata"),
            result=listing(ref("Result"), "One per item, in order."),
            metadata=record(
                "Only what was asked for. Empty where nothing was.",
                features=listing(ref("BatchFeatureMetadata"), "One per feature, for all items."),
                sloInfo=listing(ref("SloInfo"), "One per item."),
                batchSloInfo=described(ref("SloInfo"), "Of the batch as a whole, without sizes."),
            ),
        ),
        "BatchFeatureMetadata": record("", **_labels(), status=listing(ref("Status"), "One per item.")),
        "MetadataResponse": _metadata_answer(),
    }


def _labels() -> dict[str, Node]:
    return {
        "name": text("`view.feature`"),
        "dataType": ref("DataType"),
        "effectiveTime": text("RFC 3339 in UTC. Not there for on-demand features and for cached values.", format="date-time"),
        "description": text(),
        "tags": mapping({"type": "string"}),
    }


def _metadata_answer() -> Node:
    return record(
        "",
        ("featureValues",),
        featureServiceType=text(enum=["DEFAULT", "WILDCARD"]),
        inputJoinKeys=listing(ref("TypedName")),
        inputRequestContextKeys=listing(ref("TypedName")),
        outputJoinKeys=listing(ref("TypedName"), "Wildcard services only."),
        featureValues=listing(ref("TypedName"), "In the order of the values of every read."),
    )


def _slo() -> Node:
    reasons = (
        "UNKNOWN",
        "DYNAMODB_RESPONSE_SIZE_LIMIT_EXCEEDED",
        "REDIS_RESPONSE_SIZE_LIMIT_EXCEEDED",
        "REDIS_LATENCY_LIMIT_EXCEEDED",
    )
    return {
        "SloInfo": record(
            "How the feature store served the read. Times in seconds, sizes in bytes; only what it said.",
            sloEligible=flag("Whether the read counts for the feature store's service level."),
            sloServerTimeSeconds=number("The time that counts for it: without waiting for on-demand functions."),
            serverTimeSeconds=number("All time in the feature store."),
            storeMaxLatency=number("The slowest query of the online store, in seconds."),
            storeResponseSizeBytes=whole("What was read from the online store."),
            dynamodbResponseSizeBytes=whole("The same, where the online store is DynamoDB."),
            storeTimeSeconds=number("Time in the online store."),
            sloIneligibilityReasons=listing({"type": "string", "enum": list(reasons)}, "Only where the read does not count."),
        )
    }
