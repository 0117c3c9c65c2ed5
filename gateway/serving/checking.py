"""Whether the gateway's own on-demand values are the cluster's: now and then both are at hand, and are held against one another.

A cluster answers all views of a feature service, on-demand ones included. Of a sampled row they are computed once more from that very reply
and the row's context. A view that differs is distrusted until the process ends: it becomes a view like any other, keyed on the whole
request context. Says which features differ, never by how much.
"""

import asyncio
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from gateway.cache.fragments import Fragment
from gateway.counters import Counters
from gateway.errors import DeadlineExceeded, OnDemandBusy, OnDemandFailed, OnDemandTimeout
from gateway.features import DataType, Kind, ViewLayout, ViewValues
from gateway.luck import luck
from gateway.origins.base import Description
from gateway.serving.plan import Computed, ComputedView, Plan
from gateway.serving.workers import Workers
from gateway.wire.values import instant

logger = logging.getLogger(__name__)
_ALWAYS = 20
"""So many rows of each view are compared whatever the ratio is: a wrong function shows at once, not after many wrong answers."""
_RELATIVE, _ABSOLUTE = 1e-6, 1e-12
"""What floats may differ by: a cluster may round to float32 (6e-8), and add up in another order."""
Name = tuple[str, str]
"""A workspace and one of its views."""


class OnDemandChecks:
    """`ratio`: the share of rows that is compared; 0: none. `on_distrust` is called once a view has become one of `distrusted`."""

    def __init__(self, ratio: float, counters: Counters, workers: Workers, draw: Callable[[], float] = luck.random) -> None:
        self.distrusted: set[Name] = set()
        self.on_distrust: Callable[[], object] = lambda: None
        self._ratio = ratio
        self._counters = counters
        self._workers = workers
        self._draw = draw
        self._seen: defaultdict[Name, int] = defaultdict(int)

    def trusted(self, description: Description) -> Description:
        """The description without the on-demand views that are distrusted: those are fetched and kept as they come."""
        if not self.distrusted:
            return description
        workspace = description.service.workspace
        kept = {name: view for name, view in description.on_demand.items() if (workspace, name) not in self.distrusted}
        return description if len(kept) == len(description.on_demand) else replace(description, on_demand=kept)

    def check(self, plan: Plan, context: dict[str, Any], answered: Mapping[ViewLayout, ViewValues]) -> bool:
        """Compare, perhaps, one row of an origin's reply, which has `answered` all views for this context. True where the plan computes a
        view that is distrusted, so that whoever reads by it should begin again with another. Slow functions are compared later."""
        names = [(plan.service.workspace, view.view.name) for view in plan.computed]
        for name, view in zip(names, plan.computed, strict=True):
            if name not in self.distrusted and self._ratio and (self._seen[name] < _ALWAYS or self._draw() < self._ratio):
                self._compare(name, plan, view, context, answered)
        return not self.distrusted.isdisjoint(names)

    def _compare(
        self, name: Name, plan: Plan, view: ComputedView, context: dict[str, Any], answered: Mapping[ViewLayout, ViewValues]
    ) -> None:
        theirs = [values for layout, values in answered.items() if layout.view == view.layout.view]
        inputs = {index: answered[plan.stored[index].layout] for index in view.inputs if plan.stored[index].layout in answered}
        incomplete = not all(values.complete for values in (*theirs, *inputs.values()))
        if incomplete or len(inputs) < len(view.inputs) or sum(len(values.layout) for values in theirs) < len(view.layout):
            return
        self._seen[name] += 1
        fragments: list[Fragment | None] = [None] * len(plan.stored)
        for index, values in inputs.items():
            fragments[index] = Fragment.of(values, 0.0)
        said = _members(b",".join([values.named for values in theirs]))
        work = partial(_computed, view, fragments, context)
        limit_s = view.view.time_limit_s
        if limit_s is None:
            self._judge(name, view, work, said)
            return
        deadline_s = asyncio.get_running_loop().time() + limit_s
        future = self._workers.submit(view.view.name, work, limit_s=limit_s, deadline_s=deadline_s)
        future.add_done_callback(lambda done: None if done.cancelled() else self._judge(name, view, done.result, said))

    def _judge(self, name: Name, view: ComputedView, work: Callable[[], Mapping[str, Any]], said: Mapping[str, Any]) -> None:
        try:
            made = work()
        except (OnDemandTimeout, OnDemandBusy, DeadlineExceeded):  # says nothing of its values
            return
        except OnDemandFailed as error:
            self._counters.on_demand_checks += 1
            self._distrust(name, error.message)
            return
        self._counters.on_demand_checks += 1
        different = [feature.name for feature in view.layout.features if not same(feature.dtype, made[feature.name], said[feature.name])]
        if different:
            self._distrust(name, f"{', '.join(different)} differ from the cluster's.")

    def _distrust(self, name: Name, reason: str) -> None:
        self._counters.on_demand_mismatches += 1
        if name in self.distrusted:  # by an earlier one of several that were under way
            return
        self.distrusted.add(name)
        logger.error(
            "on-demand view %s of workspace %s is computed no longer, but fetched from the cluster: %s "
            "Mend on_demand.views.%s and start the gateway again.",
            name[1],
            name[0],
            reason,
            name[1],
        )
        self.on_distrust()


def _computed(view: ComputedView, fragments: list[Fragment | None], context: dict[str, Any]) -> Mapping[str, Any]:
    computed = view.compute(fragments, context)
    assert isinstance(computed, Computed)  # no input timed out: that would be incomplete
    return _members(computed.named)


def _members(named: bytes) -> Mapping[str, Any]:
    members: Mapping[str, Any] = msgspec.json.decode(b"{%b}" % named)
    return members


def same(dtype: DataType, mine: Any, theirs: Any) -> bool:
    """Whether two values of this type, as the named door spells them, are one: floats nearly, timestamps as moments, others exactly."""
    if mine is None or theirs is None:
        return mine is theirs
    if dtype.element is not None:
        element = dtype.element
        return len(mine) == len(theirs) and all(same(element, *pair) for pair in zip(mine, theirs, strict=True))
    if dtype.value is not None:
        value = dtype.value
        return bool(mine.keys() == theirs.keys()) and all(same(value, mine[key], theirs[key]) for key in mine)
    if dtype.kind is Kind.STRUCT:
        return all(same(field, mine.get(name), theirs.get(name)) for name, field in dtype.fields)
    if mine == theirs:  # NaN and the infinities too: they are texts
        return True
    if dtype.kind in (Kind.FLOAT64, Kind.FLOAT32):
        return (
            not isinstance(mine, str) and not isinstance(theirs, str) and math.isclose(mine, theirs, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
        )
    return dtype.kind is Kind.TIMESTAMP and _one_moment(mine, theirs)


def _one_moment(mine: str, theirs: str) -> bool:
    try:
        return instant(mine) == instant(theirs)
    except ValueError:  # of the right shape, and no moment that exists
        return False
