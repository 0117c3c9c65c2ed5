"""The feature services: which there are, and of each its schema, its views, the policies in force, how old its values are."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from gateway.cache.policy import Terms
from gateway.errors import NotFound
from gateway.features import ServiceRef, split_views
from gateway.serving.desk import Desk
from gateway.serving.plan import Plan
from gateway.web.console.door import HOME, Asked, Told, see_other
from gateway.web.console.figures import ServiceFigures, ViewFigures, services_of, views_of
from gateway.web.console.objectives import Objectives
from gateway.web.console.pages import Pages, part_of_path
from gateway.web.console.visitors import Visitor
from gateway.web.console.watch import Watch

_UNSEEN = "The schema is for those who may read features of this workspace."
_ASK_THE_STORE = "The schema is the feature store's to show: GET /v1/workspaces/{workspace}/feature-services/{feature_service}/schema."


class ViewRow(NamedTuple):
    """One view. `terms` None: nothing of it is kept."""

    name: str
    on_demand: bool
    keys: str
    terms: Terms | None
    bound_s: float | None
    figures: ViewFigures | None


class Services:
    """`known`: the feature services that there are, where the origin says so. `bound_s`: how old values of a view may be, by workspace and
    name. `own_key`: visitors read nothing themselves."""

    def __init__(
        self,
        watch: Watch,
        objectives: Objectives,
        desk: Desk,
        pages: Pages,
        known: Callable[[], Sequence[ServiceRef]],
        bound_s: Callable[[str, str], float | None],
        default_workspace: str,
        *,
        own_key: bool,
    ) -> None:
        self._watch = watch
        self._objectives = objectives
        self._desk = desk
        self._pages = pages
        self._known = known
        self._bound_s = bound_s
        self._default_workspace = default_workspace
        self._own_key = own_key

    async def page(self, asked: Asked) -> Told:
        workspace, name = asked.query.get("workspace"), asked.query.get("service")
        if workspace and name:
            return see_other(f"{HOME}/services/{part_of_path(workspace)}/{part_of_path(name)}")
        look = await self._watch.look()
        read = await asyncio.to_thread(services_of, look.reports)
        seen = {(one.workspace, one.name) for one in read}
        others = sorted((one.workspace, one.name) for one in self._known() if (one.workspace, one.name) not in seen)
        told = [*read, *(ServiceFigures(*one) for one in others)]
        body = await self._pages.make(
            "services.html", asked.visitor, page="services", services=told, default_workspace=self._default_workspace
        )
        return Told(body)

    async def one(self, asked: Asked) -> Told:
        workspace, name = asked.params["workspace"], asked.params["feature_service"]
        visitor, look = asked.known, await self._watch.look()
        read = await asyncio.to_thread(services_of, look.reports)
        figures = next((one for one in read if (one.workspace, one.name) == (workspace, name)), None)
        plan = await self._plan(visitor, ServiceRef(workspace, name))
        if plan is None and figures is None and not self._own_key and ServiceRef(workspace, name) not in self._known():
            raise NotFound("No feature service of this name was read.")
        body = await self._pages.make(
            "service.html",
            visitor,
            page="services",
            workspace=workspace,
            name=name,
            told=figures,
            slos=await asyncio.to_thread(self._objectives.of, look.reports, workspace, name),
            views=[] if plan is None else self._views(plan, await asyncio.to_thread(views_of, look.reports, workspace)),
            schema=None if plan is None else plan.schema,
            labels={} if plan is None else plan.labels or {},
            no_schema=_ASK_THE_STORE if self._own_key else _UNSEEN,
            may_try=self._own_key or visitor.may_read(workspace),
        )
        return Told(body)

    async def _plan(self, visitor: Visitor, service: ServiceRef) -> Plan | None:
        """The schema, for whom it may be shown to."""
        if visitor.caller is None or not visitor.may_read(service.workspace):
            return None
        return await self._desk.plan_for(service, visitor.caller)

    def _views(self, plan: Plan, figures: Mapping[str, ViewFigures]) -> list[ViewRow]:
        workspace, terms = plan.service.workspace, {view.layout.view: view.terms for view in plan.stored}
        names = dict.fromkeys([*(layout.view for layout in split_views(plan.schema.features)), *terms])
        on_demand = plan.description.on_demand
        return [
            ViewRow(name, name in on_demand, _keys(plan, name), terms.get(name), self._bound_s(workspace, name), figures.get(name))
            for name in names
        ]


def _keys(plan: Plan, view: str) -> str:
    about = plan.about_view(view)
    if about["onDemand"]:
        sources = [name for name, _ in plan.description.on_demand[view].inputs]
        return f"computed from {', '.join([*sources, *about['contextKeys']]) or 'nothing'}"
    keys, context = about["joinKeys"], about["contextKeys"]
    told = ", ".join(keys) if keys is not None else ", ".join(field.name for field in plan.schema.join_keys)
    beside = [field.name for field in plan.schema.context_keys] if context is None else context
    return f"{told or 'none'}{' + ' + ', '.join(beside) if beside else ''}{'' if keys is not None else ' (all: not said)'}"
