"""Principals as answers tell of them (contract §8)."""

from collections.abc import Mapping

from gateway.access.administration import Act
from gateway.access.principals import Principal, PrincipalKind
from gateway.access.store.tables import Group, ServiceAccount, User

Shown = Mapping[str, object]
SPELLED = {
    PrincipalKind.USER: "PRINCIPAL_TYPE_USER",
    PrincipalKind.SERVICE_ACCOUNT: "PRINCIPAL_TYPE_SERVICE_ACCOUNT",
    PrincipalKind.GROUP: "PRINCIPAL_TYPE_GROUP",
    PrincipalKind.WORKSPACE: "PRINCIPAL_TYPE_WORKSPACE",
}


def shown(act: Act, principal: Principal) -> Shown | None:
    """None for one that is not there any more."""
    match principal.kind:
        case PrincipalKind.USER:
            user = act.session.get(User, principal.id)
            return None if user is None else {"user": _user(user)}
        case PrincipalKind.SERVICE_ACCOUNT:
            account = act.session.get(ServiceAccount, principal.id)
            return None if account is None else {"service_account": _account(account)}
        case PrincipalKind.GROUP:
            group = act.session.get(Group, principal.id)
            return None if group is None else {"group": {"id": group.id, "name": group.display_name}}
        case PrincipalKind.WORKSPACE:
            return {"workspace": {"name": principal.id}}


def _user(user: User) -> Shown:
    known = {
        "okta_id": user.external_id or user.id,
        "first_name": user.given_name,
        "last_name": user.family_name,
        "login_email": user.user_name,
    }
    return {name: value for name, value in known.items() if value is not None}


def _account(account: ServiceAccount) -> Shown:
    told: dict[str, object] = {
        "id": account.id,
        "name": account.name,
        "description": account.description,
        "is_active": account.is_active,
    }
    if account.creator_kind is not None and account.creator_id is not None:
        told["creator"] = {"principal_type": SPELLED[PrincipalKind(account.creator_kind)], "id": account.creator_id}
    return told
