"""Whether a repository of definitions makes sense: every mistake found at once, each in one sentence that names where it is.

Owns the rules. Knows nothing of how definitions are written down or run.
"""

from collections.abc import Iterable, Iterator, Sequence

from gateway.feature_server.definitions import Repository, Workspace
from gateway.feature_server.validation.mistakes import (
    NAME,
    SERVICE_NAME,
    WORKSPACE_NAME,
    Findings,
    Mistake,
    Where,
    names,
    places,
    shown,
    within,
)
from gateway.feature_server.validation.services import Readable, on_demand_rules, service_rules
from gateway.feature_server.validation.sources import entity_rules, source_rules
from gateway.feature_server.validation.views import view_rules


class DefinitionError(ValueError):
    """The definitions contradict themselves. `mistakes` has one sentence for each."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("The feature definitions are not valid:\n" + "\n".join(f"  - {mistake}" for mistake in self.mistakes))


def validate(repository: Repository) -> None:
    """Raises DefinitionError with every mistake."""
    mistakes = find_mistakes(repository)
    if mistakes:
        raise DefinitionError(str(mistake) for mistake in mistakes)


def find_mistakes(repository: Repository) -> list[Mistake]:
    workspaces = [workspace.name for workspace in repository.workspaces]
    found = list(within((), "", names("workspace", places("workspaces", workspaces, "name"), workspaces, WORKSPACE_NAME)))
    for at, workspace in enumerate(repository.workspaces):
        found += _workspace(("workspaces", at), f"Workspace {shown(workspace.name)}", workspace)
    return found


def _workspace(where: Where, subject: str, workspace: Workspace) -> Iterator[Mistake]:
    # Of two with one name, the first is meant
    sources = {source.name: source for source in reversed(workspace.sources)}
    entities = {entity.name: entity for entity in reversed(workspace.entities)}
    views = {view.name: view for view in reversed(workspace.views)}
    on_demand = {view.name: view for view in reversed(workspace.on_demand)}
    readable = Readable(sources, views, on_demand, frozenset(key.name for key in workspace.context))
    yield from within(where, subject, _names(workspace))

    def of(attribute: str, kind: str, name: str, at: int, findings: Findings) -> Iterator[Mistake]:
        return within((*where, attribute, at), f"{subject}: {kind} {shown(name)}", findings)

    for at, entity in enumerate(workspace.entities):
        yield from of("entities", "entity", entity.name, at, entity_rules(entity))
    for at, source in enumerate(workspace.sources):
        fed = [view for view in workspace.views if view.source == source.name]
        yield from of("sources", "source", source.name, at, source_rules(source, fed))
    for at, view in enumerate(workspace.views):
        yield from of("views", "feature view", view.name, at, view_rules(view, sources.get(view.source), entities))
    for at, computed in enumerate(workspace.on_demand):
        yield from of("on_demand", "on-demand view", computed.name, at, on_demand_rules(computed, readable))
    for at, service in enumerate(workspace.services):
        yield from of("services", "feature service", service.name, at, service_rules(service, readable))


def _names(workspace: Workspace) -> Findings:
    def named(what: str, attribute: str, given: Sequence[str]) -> Findings:
        return names(what, places(attribute, given, "name"), given, SERVICE_NAME if attribute == "services" else NAME)

    yield from named("entity", "entities", [entity.name for entity in workspace.entities])
    yield from named("source", "sources", [source.name for source in workspace.sources])
    yield from named("request-context key", "context", [key.name for key in workspace.context])
    views, on_demand = [view.name for view in workspace.views], [view.name for view in workspace.on_demand]
    yield from names("view", [*places("views", views, "name"), *places("on_demand", on_demand, "name")], [*views, *on_demand])
    yield from named("feature service", "services", [service.name for service in workspace.services])
