"""Whether the names and the instant in the fault lab's settings exist: a lab that hits nothing, or half of something, is told at the start.

Reads a feature repository's names alone, which may still be invalid otherwise.
"""

from collections.abc import Iterator

from gateway.feature_server.definitions import FeatureView, Repository, Workspace, object_id
from gateway.feature_server.timestamps import parse_timestamp
from gateway.settings import SettingsError
from gateway.settings.faults import Faults


def check_names(faults: Faults, repository: Repository) -> None:
    """Raises SettingsError with every mistake."""
    mistakes = [f"feature_server.faults.{mistake}" for mistake in _mistakes(faults, repository)]
    if mistakes:
        raise SettingsError("\n".join(mistakes))


def _mistakes(faults: Faults, repository: Repository) -> Iterator[str]:
    services = {
        name
        for workspace in repository.workspaces
        for service in workspace.services
        for name in (f"{workspace.name}/{service.name}", f"{workspace.name}/{object_id('service', workspace.name, service.name)}")
    }
    known = {
        "workspaces": (faults.workspaces, {workspace.name for workspace in repository.workspaces}),
        "services": (faults.services, services),
        "views": (faults.views, {view.name for workspace in repository.workspaces for view in workspace.views}),
    }
    for setting, (named, existing) in known.items():
        yield from (f"{setting}: the feature repository has no {name}" for name in sorted(named - existing))
    if faults.schema_change.kind is not None:
        yield from _mistakes_in_change(faults, repository)


def _mistakes_in_change(faults: Faults, repository: Repository) -> Iterator[str]:
    change = faults.schema_change
    if change.at is not None:
        try:
            parse_timestamp(change.at)
        except ValueError:
            yield "schema_change.at: not an RFC 3339 instant, e.g. 2013-01-14T23:00:00Z"
    places = [
        (workspace, view)
        for workspace in repository.workspaces
        for view in workspace.views
        if view.name == change.view and (not faults.workspaces or workspace.name in faults.workspaces)
    ]
    if not places:
        yield f"schema_change.view: the feature repository has no {change.view}"
    for workspace, view in places:
        features = {one.name(view.interval_s) for one in view.aggregations}
        if change.kind == "gain" and change.feature in features:
            yield f"schema_change.feature: {view.name} has {change.feature} already"
        if change.kind != "gain" and change.feature not in features:
            yield f"schema_change.feature: {view.name} has no {change.feature}"
        if change.kind == "lose" and len(features) == 1:
            yield f"schema_change.feature: {view.name} has only this one to lose"
        if change.kind != "gain" and change.feature in _read_on_demand(workspace, view):
            yield f"schema_change.feature: an on-demand view reads {view.name}.{change.feature}"


def _read_on_demand(workspace: Workspace, view: FeatureView) -> set[str]:
    return {feature for one in workspace.on_demand for name, features in one.inputs if name == view.name for feature in features}
