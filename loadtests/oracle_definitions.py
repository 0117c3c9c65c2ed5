"""What the oracle reads: views over a year of flights that between them use every function, every column type and every kind of window.

Keys of every size: three airports with 110,000 events each, carriers and routes with some thousands, planes and flight numbers with dozens.
The views have no TTL, for they are read as of any moment of 2013, but one, whose TTL is what is put to the test. `flights` says which
event a record is; `boards` does not, so that there the last record for a view's join keys and a minute is the only one.
"""

from gateway.demo.definitions import repository as demo_repository
from gateway.feature_server.definitions import (
    DAY_S,
    HOUR_S,
    MINUTE_S,
    Aggregation,
    Attribute,
    FeatureService,
    FeatureView,
    Repository,
    Source,
    Workspace,
)
from gateway.features import FLOAT64, Field

WORKSPACE = "oracle"
AS_OF = "2013-01-01T00:00:00Z"
"""The engine's clock stands before the first event, so that nothing is too old to be taken in."""

[DEMO_FLIGHTS] = demo_repository().workspaces[0].sources

FLIGHTS = Source(
    name="flights",
    columns=(*DEMO_FLIGHTS.columns, Field("speed", FLOAT64)),
    timestamp=DEMO_FLIGHTS.timestamp,
    record_key=DEMO_FLIGHTS.record_key,
    description="One event per scheduled flight, as in the demo; `speed` in miles per hour, a float64 whose sums round.",
)
BOARDS = Source(
    name="boards",
    columns=FLIGHTS.columns,
    timestamp=FLIGHTS.timestamp,
    description="The same records without a record key: what a display with one line per minute would show.",
)

AIRPORT = FeatureView(
    name="airport",
    source="flights",
    join_keys=("origin",),
    interval_s=10 * MINUTE_S,
    aggregations=(
        Aggregation("flight", "count", HOUR_S),
        Aggregation("flight", "count", DAY_S),
        Aggregation("dep_delay", "count", HOUR_S),
        Aggregation("dep_delay", "mean", HOUR_S),
        Aggregation("dep_delay", "mean", 6 * HOUR_S),
        Aggregation("dep_delay", "min", 6 * HOUR_S),
        Aggregation("dep_delay", "max", 6 * HOUR_S),
        Aggregation("speed", "stddev_samp", DAY_S),
        Aggregation("dest", "count_distinct", DAY_S),
        Aggregation("cancelled", "count_distinct", HOUR_S),
        Aggregation("carrier", "first", HOUR_S),
        Aggregation("carrier", "last_n", HOUR_S, n=5),
        Aggregation("tailnum", "first_n", 6 * HOUR_S, n=3),
        Aggregation("carrier", "first_distinct_n", DAY_S, n=4),
        Aggregation("dest", "last_distinct_n", 6 * HOUR_S, n=6),
        Aggregation("cancelled", "last", HOUR_S),
        Aggregation("cancelled", "first_n", HOUR_S, n=20),
        Aggregation("departed_at", "min", 6 * HOUR_S),
        Aggregation("departed_at", "max", HOUR_S),
        Aggregation("departed_at", "last_n", HOUR_S, n=3),
        Aggregation("tailnum", "approx_count_distinct", DAY_S),
        Aggregation("dep_delay", "approx_percentile", DAY_S, percentile=0.5),
        Aggregation("dep_delay", "approx_percentile", DAY_S, percentile=0.95),
    ),
)
CARRIER = FeatureView(
    name="carrier",
    source="flights",
    join_keys=("carrier",),
    interval_s=HOUR_S,
    aggregations=(
        Aggregation("flight", "count", 30 * DAY_S),
        Aggregation("distance", "sum", DAY_S),
        Aggregation("distance", "sum", 30 * DAY_S),
        Aggregation("distance", "mean", 7 * DAY_S),
        Aggregation("distance", "var_samp", 7 * DAY_S),
        Aggregation("distance", "var_pop", 30 * DAY_S),
        Aggregation("distance", "stddev_samp", DAY_S),
        Aggregation("distance", "stddev_pop", DAY_S),
        Aggregation("arr_delay", "var_samp", DAY_S),
        Aggregation("arr_delay", "stddev_pop", 7 * DAY_S),
        Aggregation("speed", "sum", 30 * DAY_S),
        Aggregation("speed", "mean", 7 * DAY_S),
        Aggregation("speed", "var_pop", 30 * DAY_S),
        Aggregation("speed", "min", 7 * DAY_S),
        Aggregation("speed", "max", 30 * DAY_S),
        Aggregation("tailnum", "count_distinct", 7 * DAY_S),
        Aggregation("tailnum", "approx_count_distinct", 7 * DAY_S),
        Aggregation("tailnum", "approx_count_distinct", 30 * DAY_S, precision=12, alias="tailnum_distinct_fine_30d"),
        Aggregation("flight", "approx_count_distinct", 30 * DAY_S, precision=6, alias="flight_distinct_coarse_30d"),
        Aggregation("arr_delay", "approx_percentile", 7 * DAY_S, percentile=0.9),
        Aggregation("arr_delay", "approx_percentile", 30 * DAY_S, percentile=0.99, precision=500, alias="arr_delay_p99_fine_30d"),
        Aggregation("distance", "approx_percentile", 30 * DAY_S, percentile=0.25, precision=20, alias="distance_p25_coarse_30d"),
    ),
)
ROUTE = FeatureView(
    name="route",
    source="flights",
    join_keys=("origin", "dest"),
    interval_s=DAY_S,
    aggregations=(
        Aggregation("flight", "count", 7 * DAY_S),
        Aggregation("flight", "count", None),
        Aggregation("air_time", "mean", 30 * DAY_S),
        Aggregation("air_time", "min", None),
        Aggregation("air_time", "max", None),
        Aggregation("air_time", "sum", None),
        Aggregation("speed", "var_samp", None),
        Aggregation("distance", "stddev_samp", None),
        Aggregation("carrier", "count_distinct", None),
        Aggregation("carrier", "last_distinct_n", None, n=3),
        Aggregation("tailnum", "first_distinct_n", None, n=5),
        Aggregation("tailnum", "first_n", None, n=4),
        Aggregation("tailnum", "last_n", 30 * DAY_S, n=10),
        Aggregation("departed_at", "first", None),
        Aggregation("departed_at", "last", None),
        Aggregation("arr_delay", "approx_percentile", None, percentile=0.5),
        Aggregation("arr_delay", "approx_percentile", None, percentile=1.0),
        Aggregation("arr_delay", "approx_percentile", 30 * DAY_S, percentile=0.0),
    ),
)
AIRPORT_EVER = FeatureView(
    name="airport_ever",
    source="flights",
    join_keys=("origin",),
    interval_s=10 * MINUTE_S,
    aggregations=(
        Aggregation("flight", "count", None),
        Aggregation("flight", "count", HOUR_S),
        Aggregation("distance", "sum", None),
        Aggregation("dep_delay", "mean", None),
        Aggregation("dep_delay", "max", None),
        Aggregation("dep_delay", "stddev_pop", None),
        Aggregation("tailnum", "approx_count_distinct", None, precision=10),
        Aggregation("dep_delay", "approx_percentile", None, percentile=0.9),
        Aggregation("dest", "last_distinct_n", None, n=3),
        Aggregation("carrier", "first", None),
    ),
)
CARRIER_EVER_CONTINUOUS = FeatureView(
    name="carrier_ever_continuous",
    source="flights",
    join_keys=("carrier",),
    aggregations=(
        Aggregation("flight", "count", None),
        Aggregation("flight", "count", DAY_S),
        Aggregation("distance", "mean", None),
        Aggregation("speed", "stddev_samp", None),
        Aggregation("origin", "count_distinct", None),
        Aggregation("dest", "first_distinct_n", None, n=8),
        Aggregation("tailnum", "last_n", None, n=4),
        Aggregation("departed_at", "max", None),
        Aggregation("arr_delay", "approx_percentile", None, percentile=0.75),
    ),
)
PLANE_CONTINUOUS = FeatureView(
    name="plane_continuous",
    source="flights",
    join_keys=("tailnum",),
    aggregations=(
        Aggregation("flight", "count", HOUR_S),
        Aggregation("flight", "count", 30 * DAY_S),
        Aggregation("flight", "last_distinct_n", 30 * DAY_S, n=4),
        Aggregation("air_time", "sum", 7 * DAY_S),
        Aggregation("air_time", "var_pop", 30 * DAY_S),
        Aggregation("arr_delay", "last", DAY_S),
        Aggregation("arr_delay", "first_n", 7 * DAY_S, n=2),
        Aggregation("cancelled", "last", 7 * DAY_S),
        Aggregation("departed_at", "last", 7 * DAY_S),
        Aggregation("origin", "last", 7 * DAY_S),
        Aggregation("dest", "last_n", 7 * DAY_S, n=5),
        Aggregation("speed", "min", 30 * DAY_S),
        Aggregation("dest", "approx_count_distinct", 30 * DAY_S),
        Aggregation("arr_delay", "approx_percentile", 30 * DAY_S, percentile=0.5),
    ),
)
AIRPORT_CONTINUOUS = FeatureView(
    name="airport_continuous",
    source="flights",
    join_keys=("origin",),
    aggregations=(
        Aggregation("flight", "count", HOUR_S),
        Aggregation("flight", "count", 90 * MINUTE_S),
        Aggregation("flight", "count", 30 * DAY_S),
        Aggregation("dep_delay", "mean", HOUR_S),
        Aggregation("dep_delay", "stddev_samp", DAY_S),
        Aggregation("distance", "var_samp", DAY_S),
        Aggregation("carrier", "first", HOUR_S),
        Aggregation("carrier", "last", HOUR_S),
        Aggregation("tailnum", "last_n", 90 * MINUTE_S, n=7),
        Aggregation("tailnum", "first_n", 90 * MINUTE_S, n=7),
        Aggregation("dest", "last_distinct_n", DAY_S, n=5),
        Aggregation("dest", "first_distinct_n", HOUR_S, n=5),
        Aggregation("dest", "count_distinct", 30 * DAY_S),
        Aggregation("speed", "mean", 30 * DAY_S),
    ),
)
FLIGHT_NUMBER_CONTINUOUS = FeatureView(
    name="flight_number_continuous",
    source="flights",
    join_keys=("carrier", "flight"),
    aggregations=(
        Aggregation("dep_delay", "mean", HOUR_S),
        Aggregation("dep_delay", "sum", 2 * HOUR_S),
        Aggregation("tailnum", "last", 2 * HOUR_S),
        Aggregation("cancelled", "count", 2 * HOUR_S),
    ),
)
PLANE_NEWEST = FeatureView(
    name="plane_newest",
    source="flights",
    join_keys=("tailnum",),
    attributes=(
        Attribute("origin"),
        Attribute("dest"),
        Attribute("distance"),
        Attribute("arr_delay"),
        Attribute("cancelled"),
        Attribute("departed_at"),
        Attribute("scheduled_departure", alias="scheduled"),
    ),
)
AIRPORT_NEWEST = FeatureView(
    name="airport_newest",
    source="flights",
    join_keys=("origin",),
    ttl_s=3 * HOUR_S,
    attributes=(Attribute("carrier"), Attribute("flight"), Attribute("tailnum"), Attribute("dep_delay"), Attribute("cancelled")),
)
BOARD = FeatureView(
    name="board",
    source="boards",
    join_keys=("origin",),
    interval_s=HOUR_S,
    aggregations=(
        Aggregation("flight", "count", DAY_S),
        Aggregation("distance", "sum", DAY_S),
        Aggregation("dep_delay", "mean", 7 * DAY_S),
        Aggregation("carrier", "last_n", DAY_S, n=6),
        Aggregation("dest", "count_distinct", 7 * DAY_S),
        Aggregation("distance", "max", None),
        Aggregation("flight", "sum", None),
    ),
)
BOARD_NEWEST = FeatureView(
    name="board_newest",
    source="boards",
    join_keys=("dest",),
    attributes=(Attribute("carrier"), Attribute("flight"), Attribute("origin"), Attribute("departed_at")),
)

VIEWS = (
    AIRPORT,
    CARRIER,
    ROUTE,
    AIRPORT_EVER,
    CARRIER_EVER_CONTINUOUS,
    PLANE_CONTINUOUS,
    AIRPORT_CONTINUOUS,
    FLIGHT_NUMBER_CONTINUOUS,
    PLANE_NEWEST,
    AIRPORT_NEWEST,
    BOARD,
    BOARD_NEWEST,
)
REPOSITORY = Repository(
    workspaces=(
        Workspace(
            name=WORKSPACE,
            sources=(FLIGHTS, BOARDS),
            views=VIEWS,
            services=tuple(FeatureService(name=view.name, views=(view.name,)) for view in VIEWS),
        ),
    ),
)
