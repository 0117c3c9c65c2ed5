"""Settings that change while the gateway serves: each given to whoever goes by it, between two requests.

`settings.reloading` says which these are. Nothing here can fail: what is wrong with settings has been found before.
"""

from collections.abc import Sequence
from math import inf
from typing import Protocol

from gateway.access.gates import Gate, KeyRights, KeyTable
from gateway.access_log import AccessLog
from gateway.cache.policy import Policies, Said, Terms
from gateway.measures.book import Book
from gateway.measures.objectives import Objectives
from gateway.measures.promises import Promises
from gateway.serving.compiling import Defaults, PlanCompiler
from gateway.serving.keeping import Keeper
from gateway.serving.schemas import Schemas
from gateway.settings import Freshness, Key, Settings
from gateway.telemetry import Telemetry


class Patient(Protocol):
    """Whoever waits no longer than the settings say."""

    patience_s: float


class LiveSettings:
    """All who go by settings that may change."""

    def __init__(
        self,
        compiler: PlanCompiler,
        schemas: Schemas,
        keeper: Keeper,
        book: Book,
        promises: Promises,
        telemetry: Telemetry,
        access_log: AccessLog,
        gate: Gate,
        patient: Sequence[Patient],
    ) -> None:
        self._compiler = compiler
        self._schemas = schemas
        self._keeper = keeper
        self._book = book
        self._promises = promises
        self._telemetry = telemetry
        self._access_log = access_log
        self._gate = gate
        self._patient = patient

    def apply(self, settings: Settings, *, sample_ratio: float | None) -> None:
        """From now on, these. `sample_ratio` None: it is not the settings' to say."""
        for one in self._patient:
            one.patience_s = settings.deadlines.read_s
        self._compiler.policies, self._compiler.defaults = policies_of(settings), defaults_of(settings)
        self._keeper.bound_age(self._compiler.policies.bounds_age)
        self._schemas.recompile()
        objectives = Objectives(settings)
        self._promises.objectives = objectives
        self._book.judge(objectives.latency_s, objectives.bound_s)
        self._telemetry.change(sample_ratio, objectives.latency_s)
        self._access_log.change(settings.log)
        if isinstance(self._gate, KeyTable):
            self._gate.settle(*settled_keys(settings.auth.keys))


def settled_keys(keys: dict[str, Key]) -> tuple[dict[bytes, KeyRights], dict[bytes, str]]:
    """The settings' keys: what each opens, and its name, by digest."""
    rights = {bytes.fromhex(key.digest): KeyRights(key.workspaces, key.ingest, key.purge) for key in keys.values()}
    return rights, {bytes.fromhex(key.digest): name for name, key in keys.items()}


def defaults_of(settings: Settings) -> Defaults:
    return {view: said.defaults for view, said in settings.views.items() if said.defaults is not None}


def policies_of(settings: Settings) -> Policies:
    def said(of: Freshness) -> Said:
        return Said(of.ttl_s, of.negative_ttl_s, of.max_age_s, of.stale_while_revalidate_s, of.stale_if_error_s)

    cache = settings.cache
    return Policies(
        Terms(
            cache.ttl_s,
            cache.negative_ttl_s,
            inf if cache.max_age_s is None else cache.max_age_s,
            cache.stale_while_revalidate_s,
            cache.stale_if_error_s,
        ),
        {name: said(service) for name, service in settings.services.items()},
        {name: said(view) for name, view in settings.views.items()},
    )
