"""Service accounts, as SCIM tells and writes them."""

from sqlalchemy import func

from gateway.access.accounts import MOST_DESCRIPTION, MOST_NAME, is_name
from gateway.access.principals import Principal, PrincipalKind
from gateway.access.scim import resources
from gateway.access.scim.columns import columns_of, groups, roles
from gateway.access.scim.kinds import Kind, Told
from gateway.access.scim.texts import fitting
from gateway.access.store.tables import ServiceAccount
from gateway.errors import InvalidScim

_KIND = PrincipalKind.SERVICE_ACCOUNT


def kind() -> Kind[ServiceAccount, resources.ServiceAccount]:
    return Kind(
        _KIND,
        ServiceAccount,
        resources.ServiceAccount,
        (resources.SERVICE_ACCOUNT,),
        ("name", "name"),
        {
            **columns_of(ServiceAccount, _KIND),
            "name": ServiceAccount.name.expression,
            "active": ServiceAccount.is_active.expression,
            "description": func.nullif(ServiceAccount.description, ""),
        },
        {"groups": groups(ServiceAccount, _KIND), "roles": roles(ServiceAccount, _KIND)},
        make,
        tell,
        write,
    )


def make(identity: str, maker: Principal | None, now_us: int) -> ServiceAccount:
    return ServiceAccount(
        id=identity,
        credentials="api_key",
        creator_kind=None if maker is None else maker.kind.value,
        creator_id=None if maker is None else maker.id,
        created_us=now_us,
        updated_us=now_us,
    )


def tell(row: ServiceAccount) -> Told:
    return {"name": row.name, "active": row.is_active, "description": row.description or None}


def write(row: ServiceAccount, said: resources.ServiceAccount) -> None:
    """Held to what every other door holds accounts to (`access.accounts`)."""
    row.name = fitting(said.name, "name", MOST_NAME) or ""
    if not is_name(row.name):
        raise InvalidScim("invalidValue", "name: all of it blank, or with a control character")
    row.is_active = said.active is not False
    row.description = fitting(said.description, "description", MOST_DESCRIPTION) or ""
