"""Three plain tables: what the cache saved, the last errors, and the audit log."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.errors import PermissionDenied
from gateway.web.admin import door as admin
from gateway.web.console.door import Asked, Told
from gateway.web.console.figures import recent_errors, services_of
from gateway.web.console.pages import Pages
from gateway.web.console.watch import Watch

AUDIT_FIELDS = (
    ("actor", "Actor"),
    ("action", "Action"),
    ("target", "Target"),
    ("outcome", "Outcome"),
    ("since", "Since"),
    ("until", "Until"),
)
_NO_ACTOR = "Not Authorized. A key of the settings is nobody's: the audit log is for admins of the store."


class Savings:
    def __init__(self, watch: Watch, pages: Pages) -> None:
        self._watch = watch
        self._pages = pages

    async def page(self, asked: Asked) -> Told:
        look = await self._watch.look()
        services = sorted(
            await asyncio.to_thread(services_of, look.reports), key=lambda one: (-one.saved_views, -one.total, one.workspace, one.name)
        )
        views, made = sum(one.saved_views for one in services), sum(one.asked_views for one in services)
        saved = {
            "views": views,
            "share": views / (views + made) if views + made else None,
            "reads": sum(one.reads["hit"] for one in services),
            "calls": sum(sum(totals.calls.values()) for totals in look.totals.values()),
        }
        return Told(await self._pages.make("savings.html", asked.visitor, page="savings", services=services, saved=saved))


class Errors:
    def __init__(self, watch: Watch, pages: Pages) -> None:
        self._watch = watch
        self._pages = pages

    async def page(self, asked: Asked) -> Told:
        look = await self._watch.look()
        noted, several = recent_errors(look.reports), len(look.reports) > 1
        return Told(await self._pages.make("errors.html", asked.visitor, page="errors", noted=noted, several=several))


class Audit:
    """`read`: what `GET /v1/audit` asks, too."""

    def __init__(self, read: admin.Operation, pages: Pages) -> None:
        self._read = read
        self._pages = pages

    async def page(self, asked: Asked) -> Told:
        actor = asked.known.actor
        if actor is None:
            raise PermissionDenied(_NO_ACTOR)
        sought = {name: text for name, text in asked.query.items() if text}
        answer = await self._read(admin.Asked(actor, b"", {}, sought))
        told: Mapping[str, Any] = msgspec.json.decode(answer.body)
        more = {**sought, "before": str(told["next"])} if "next" in told else None
        body = await self._pages.make(
            "audit.html", asked.visitor, page="audit", entries=told["entries"], fields=AUDIT_FIELDS, sought=sought, more=more
        )
        return Told(body)
