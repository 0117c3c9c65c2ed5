"""One answer of the demo's feature service, flight_delay, in the spellings of both doors."""

from dataclasses import dataclass
from typing import Any

from gateway.features import FLOAT64, INT64, STRING, DataType, Feature, Kind, Source, Status, array_of
from gateway.web.openapi.parts import Node
from gateway.wire.types import encode_type

WORKSPACE = "prod"
SERVICE = "flight_delay"
JOIN_KEYS = {"origin": "JFK", "dest": "LAX", "carrier": "AA", "tailnum": "N338AA"}
CONTEXT = {"planned_air_time": 330.0}
OTHER_JOIN_KEYS = {"origin": "EWR", "dest": "SFO", "carrier": "UA", "tailnum": "N14228"}
OTHER_CONTEXT = {"planned_air_time": 361.0}
JOIN_KEY_TYPES = dict.fromkeys(JOIN_KEYS, STRING)
CONTEXT_TYPES = {"planned_air_time": FLOAT64}
VIEW_KEYS = {
    "airport_departures": ["origin"],
    "carrier_performance": ["carrier"],
    "plane_history": ["tailnum"],
    "route_history": ["origin", "dest"],
}
ON_DEMAND_VIEW = "planned_flight"


@dataclass(frozen=True, slots=True)
class Served:
    """A feature with what two different reads found for it."""

    feature: Feature
    value: Any
    other_value: Any
    effective_time: str | None
    status: Status = Status.PRESENT
    source: Source = Source.ORIGIN


SERVED = (
    Served(Feature("planned_flight.minutes_over_usual", FLOAT64), 1.4, 15.9, None, source=Source.COMPUTED),
    Served(Feature("airport_departures.dep_delay_mean_1h", FLOAT64), 14.25, 6.5, "2013-06-14T12:00:00Z"),
    Served(Feature("airport_departures.flights_1h", INT64), 21, 18, "2013-06-14T12:00:00Z"),
    Served(Feature("carrier_performance.delayed_share_1d", FLOAT64), 0.19, 0.22, "2013-06-14T00:00:00Z"),
    Served(Feature("plane_history.arr_delay_mean_7d", FLOAT64), None, 3.75, "2013-06-14T00:00:00Z", Status.MISSING_DATA),
    Served(Feature("plane_history.last_airports", array_of(STRING)), ["LAX", "JFK", "SFO"], ["ORD"], "2013-06-14T11:20:00Z"),
    Served(Feature("route_history.air_time_mean_30d", FLOAT64), 328.6, 345.1, "2013-06-14T00:00:00Z"),
)
"""In served order: on-demand views first, then the others by name (contract §2.1)."""


def positional(value: Any, dtype: DataType) -> Any:
    """A value as the Tecton doors spell it."""
    return str(value) if dtype.kind is Kind.INT64 and value is not None else value


def typed_names(names: dict[str, DataType]) -> list[Node]:
    return [{"name": name, "dataType": encode_type(dtype)} for name, dtype in names.items()]
