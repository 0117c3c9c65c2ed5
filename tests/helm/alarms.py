"""For each alert: what makes it fire, and what just does not. Synthetic series, as `promtool test rules` reads them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

SERVICE = 'job="gateway", instance="a", workspace="prod", feature_service="fraud"'
VIEW = 'job="gateway", instance="a", workspace="prod", feature_view="user_history"'
NOBODY = 'job="gateway", instance="a", workspace="", feature_service=""'
TARGET = 'job="gateway", instance="a"'

Series = Sequence[tuple[str, str]]
"""A series and its values, one each `minutes`."""


class Alarm(NamedTuple):
    """`after_min`: when it is looked at. `minutes`: between two values."""

    fires: Series
    silent: Mapping[str, Series]
    after_min: int = 60
    minutes: int = 1


def promise(slo: str, objective: float, events: str, bad: str, labels: str = SERVICE) -> Series:
    told = f'{{{labels}, slo="{slo}"}}'
    return [
        (f"feature_gateway_slo_objective_ratio{told}", f"{objective}x2000"),
        (f"feature_gateway_slo_events_total{told}", events),
        (f"feature_gateway_slo_bad_events_total{told}", bad),
    ]


def freshness(values: str, late: str) -> Series:
    return [
        (f"feature_gateway_freshness_objective_ratio{{{VIEW}}}", "0.99x2000"),
        (f"feature_gateway_freshness_values_total{{{VIEW}}}", values),
        (f"feature_gateway_freshness_values_late_total{{{VIEW}}}", late),
    ]


def counter(name: str, values: str, labels: str = TARGET) -> Series:
    return [(f"feature_gateway_{name}{{{labels}}}", values)]


def calls(good: str, failed: str) -> Series:
    labels = f'{TARGET}, origin="tecton", call="read"'
    return [
        (f'feature_gateway_origin_duration_seconds_count{{{labels}, outcome="ok"}}', good),
        (f'feature_gateway_origin_duration_seconds_count{{{labels}, outcome="timeout"}}', failed),
    ]


def missing(features: str, gone: str) -> Series:
    return [
        (f"feature_gateway_sampled_features_total{{{VIEW}}}", features),
        (f"feature_gateway_sampled_features_missing_total{{{VIEW}}}", gone),
    ]


def lag(in_time: str, all_of_them: str) -> Series:
    return [
        (f'feature_gateway_event_loop_lag_seconds_bucket{{{TARGET}, le="0.25"}}', in_time),
        (f"feature_gateway_event_loop_lag_seconds_count{{{TARGET}}}", all_of_them),
    ]


def thrash(evicted: str, fetched: str) -> Series:
    return [*counter("cache_evictions_total", evicted), *counter("views_total", fetched, f'{SERVICE}, source="origin"')]


def shared(failures: str, hits: str, misses: str = "0x300", unanswered: str = "0x300") -> Series:
    return [
        *counter("shared_failures_total", failures),
        *counter("shared_hits_total", hits),
        *counter("shared_misses_total", misses),
        *counter("shared_unanswered_total", unanswered),
    ]


def burns(slo: str, objective: float, fast: int, slow: int) -> tuple[Alarm, Alarm]:
    """The page and the ticket of one promise, of 10,000 reads a minute. `fast`, `slow`: bad ones a minute that are just too many."""
    events = "0+10000x1000"
    page = Alarm(
        promise(slo, objective, events, f"0+{fast}x1000"),
        {
            "slower than that": promise(slo, objective, events, f"0+{slow - 1}x1000"),
            "over for half an hour": promise(slo, objective, events, f"0+{fast}x20 {fast * 20}x40"),
            "a handful": promise(slo, objective, "0+1x60", "0x50 0+1x9"),
        },
    )
    allowed = round(10_000 * (1 - objective))
    ticket = Alarm(
        promise(slo, objective, "0+40000x1100", f"0+{4 * allowed + 1}x1100"),
        {
            "as much as is allowed": promise(slo, objective, "0+40000x1100", f"0+{4 * allowed - 1}x1100"),
            "over for six hours": promise(slo, objective, "0+40000x1100", f"0+{40 * allowed}x980 {40 * allowed * 980}x120"),
        },
        after_min=4_320,
        minutes=4,
    )
    return page, ticket


AVAILABILITY, LATENCY = burns("availability", 0.9995, 73, 30), burns("latency", 0.99, 1441, 600)
UNRESOLVED = [*promise("availability", 0.9995, "0+99x200", "0x200"), *promise("availability", 0.9995, "0+1x200", "0+1x200", NOBODY)]

ALARMS: Mapping[str, Alarm] = {
    "FeatureGatewayAvailabilityBurnsFast": AVAILABILITY[0],
    "FeatureGatewayAvailabilityBurns": AVAILABILITY[1],
    "FeatureGatewayLatencyBurnsFast": LATENCY[0],
    "FeatureGatewayLatencyBurns": LATENCY[1],
    "FeatureGatewayUnresolvedReadsFail": Alarm(
        UNRESOLVED,
        {
            "one in a thousand of all reads": [
                *promise("availability", 0.9995, "0+999x200", "0x200"),
                *promise("availability", 0.9995, "0+1x200", "0+1x200", NOBODY),
            ],
            "callers' mistakes": [
                *promise("availability", 0.9995, "0+1x200", "0x200"),
                *promise("availability", 0.9995, "0x200", "0x200", NOBODY),
            ],
        },
    ),
    "FeatureGatewayGone": Alarm(
        [("feature_gateway_build_info", "1x9 stale")], {"it is there": [(f"feature_gateway_build_info{{{TARGET}}}", "1x100")]}, after_min=20
    ),
    "FeatureGatewayServesStale": Alarm(
        promise("stale", 0.99, "0+10000x1000", "0+601x1000"),
        {"a little": promise("stale", 0.99, "0+10000x1000", "0+100x1000"), "a handful": promise("stale", 0.99, "0+1x60", "0x50 0+1x9")},
    ),
    "FeatureGatewayValuesTooOld": Alarm(
        freshness("0+1000x100", "0+61x100"),
        {"as many as may be": freshness("0+1000x100", "0+10x100"), "a handful": freshness("0+1x60", "0x50 0+1x9")},
    ),
    "FeatureGatewayBreakerOpen": Alarm(
        counter("guard_open", "0x8 1x5"),
        {"for a moment": counter("guard_open", "0x9 1 0x5"), "closed": counter("guard_open", "0x20")},
        after_min=11,
    ),
    "FeatureGatewayOriginFails": Alarm(
        calls("0+94x60", "0+6x60"),
        {
            "one in twenty": calls("0+95x60", "0+5x60"),
            "a handful of few": calls("0+0.5x60", "0+0.5x60"),
            "one burst": calls("0+94x60", "0x40 60x20"),
        },
    ),
    "FeatureGatewayShedsReads": Alarm(
        [*counter("guard_shed_high_total", "0x60"), *counter("guard_shed_normal_total", "0+2x60")],
        {"few": [*counter("guard_shed_high_total", "0x60"), *counter("guard_shed_normal_total", "0+0.5x60")]},
    ),
    "FeatureGatewayFeaturesMissing": Alarm(
        missing("0+100x2000", "0+1x1440 1440+40x560"),
        {"as many as the day before": missing("0+100x2000", "0+40x2000"), "few": missing("0+100x2000", "0+1x1440 1440+9x560")},
        after_min=1_560,
    ),
    "FeatureGatewayOnDemandDiffers": Alarm(
        counter("on_demand_mismatches_total", "0x50 1x10"), {"none": counter("on_demand_mismatches_total", "3x60")}
    ),
    "FeatureGatewayTargetDown": Alarm(
        [(f"up{{{TARGET}}}", "1x40 0x20"), *counter("worker", "1x40 stale")],
        {
            "for five minutes": [(f"up{{{TARGET}}}", "1x54 0x6"), *counter("worker", "1x54 stale")],
            "another's target": [(f"up{{{TARGET}}}", "1x40 0x20"), *counter("worker", "1x100", 'job="gateway", instance="b"')],
        },
    ),
    "FeatureGatewayNoReads": Alarm(
        counter("read_duration_seconds_count", "0+10x100 1000x100", f'{SERVICE}, door="named_single", outcome="hit"'),
        {
            "they go on": counter("read_duration_seconds_count", "0+10x200", f'{SERVICE}, door="named_single", outcome="hit"'),
            "there were few": counter("read_duration_seconds_count", "0+1x100 100x100", f'{SERVICE}, door="named_single", outcome="hit"'),
        },
        after_min=140,
    ),
    "FeatureGatewayWorkerMissing": Alarm(
        counter("reports_missed_total", "0+1x60"), {"now and then": counter("reports_missed_total", "0x30 4x30")}
    ),
    "FeatureGatewayRestarts": Alarm(
        [(f"process_start_time_seconds{{{TARGET}}}", "1x10 2x10 3x10 4x30"), *counter("connections", "1x60")],
        {
            "twice": [(f"process_start_time_seconds{{{TARGET}}}", "1x10 2x20 3x30"), *counter("connections", "1x60")],
            "something else": [
                ('process_start_time_seconds{job="other", instance="a"}', "1x10 2x10 3x10 4x30"),
                *counter("connections", "1x60"),
            ],
        },
    ),
    "FeatureGatewayEventLoopLags": Alarm(
        lag("0+588x60", "0+600x60"), {"one in two hundred": lag("0+597x60", "0+600x60"), "one stop": lag("0x1 0+600x59", "0+600x60")}
    ),
    "FeatureGatewayAccessStoreLost": Alarm(
        counter("access_store_up", "1x20 0x40"),
        {"for a moment": counter("access_store_up", "1x57 0x3"), "it is there": counter("access_store_up", "1x60")},
    ),
    "FeatureGatewayCacheThrashes": Alarm(
        thrash("0+60x120", "0+100x120"), {"half": thrash("0+50x120", "0+100x120"), "few": thrash("0+10x120", "0+10x120")}, after_min=110
    ),
    "FeatureGatewaySharedCacheFails": Alarm(
        shared("0+1x60", "0+88x60", "0+12x60", "0+12x60"),
        {
            "one in ten": shared("0+1x60", "0+91x60", "0+9x60", "0+9x60"),
            "a handful": shared("0+0.5x60", "0+0.5x60"),
            "what is not there": shared("0x60", "0+1x60", "0+99x60"),
        },
    ),
    "FeatureGatewayPurgesUnconfirmed": Alarm(
        counter("sibling_failures_total", "0x50 1x10"), {"none": counter("sibling_failures_total", "7x60")}
    ),
    "FeatureGatewayConnectionsRefused": Alarm(
        counter("refused_connections_total", "0+1x60"), {"a few": counter("refused_connections_total", "0+0.5x60")}
    ),
    "FeatureGatewaySettingsRefused": Alarm(
        counter("settings_reloads_total", "0x50 1x10", f'{TARGET}, result="refused"'),
        {"applied": counter("settings_reloads_total", "0x50 1x10", f'{TARGET}, result="applied"')},
    ),
    "FeatureGatewaySpansLost": Alarm(
        counter("spans_total", "0+1x60", f'{TARGET}, result="dropped"'),
        {
            "exported": counter("spans_total", "0+1x60", f'{TARGET}, result="exported"'),
            "once": counter("spans_total", "0x30 9x30", f'{TARGET}, result="failed"'),
        },
    ),
}
