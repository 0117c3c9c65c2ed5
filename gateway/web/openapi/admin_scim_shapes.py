"""What SCIM's operations send and answer: the three kinds of resources with an example of each, and errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.errors import AccessUnavailable, Code
from gateway.web.openapi.parts import Example, Node, flag, listing, mapping, record, ref, text, whole
from gateway.web.openapi.problems import problem_refs

BASE = "/api/scim/v2"
CORE, MESSAGES = "urn:ietf:params:scim:schemas:core:2.0:", "urn:ietf:params:scim:api:messages:2.0:"
EXTENSION = "urn:ietf:params:scim:schemas:extension:tecton:1.0:Group"
ID, _AT = "2819c223-7f76-453a-919d-413861904646", "2026-01-31T16:40:23.674137Z"
_ROLES = [{"type": "workspace_prod", "value": "consumer"}]


@dataclass(frozen=True, slots=True)
class Kind:
    """`said`: what a client sends of one; `told`: what there is besides in an answer."""

    name: str
    schema: str
    unique: str
    said: Mapping[str, Any]
    told: Mapping[str, Any]

    def sent(self) -> Node:
        return {"schemas": [self.schema], **self.said}

    def answered(self) -> Node:
        place = f"https://features.example{BASE}/{self.name}s/{ID}"
        meta = {"resourceType": self.name, "created": _AT, "lastModified": _AT, "location": place}
        return {"schemas": [self.schema], "id": ID, **self.said, **self.told, "meta": meta}

    def listed(self) -> Node:
        return {name: value for name, value in self.answered().items() if name not in {"roles", "groups", "members"}}


USER = Kind(
    "User",
    f"{CORE}User",
    "userName",
    {
        "userName": "ann@example.com",
        "name": {"familyName": "Lee", "givenName": "Ann"},
        "active": True,
        "emails": [{"type": "work", "primary": True, "value": "ann@example.com"}],
        "roles": _ROLES,
    },
    {"groups": []},
)
GROUP = Kind(
    "Group",
    f"{CORE}Group",
    "displayName",
    {
        "displayName": "ml-team",
        "members": [{"type": "User", "display": "ann@example.com", "value": ID}],
        "roles": _ROLES,
        EXTENSION: {"description": "Who trains models", "idpMappingNames": ["ml"]},
    },
    {},
)
ACCOUNT = Kind(
    "ServiceAccount",
    "urn:ietf:params:scim:schemas:tecton:1.0:ServiceAccount",
    "name",
    {"name": "scoring", "active": True, "description": "reads features for the scoring model", "roles": _ROLES},
    {"groups": []},
)
KINDS: Sequence[Kind] = (USER, GROUP, ACCOUNT)
QUERY = {
    "filter": "RFC 7644's grammar, or `<attribute> eq <value>` without quotes for the unique name.",
    "startIndex": "From 1; what is less is 1.",
    "count": "At most so many; what is less than 0 is 0. Left out: all of them, up to 10,000.",
    "sortBy": "An attribute with one value. Left out: in the order they were made.",
    "sortOrder": "`ascending` or `descending`.",
}
SHOWN = {
    "attributes": "Only these, separated by commas.",
    "excludedAttributes": "All but these, separated by commas.",
}


def schemas() -> Node:
    role = record("", ("type",), type=text(), value={"type": ["string", "null"]})
    member = record("", type=text(enum=["User", "ServiceAccount"]), display=text(), value=text())
    meta = record("Of the gateway.", resourceType=text(), created=_instant(), lastModified=_instant(), location=text())
    every = {"schemas": listing(text()), "id": text(), "externalId": text("The client's own."), "meta": meta, "roles": listing(role)}
    groups = listing(record("", type=text(), display=text(), value=text()), "Changed at the groups.")
    name = record("", familyName=text(), givenName=text())
    email = record("", type=text(), primary=flag(), value=text())
    extension = record("", description=text(), idpMappingNames=listing(text()))
    patch = record("", ("op",), op=text("`add`, `remove` or `replace`."), path=text(), value={})
    return {
        "ScimUser": record(
            "", ("userName",), **every, userName=_unique(), name=name, active=flag(), emails=listing(email, "One is kept."), groups=groups
        ),
        "ScimGroup": record("", ("displayName",), **every, displayName=_unique(), members=listing(member), **{EXTENSION: extension}),
        "ScimServiceAccount": record(
            "",
            ("name",),
            **every,
            name=_unique(256),
            active=flag("false: its credentials are not taken; what it holds is kept."),
            description=text(maxLength=4096),
            groups=groups,
            apiKey=text("Told where it is created, and never again."),
        ),
        "ScimList": record(
            "",
            ("schemas", "totalResults", "startIndex", "itemsPerPage", "Resources"),
            schemas=listing(text()),
            totalResults=whole(),
            startIndex=whole(),
            itemsPerPage=whole(),
            Resources=listing(mapping({}), "Without members, roles and groups, unless `attributes` names them."),
        ),
        "ScimSearch": record(
            "",
            **{name: whole(told) if name in {"startIndex", "count"} else text(told) for name, told in QUERY.items()},
            **{name: listing(text(), told) for name, told in SHOWN.items()},
        ),
        "ScimPatch": record("All of them are done, or none.", ("Operations",), Operations=listing(patch)),
        "ScimDescription": mapping({}, "As RFC 7643 §5 to §7 have it."),
        "ScimError": record(
            "RFC 7644 §3.12's, and every other door's.",
            ("schemas", "status", "detail"),
            schemas=listing(text()),
            status=text("The HTTP status."),
            scimType=text("Why, by the RFC's keywords."),
            detail=text("What went wrong. Names attributes, never their values."),
            error=text("The same as `detail`."),
            message=text("The same as `detail`."),
            code=whole("The gRPC status code that belongs to the error."),
        ),
    }


def _unique(most: int = 512) -> Node:
    return text("No two have the same. Case matters.", minLength=1, maxLength=most)


def _instant() -> Node:
    return {"type": "string", "format": "date-time"}


def _content(schema: str, **examples: Example) -> Node:
    spelled = {name: {"summary": one.summary, "value": one.value} for name, one in examples.items()}
    return {"application/scim+json": {"schema": ref(schema), "examples": spelled}}


def scim_body(schema: str, example: Example) -> Node:
    content = _content(schema, one=example)
    return {"required": True, "content": content | {"application/json": content["application/scim+json"]}}


def scim_answer(description: str, schema: str, example: Example) -> Node:
    return {"description": description, "content": _content(schema, one=example)}


def scim_refusals(texts: Mapping[int, tuple[str, str | None]], *, body: bool) -> Node:
    codes = {400: Code.INVALID_ARGUMENT, 404: Code.NOT_FOUND, 409: Code.ALREADY_EXISTS, 503: Code.UNAVAILABLE}
    meanings = {
        400: "It cannot be done as it stands; `scimType` says why.",
        404: "There is no such resource.",
        409: "The name is taken.",
        503: "The store of access control cannot be read or written, so nothing was changed.",
    }
    told = {
        str(status): scim_answer(meanings[status], "ScimError", Example(meanings[status], _error(status, codes[status], *said)))
        for status, said in {**texts, 503: (AccessUnavailable().message, None)}.items()
    }
    return told | problem_refs((401, 403, 413, 500) if body else (401, 403, 500))


def _error(status: int, code: Code, message: str, scim_type: str | None) -> Node:
    said = {"schemas": [f"{MESSAGES}Error"], "status": str(status), "detail": message, "error": message, "message": message}
    return said | {"code": code.value} | ({} if scim_type is None else {"scimType": scim_type})
