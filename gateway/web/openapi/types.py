"""What several doors share: data types, typed names, statuses, the path to a feature service. Enumerations are the domain's own."""

from gateway.features import Kind, Status
from gateway.web.openapi.examples import SERVICE, WORKSPACE
from gateway.web.openapi.parts import Node, described, listing, path_parameter, record, ref, text

_NESTED = (Kind.ARRAY, Kind.STRUCT, Kind.MAP)


def schemas() -> Node:
    return {
        "DataType": described(
            {"oneOf": [ref(name) for name in ("ScalarType", "ArrayType", "StructType", "MapType")]},
            "The type of a feature or key, nested as deep as the feature is.",
        ),
        "ScalarType": record("", ("type",), type=text(enum=[kind.value for kind in Kind if kind not in _NESTED])),
        "ArrayType": record("", ("type", "elementType"), type=_only(Kind.ARRAY), elementType=ref("DataType")),
        "StructType": record(
            "Fields are ordered.", ("type", "fields"), type=_only(Kind.STRUCT), fields=listing(ref("TypedName"), minItems=1)
        ),
        "MapType": record(
            "Keys are strings.",
            ("type", "keyType", "valueType"),
            type=_only(Kind.MAP),
            keyType=record("", ("type",), type=_only(Kind.STRING)),
            valueType=ref("DataType"),
        ),
        "TypedName": record("", ("name", "dataType"), name=text(), dataType=ref("DataType")),
        "Status": text(
            "Whether a value is there. `MISSING_DATA`: the feature store has none for these keys, or none young enough; the value is null. "
            "`CACHED_…`: the same, answered from a cache. `TIME_OUT`: the latency budget was spent before this value was there.",
            enum=[status.value for status in Status],
        ),
    }


def in_service(**operations: Node) -> Node:
    """The operations, by verb, of a path that names the workspace and the feature service."""
    parameters = [
        path_parameter("workspace", "The workspace.", WORKSPACE),
        path_parameter("feature_service", "The feature service's name, percent-encoded where it needs to be.", SERVICE),
    ]
    return {"parameters": parameters, **operations}


def _only(kind: Kind) -> Node:
    return {"type": "string", "const": kind.value}
