"""The demo's on-demand functions: what is computed of a request's context and of other views' values."""

from collections.abc import Mapping
from typing import Any


def plan_flight(context: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Null where the caller plans nothing, or the route has no flown flight in its window."""
    planned, usual = context["planned_air_time"], inputs["route_history"]["air_time_mean_7d_1h"]
    over = None if planned is None or usual is None else planned - usual
    return {"usual_air_time": usual, "minutes_over_usual": over, "longer_than_usual": None if over is None else over > 0}
