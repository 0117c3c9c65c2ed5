"""`GET /v1/audit`: the audit log, newest first."""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from gateway.access import audit
from gateway.access.administration import Act, Administration
from gateway.access.audit import Sought
from gateway.access.roles import EVERYTHING, Action
from gateway.access.store.tables import AuditEntry
from gateway.errors import InvalidRequest
from gateway.web.admin.door import Asked, Told

_PARAMETERS = ("actor", "action", "target", "outcome", "since", "until", "before", "limit")


class ReadAudit:
    """Query: `actor`, `action`, `target`, `outcome`; `since` and `until` (RFC 3339); `limit` (up to 1,000) and `before`, the `next` of the
    page before."""

    def __init__(self, administration: Administration) -> None:
        self._administration = administration

    async def __call__(self, asked: Asked) -> Told:
        wanted = sought(asked.query)

        def work(act: Act) -> list[dict[str, object]]:
            act.require(Action.READ_AUDIT, EVERYTHING)
            return [told(entry) for entry in audit.read(act.session, wanted)]

        entries = await self._administration.look(asked.actor, work)
        more = {"next": entries[-1]["id"]} if len(entries) == wanted.limit else {}
        return Told(msgspec.json.encode({"entries": entries, **more}))


def told(entry: AuditEntry) -> dict[str, object]:
    """An entry as JSON tells it."""
    actor = {"kind": entry.actor_kind, "id": entry.actor_id, "name": entry.actor_name, "credential": entry.credential}
    return {
        "id": entry.id,
        "at": datetime.fromtimestamp(entry.at_us / 1e6, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "actor": actor,
        "action": entry.action,
        "target": entry.target,
        "outcome": entry.outcome,
        "detail": entry.detail,
        "requestId": entry.request_id,
    }


def sought(query: Mapping[str, str]) -> Sought:
    """Raises InvalidRequest, which names the parameter."""
    unknown = sorted(query.keys() - set(_PARAMETERS))
    if unknown:
        raise InvalidRequest(f"Unknown query parameters; expected some of: {', '.join(_PARAMETERS)}")
    for name, text in query.items():
        if "\0" in text:  # which PostgreSQL cannot even be asked for
            raise InvalidRequest(f"{name}: no NUL")
    return Sought(
        query.get("actor"),
        query.get("action"),
        query.get("target"),
        query.get("outcome"),
        _instant(query, "since"),
        _instant(query, "until"),
        _number(query, "before", None),
        _number(query, "limit", 100) or 100,
    )


def _instant(query: Mapping[str, str], name: str) -> int | None:
    if name not in query:
        return None
    try:
        at = datetime.fromisoformat(query[name])
        return int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1e6)
    except (ValueError, OverflowError):
        raise InvalidRequest(f"{name}: not an RFC 3339 instant, such as 2026-01-31T00:00:00Z") from None


def _number(query: Mapping[str, str], name: str, default: int | None) -> int | None:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and 0 < int(text[:19]) <= 10**15):
        raise InvalidRequest(f"{name}: not a whole number from 1")
    return min(int(text), 1_000) if name == "limit" else int(text)
