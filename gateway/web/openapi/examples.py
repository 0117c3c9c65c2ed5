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
    other_status: Status = Status.PRESENT


_NEWEST = "2013-01-14T22:58:00Z"
_USUAL, _OTHER_USUAL = 345.2307692307692, 359.7291666666667
SERVED = (
    Served(Feature("planned_flight.minutes_over_usual", FLOAT64), -15.230769230769226, 1.2708333333333144, None, source=Source.COMPUTED),
    Served(Feature("airport_departures.dep_delay_mean_1h_10m", FLOAT64), 2.9583333333333335, -0.52, _NEWEST),
    Served(Feature("airport_departures.flight_count_1h_10m", INT64), 24, 25, _NEWEST),
    Served(Feature("carrier_performance.arr_delay_mean_1d_1h", FLOAT64), 9.2, 9.48407643312102, _NEWEST),
    Served(Feature("plane_history.arr_delay_last_1d_1h", FLOAT64), 8.0, None, _NEWEST, other_status=Status.MISSING_DATA),
    Served(
        Feature("plane_history.dest_last_5_7d_1h", array_of(STRING)),
        ["LAX", "LAX", "SFO", "LAX", "SFO"],
        ["MIA", "BOS", "TPA", "BOS"],
        _NEWEST,
    ),
    Served(Feature("route_history.air_time_mean_7d_1h", FLOAT64), _USUAL, _OTHER_USUAL, _NEWEST),
)
"""Some of the demo's features, as it serves them; in served order: on-demand views first, then the others by name (contract §2.1)."""


def positional(value: Any, dtype: DataType) -> Any:
    """A value as the Tecton doors spell it."""
    return str(value) if dtype.kind is Kind.INT64 and value is not None else value


def typed_names(names: dict[str, DataType]) -> list[Node]:
    return [{"name": name, "dataType": encode_type(dtype)} for name, dtype in names.items()]
