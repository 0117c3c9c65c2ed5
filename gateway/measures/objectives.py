"""What is promised of each feature service and view: the settings' word, with their exceptions."""

from collections.abc import Mapping

from gateway.measures.ledgers import Slo
from gateway.settings import Settings


class Objectives:
    """Does not change: other settings make another."""

    def __init__(self, settings: Settings) -> None:
        self._usual = settings.slo
        self._services = settings.services
        self._views = settings.views

    def shares(self, workspace: str, service: str) -> Mapping[Slo, float]:
        """Of a feature service's events, those that are to be good."""
        usual, own = self._usual, self._services.get(f"{workspace}/{service}")
        if own is None:
            return {Slo.AVAILABILITY: usual.availability, Slo.LATENCY: usual.latency, Slo.STALE: usual.stale}
        return {
            Slo.AVAILABILITY: usual.availability if own.slo_availability is None else own.slo_availability,
            Slo.LATENCY: usual.latency if own.slo_latency is None else own.slo_latency,
            Slo.STALE: usual.stale if own.slo_stale is None else own.slo_stale,
        }

    def latency_s(self, workspace: str, service: str) -> float:
        own = self._services.get(f"{workspace}/{service}")
        latency_ms = None if own is None else own.slo_latency_ms
        return (self._usual.latency_ms if latency_ms is None else latency_ms) / 1000

    def bound_s(self, view: str) -> float | None:
        """How old a view's values may be; None: as old as they like."""
        own = self._views.get(view)
        return None if own is None else own.fresh_within_s

    def freshness(self, view: str) -> float:
        """Of its values, the share that is to be no older."""
        own = self._views.get(view)
        return self._usual.freshness if own is None or own.slo_freshness is None else own.slo_freshness
