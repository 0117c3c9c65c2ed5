"""What the SCIM doors say of themselves."""

import pytest
from scim2_models import ResourceType, Schema, ScimProvider, ServiceProviderConfig

from gateway.access.scim.discovery import listed, one_of, resource_types, schemas, service_provider_config
from gateway.access.scim.places import Places
from gateway.access.scim.queries import MOST
from gateway.access.scim.resources import GROUP, GROUP_EXTENSION, SERVICE_ACCOUNT, USER
from gateway.errors import NotFound

PLACES = Places("https://gateway.example")


def attributes(schema: str, *, roles: bool = True) -> dict[str, dict[str, object]]:
    told = one_of(schemas(PLACES, roles=roles), schema)["attributes"]
    assert isinstance(told, list)
    return {one["name"]: one for one in told}


def test_a_client_can_make_its_models_of_them() -> None:
    described = [Schema.model_validate(one) for one in schemas(PLACES, roles=True)]
    provider = ScimProvider.from_discovery(
        described,
        [ResourceType.model_validate(one) for one in resource_types(PLACES)],
        ServiceProviderConfig.model_validate(service_provider_config(PLACES)),
    )
    assert {one.name for one in provider.resource_types} == {"User", "Group", "ServiceAccount"}
    assert {USER, GROUP, SERVICE_ACCOUNT, GROUP_EXTENSION} < {str(one.id) for one in described}


def test_what_can_be_done_is_told() -> None:
    config = ServiceProviderConfig.model_validate(service_provider_config(PLACES))
    assert config.patch is not None
    assert config.patch.supported
    assert config.filter is not None
    assert (config.filter.supported, config.filter.max_results) == (True, MOST)
    assert config.meta is not None
    assert config.meta.location == "https://gateway.example/api/scim/v2/ServiceProviderConfig"


def test_schemas_say_what_is_narrower_than_the_models() -> None:
    assert attributes(USER)["active"]["mutability"] == "readOnly"
    assert attributes(SERVICE_ACCOUNT)["active"]["required"] is True
    assert attributes(SERVICE_ACCOUNT)["apiKey"]["mutability"] == "readOnly"
    for schema in (USER, GROUP, SERVICE_ACCOUNT):
        assert attributes(schema)["roles"]["mutability"] == "readWrite"
        assert attributes(schema, roles=False)["roles"]["mutability"] == "readOnly"
    for schema, name in ((USER, "userName"), (GROUP, "displayName"), (SERVICE_ACCOUNT, "name")):
        assert attributes(schema)[name]["uniqueness"] == "server"
        assert attributes(schema)[name]["caseExact"] is True


def test_one_of_them_is_found_by_its_id_in_any_case() -> None:
    assert one_of(resource_types(PLACES), "serviceaccount")["id"] == "ServiceAccount"
    assert one_of(schemas(PLACES, roles=True), USER.upper())["id"] == USER
    with pytest.raises(NotFound):
        one_of(resource_types(PLACES), "Planet")
    assert listed(resource_types(PLACES))["totalResults"] == 3


def test_only_groups_have_an_extension() -> None:
    extensions = {one["name"]: one["schemaExtensions"] for one in resource_types(PLACES)}
    assert extensions == {"User": [], "Group": [{"schema": GROUP_EXTENSION, "required": False}], "ServiceAccount": []}
