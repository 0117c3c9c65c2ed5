"""What a client can ask of the SCIM doors themselves (RFC 7644 §4): what they can do, which resources there are, and their schemas."""

from collections.abc import Sequence
from typing import Any

import msgspec
from scim2_models import (
    URI,
    AuthenticationScheme,
    Bulk,
    ChangePassword,
    Context,
    ETag,
    Extension,
    Filter,
    Meta,
    Mutability,
    Patch,
    Reference,
    Required,
    Resource,
    ResourceType,
    Schema,
    SchemaExtension,
    ServiceProviderConfig,
    Sort,
)

from gateway.access.scim import resources
from gateway.access.scim.kinds import Told
from gateway.access.scim.places import PREFIX, Places
from gateway.access.scim.queries import LIST, MOST
from gateway.errors import NotFound

_SCHEMAS: Sequence[type[Resource[Any]] | type[Extension]] = (*resources.MODELS, resources.GroupExtension)


def service_provider_config(places: Places) -> Told:
    keys = AuthenticationScheme(
        type=AuthenticationScheme.Type.oauthbearertoken,
        name="API key",
        description="The API key of a service account that is an admin: `Authorization: Tecton-key <key>`, or `Bearer <key>`.",
        primary=True,
    )
    config = ServiceProviderConfig(
        patch=Patch(supported=True),
        bulk=Bulk(supported=False, max_operations=0, max_payload_size=0),
        filter=Filter(supported=True, max_results=MOST),
        change_password=ChangePassword(supported=False),
        sort=Sort(supported=True),
        etag=ETag(supported=False),
        authentication_schemes=[keys],
    )
    return _dumped(config, places, "ServiceProviderConfig", "ServiceProviderConfig")


def resource_types(places: Places) -> Sequence[Told]:
    return [_resource_type(model, places) for model in resources.MODELS]


def schemas(places: Places, *, roles: bool) -> Sequence[Told]:
    """`roles`: whether they can be changed over SCIM."""
    own = [_schema(model, roles=roles) for model in _SCHEMAS]
    described = [*own, *(model.to_schema() for model in (Schema, ResourceType, ServiceProviderConfig))]
    return [_dumped(schema, places, "Schema", f"Schemas/{schema.id}") for schema in described]


def listed(found: Sequence[Told]) -> Told:
    return {"schemas": [LIST], "totalResults": len(found), "startIndex": 1, "itemsPerPage": len(found), "Resources": found}


def one_of(found: Sequence[Told], identity: str) -> Told:
    """Raises NotFound."""
    for one in found:
        if str(one["id"]).lower() == identity.lower():
            return one
    raise NotFound("There is no resource type or schema with this id.")


def _resource_type(model: type[Resource[Any]], places: Places) -> Told:
    name = str(model.__schema__).rpartition(":")[2]
    extensions = [SchemaExtension(schema_=Reference[URI](urn), required=False) for urn in model.get_extension_models()]
    told = ResourceType(
        id=name,
        name=name,
        description=(model.__doc__ or model.__mro__[1].__doc__ or name).strip(),
        endpoint=Reference[URI](f"/{name}s"),
        schema_=Reference[URI](str(model.__schema__)),
        schema_extensions=extensions,
    )
    return _dumped(told, places, "ResourceType", f"ResourceTypes/{name}") | {"schemaExtensions": _extensions(model)}


def _extensions(model: type[Resource[Any]]) -> list[dict[str, object]]:
    return [{"schema": str(urn), "required": False} for urn in model.get_extension_models()]


def _schema(model: type[Resource[Any]] | type[Extension], *, roles: bool) -> Schema:
    """As the model says, but for what is narrower than the model: it also reads what providers send all the same."""
    schema = model.to_schema()
    active, given = schema.get_attribute("active"), schema.get_attribute("roles")
    if active is not None and model is resources.User:
        active.mutability = Mutability.read_only  # it can be said, and then the user is no more: no value that could be written
    elif active is not None:
        active.required = Required.true  # it cannot be unset: left out, it is true
    if given is not None and not roles:
        given.mutability = Mutability.read_only
    return schema


def _dumped(told: Resource[Any], places: Places, resource_type: str, place: str) -> Told:
    told.meta = Meta(resource_type=resource_type, location=f"{places.base}{PREFIX}/{place}")
    return msgspec.json.decode(told.model_dump_json(scim_ctx=Context.RESOURCE_QUERY_RESPONSE), type=Told)
