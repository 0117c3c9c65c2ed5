"""The demo's repository said once more, in Python, and held against what its folder says."""

from dataclasses import fields, replace

import pytest

from gateway.demo import definitions
from gateway.feature_server.definitions import (
    DAY_S,
    HOUR_S,
    MINUTE_S,
    Aggregation,
    FeatureService,
    FeatureView,
    Source,
    Workspace,
)
from gateway.features import BOOLEAN, FLOAT64, INT64, STRING, TIMESTAMP, Field, Labels
from gateway.on_demand import OnDemandView

_WEEK_S = 7 * DAY_S
_TTL_S = 30 * DAY_S

FLIGHTS = Source(
    name="flights",
    columns=(
        Field("scheduled_departure", TIMESTAMP),
        Field("carrier", STRING),
        Field("flight", INT64),
        Field("origin", STRING),
        Field("dest", STRING),
        Field("tailnum", STRING),
        Field("distance", INT64),
        Field("dep_delay", FLOAT64),
        Field("arr_delay", FLOAT64),
        Field("air_time", FLOAT64),
        Field("departed_at", TIMESTAMP),
        Field("cancelled", BOOLEAN),
    ),
    timestamp="scheduled_departure",
    record_key=("carrier", "flight", "origin", "dest", "tailnum"),
    description="One event per scheduled flight. Delays and air time in minutes, distance in miles; null where a flight was cancelled.",
)

AIRPORT_DEPARTURES = FeatureView(
    name="airport_departures",
    source="flights",
    join_keys=("origin",),
    interval_s=10 * MINUTE_S,
    ttl_s=_TTL_S,
    aggregations=(
        Aggregation("flight", "count", HOUR_S, description="Departures scheduled in the last hour"),
        Aggregation("flight", "count", DAY_S, description="Departures scheduled in the last day"),
        Aggregation("dep_delay", "mean", HOUR_S, description="Mean departure delay of the last hour, in minutes"),
        Aggregation("dep_delay", "mean", 6 * HOUR_S, description="Mean departure delay of the last six hours, in minutes"),
        Aggregation("dep_delay", "max", 6 * HOUR_S, description="Worst departure delay of the last six hours, in minutes"),
        Aggregation("dest", "count_distinct", DAY_S, description="Destinations served in the last day"),
        Aggregation("carrier", "last_n", HOUR_S, n=5, description="Carriers of the five latest departures, the latest last"),
    ),
    description="How busy and how late an airport is",
    tags={"team": "flight-ops", "tier": "1"},
)

CARRIER_PERFORMANCE = FeatureView(
    name="carrier_performance",
    source="flights",
    join_keys=("carrier",),
    interval_s=HOUR_S,
    ttl_s=_TTL_S,
    aggregations=(
        Aggregation("flight", "count", DAY_S, description="Flights in the last day"),
        Aggregation("arr_delay", "mean", DAY_S, description="Mean arrival delay of the last day, in minutes"),
        Aggregation("arr_delay", "mean", _WEEK_S, description="Mean arrival delay of the last week, in minutes"),
        Aggregation("dep_delay", "max", _WEEK_S, description="Worst departure delay of the last week, in minutes"),
        Aggregation("distance", "sum", _WEEK_S, description="Miles flown in the last week"),
        Aggregation("tailnum", "count_distinct", _WEEK_S, description="Planes used in the last week"),
    ),
    description="How punctual a carrier is",
    tags={"team": "carrier-relations"},
)

ROUTE_HISTORY = FeatureView(
    name="route_history",
    source="flights",
    join_keys=("origin", "dest"),
    interval_s=HOUR_S,
    ttl_s=_TTL_S,
    aggregations=(
        Aggregation("flight", "count", _WEEK_S, description="Flights on the route in the last week"),
        Aggregation("air_time", "mean", _WEEK_S, description="Mean air time of the last week, in minutes"),
        Aggregation("air_time", "min", _WEEK_S, description="Shortest air time of the last week, in minutes"),
        Aggregation("air_time", "max", _WEEK_S, description="Longest air time of the last week, in minutes"),
        Aggregation("arr_delay", "mean", _WEEK_S, description="Mean arrival delay of the last week, in minutes"),
        Aggregation("carrier", "count_distinct", _WEEK_S, description="Carriers on the route in the last week"),
    ),
    description="What flights on a route are like",
    tags={"team": "flight-ops"},
)

PLANE_HISTORY = FeatureView(
    name="plane_history",
    source="flights",
    join_keys=("tailnum",),
    interval_s=HOUR_S,
    ttl_s=_TTL_S,
    aggregations=(
        Aggregation("flight", "count", DAY_S, description="Flights of the plane in the last day"),
        Aggregation("air_time", "sum", _WEEK_S, description="Minutes in the air in the last week"),
        Aggregation("arr_delay", "last", DAY_S, description="Arrival delay of the plane's latest flight, in minutes"),
        Aggregation("cancelled", "last", _WEEK_S, description="Whether the plane's latest flight was cancelled"),
        Aggregation("departed_at", "last", _WEEK_S, description="When the plane last left New York"),
        Aggregation("origin", "last", _WEEK_S, description="The airport that the plane last left, or should have"),
        Aggregation("dest", "last_n", _WEEK_S, n=5, description="The plane's five latest destinations, the latest last"),
    ),
    description="What a plane has been doing",
    tags={"team": "maintenance"},
)


PLANNED_FLIGHT = OnDemandView(
    name="planned_flight",
    function=lambda _context, _inputs: {},
    context_keys=("planned_air_time",),
    inputs=(("route_history", ("air_time_mean_7d_1h",)),),
    outputs=(("usual_air_time", FLOAT64), ("minutes_over_usual", FLOAT64), ("longer_than_usual", BOOLEAN)),
    labels=Labels("The planned air time held against what the route usually takes, in minutes", (("computed", "on demand"),)),
)

PROD = Workspace(
    name="prod",
    sources=(FLIGHTS,),
    views=(AIRPORT_DEPARTURES, CARRIER_PERFORMANCE, ROUTE_HISTORY, PLANE_HISTORY),
    on_demand=(PLANNED_FLIGHT,),
    context=(Field("planned_air_time", FLOAT64),),
    services=(
        FeatureService(
            name="flight_delay",
            views=("planned_flight", "airport_departures", "carrier_performance", "route_history", "plane_history"),
            description="What a model needs to say how late a flight will be",
        ),
        FeatureService(
            name="flight_history",
            views=("airport_departures", "carrier_performance", "route_history", "plane_history"),
            description="The same history without a plan to compare it with",
        ),
        FeatureService(
            name="airport_board",
            views=("airport_departures", "route_history"),
            description="What an airport's display shows",
        ),
    ),
)


def test_the_folder_says_the_same() -> None:
    [found] = definitions.REPOSITORY.workspaces
    function = found.on_demand[0].function
    for field in fields(Workspace):
        expected, given = getattr(PROD, field.name), getattr(found, field.name)
        if field.name == "on_demand":
            expected = tuple(replace(view, function=function) for view in expected)
        assert given == expected, field.name


def test_what_the_rest_of_the_demo_names_is_there() -> None:
    assert definitions.REPOSITORY is definitions.repository()
    [found] = definitions.REPOSITORY.workspaces
    assert (found.name, found.sources[0].name) == (definitions.WORKSPACE, definitions.SOURCE)
    assert [service.name for service in found.services] == [
        definitions.SERVICE,
        definitions.HISTORY_SERVICE,
        definitions.BOARD_SERVICE,
    ]
    with pytest.raises(AttributeError, match="has no attribute 'NOTHING'"):
        definitions.__getattr__("NOTHING")
