"""Users, as SCIM tells and writes them."""

from collections.abc import Mapping

from sqlalchemy import literal

from gateway.access.principals import Principal, PrincipalKind
from gateway.access.scim import resources
from gateway.access.scim.columns import columns_of, emails, groups, roles
from gateway.access.scim.kinds import Kind, Told
from gateway.access.scim.texts import KIND_LENGTH, fitting
from gateway.access.store.tables import User


def kind() -> Kind[User, resources.User]:
    return Kind(
        PrincipalKind.USER,
        User,
        resources.User,
        (resources.USER,),
        ("user_name", "userName"),
        {
            **columns_of(User, PrincipalKind.USER),
            "user_name": User.user_name.expression,
            "name.given_name": User.given_name.expression,
            "name.family_name": User.family_name.expression,
            "active": literal(value=True),
        },
        {"emails": emails(), "groups": groups(User, PrincipalKind.USER), "roles": roles(User, PrincipalKind.USER)},
        make,
        tell,
        write,
    )


def make(identity: str, maker: Principal | None, now_us: int) -> User:  # noqa: ARG001 - nobody makes a person
    return User(id=identity, created_us=now_us, updated_us=now_us)


def tell(row: User) -> Told:
    name = {"familyName": row.family_name, "givenName": row.given_name}
    email = {"type": row.email_type, "primary": row.email_primary, "value": row.email}
    return {
        "userName": row.user_name,
        "name": _set(name),
        "active": True,
        "emails": [_set(email)] if row.email is not None else None,
    }


def write(row: User, said: resources.User) -> None:
    row.user_name = fitting(said.user_name, "userName") or ""
    name = said.name or resources.Name()
    row.family_name, row.given_name = fitting(name.family_name, "name.familyName"), fitting(name.given_name, "name.givenName")
    given = [one for one in said.emails or [] if one.value]
    kept = next((one for one in given if one.primary), given[0] if given else resources.Email())
    row.email = fitting(kept.value, "emails.value")
    row.email_type = fitting(kept.type, "emails.type", KIND_LENGTH)
    row.email_primary = kept.primary


def _set(given: Mapping[str, str | bool | None]) -> dict[str, str | bool]:
    return {name: value for name, value in given.items() if value is not None}
