"""What a feature service looks like from outside: Tecton's Metadata, and the named door's schema."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from gateway.features import DataType, Feature, Field, ServiceRef, split_views
from gateway.wire.types import decode_type, encode_type


def _keys(fields: Sequence[Field] | Sequence[Feature]) -> list[dict[str, Any]]:
    return [{"name": field.name, "dataType": encode_type(field.dtype)} for field in fields]


def tecton_metadata(
    kind: str, join_keys: Sequence[Field], context_keys: Sequence[Field], features: Sequence[Feature], output_keys: Sequence[Field] = ()
) -> bytes:
    """The reply of Metadata (contract §2.4). `featureValues` stand in the order of `result.features`."""
    told: dict[str, Any] = {
        "featureServiceType": kind,
        "inputJoinKeys": _keys(join_keys),
        "inputRequestContextKeys": _keys(context_keys),
        "featureValues": _keys(features),
    }
    if output_keys:
        told["outputJoinKeys"] = _keys(output_keys)
    return msgspec.json.encode(told)


def named_schema(
    service: ServiceRef,
    join_keys: Sequence[Field],
    context_keys: Sequence[Field],
    features: Sequence[Feature],
    about_view: Callable[[str], Mapping[str, Any]],
    output_keys: Sequence[Field] = (),
) -> bytes:
    """`GET …/schema`: the compiled schema. `about_view` gives what the read path knows of a view, ready for JSON. `output_keys`: those of a
    wildcard service."""
    views = dict.fromkeys(layout.view for layout in split_views(features))
    told = {
        "workspace": service.workspace,
        "featureService": service.name,
        "joinKeys": _keys(join_keys),
        "requestContext": _keys(context_keys),
        "features": [{**item, "view": feature.view} for item, feature in zip(_keys(features), features, strict=True)],
        "views": [{"name": view, **about_view(view)} for view in views],
    }
    if output_keys:
        told["outputJoinKeys"] = _keys(output_keys)
    return msgspec.json.encode(told)


class _TypedName(msgspec.Struct, rename="camel"):
    name: str
    data_type: dict[str, Any]


class _Inputs(msgspec.Struct, rename="camel"):
    join_keys: list[_TypedName]
    request_context: list[_TypedName]


def read_inputs(body: bytes) -> tuple[dict[str, DataType], dict[str, DataType]]:
    """What a read takes, by a named door's schema: join keys and request context, by name. Raises ValueError for what is no schema."""
    told = msgspec.json.decode(body, type=_Inputs)
    join_keys, context = ({one.name: decode_type(one.data_type) for one in part} for part in (told.join_keys, told.request_context))
    return join_keys, context
