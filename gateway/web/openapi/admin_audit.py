"""The audit log's door."""

from gateway.settings import Paths
from gateway.web.openapi.admin_problems import refusals
from gateway.web.openapi.parts import Example, Node, answer, listing, operation, record, ref, text, whole

_TAG = "Audit"
TAGS = (
    {"name": _TAG, "description": "What was done to whom, by whom, and how it ended. For admins. Credentials and values are not in it."},
)
_SOUGHT = {
    "actor": "An id or a name.",
    "action": "Such as `service_account.create`.",
    "target": "Such as `service_account/…`, whole, or the start of one that ends in `/`.",
    "outcome": "`done`, `denied` or `refused`.",
    "since": "An RFC 3339 instant.",
    "until": "An RFC 3339 instant, itself not included.",
    "before": "The `next` of the page before.",
    "limit": "Up to 1,000 entries; 100 where it is not said.",
}


def paths(_places: Paths) -> Node:
    return {"/v1/audit": {"get": _read()}}


def schemas() -> Node:
    actor = record("", ("kind", "id", "name", "credential"), **{name: text() for name in ("kind", "id", "name", "credential")})
    return {
        "AuditEntry": record(
            "",
            ("id", "at", "actor", "action", "target", "outcome", "detail"),
            id=whole(),
            at={"type": "string", "format": "date-time"},
            actor=actor,
            action=text(),
            target=text(),
            outcome=text(enum=["done", "denied", "refused"]),
            detail=text("What else there is to know, without values."),
            requestId={"type": ["string", "null"]},
        ),
        "AuditResponse": record(
            "", ("entries",), entries=listing(ref("AuditEntry")), next=whole("Where the next page begins. Missing: there is none.")
        ),
    }


def _read() -> Node:
    entry = {
        "id": 7,
        "at": "2026-01-31T16:40:23.674137Z",
        "actor": {"kind": "service_account", "id": "0d5f…", "name": "admin", "credential": "b7Qz0Lm3XcVw"},
        "action": "service_account.create",
        "target": "service_account/b51f8d0a8c5f4b7ba61c3d0f4c1f6a2e",
        "outcome": "done",
        "detail": "credentials: oauth",
        "requestId": None,
    }
    return operation(
        "readAudit",
        tag=_TAG,
        summary="Read the audit log, newest first",
        responses={"200": answer("The entries that fit.", "AuditResponse", one=Example("One", {"entries": [entry]}))}
        | refusals({400: "limit: not a whole number from 1"}, body=False),
    ) | {
        "parameters": [
            {"name": name, "in": "query", "required": False, "description": meaning, "schema": {"type": "string"}}
            for name, meaning in _SOUGHT.items()
        ]
    }
