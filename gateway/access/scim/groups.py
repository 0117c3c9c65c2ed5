"""Groups, as SCIM tells and writes them."""

import msgspec

from gateway.access.principals import Principal, PrincipalKind
from gateway.access.scim import resources
from gateway.access.scim.columns import columns_of, members, roles
from gateway.access.scim.kinds import Kind, Told
from gateway.access.scim.texts import TEXT_LENGTH, fitting
from gateway.access.store.tables import Group


def kind() -> Kind[Group, resources.Group[resources.GroupExtension]]:
    return Kind(
        PrincipalKind.GROUP,
        Group,
        resources.TectonGroup,
        (resources.GROUP, resources.GROUP_EXTENSION),
        ("display_name", "displayName"),
        {
            **columns_of(Group, PrincipalKind.GROUP),
            "display_name": Group.display_name.expression,
            "description": Group.description.expression,
        },
        {"members": members(), "roles": roles(Group, PrincipalKind.GROUP)},
        make,
        tell,
        write,
    )


def make(identity: str, maker: Principal | None, now_us: int) -> Group:  # noqa: ARG001 - a group has no maker
    return Group(id=identity, idp_mapping_names="[]", created_us=now_us, updated_us=now_us)


def tell(row: Group) -> Told:
    names = msgspec.json.decode(row.idp_mapping_names, type=list[str])
    extension = ({"description": row.description} if row.description else {}) | ({"idpMappingNames": names} if names else {})
    return {"displayName": row.display_name, resources.GROUP_EXTENSION: extension or None}


def write(row: Group, said: resources.Group[resources.GroupExtension]) -> None:
    """An extension that is left out, as by a provider that knows nothing of it, stays as it was."""
    row.display_name = fitting(said.display_name, "displayName") or ""
    extension: object = getattr(said, resources.GroupExtension.__name__, None)
    if isinstance(extension, resources.GroupExtension):
        row.description = fitting(extension.description, "description", TEXT_LENGTH)
        given = (fitting(one, "idpMappingNames") for one in extension.idp_mapping_names or [])
        row.idp_mapping_names = msgspec.json.encode([name for name in given if name is not None]).decode()
