"""The door to the objectives."""

from gateway.measures.burn import WINDOWS_S, State
from gateway.measures.ledgers import Slo
from gateway.measures.promises import FRESHNESS
from gateway.web.openapi.operations import TAG
from gateway.web.openapi.parts import WRITERS, Example, Node, answer, listing, mapping, number, operation, record, ref, text, whole
from gateway.web.openapi.problems import problem_refs

TAGS: tuple[Node, ...] = ()


def paths() -> Node:
    return {
        "/v1/slo": {
            "get": operation(
                "objectives",
                tag=TAG,
                summary="Whether what is promised is kept",
                description=(
                    "For each feature service: availability, latency and staleness of its reads; for each view with a bound on its age: "
                    "freshness. Over all workers of this gateway, since it was started and over three days at most. Who may read "
                    "`/metrics` may read this."
                ),
                security=[{}, *WRITERS],
                responses={"200": answer("The objectives.", "Objectives", served=Example("One feature service", _EXAMPLE))}
                | problem_refs((401, 403)),
            )
        }
    }


def schemas() -> Node:
    return {
        "Objectives": record(
            "What is promised, and what became of it.",
            ("workers", "services", "views"),
            workers=listing(whole(), "The workers that have told what they saw."),
            services=listing(
                record(
                    "",
                    ("workspace", "featureService", "objectives", "errors"),
                    workspace=text(),
                    featureService=text(),
                    objectives=listing(ref("Objective")),
                    errors=mapping(whole(), "Reads answered with an error since the start, by whose fault it was."),
                )
            ),
            views=listing(
                {"allOf": [ref("Objective"), record("", ("workspace", "featureView"), workspace=text(), featureView=text())]},
                "Views whose values may only be so old.",
            ),
        ),
        "Objective": record(
            "One promise.",
            ("slo", "objective", "state", "budgetLeft", "windows"),
            slo=text("What is promised.", enum=[*Slo, FRESHNESS]),
            objective=number("The share that is to be good."),
            withinMs=number("How long a read may take."),
            withinSeconds=number("How old a value may be."),
            state=text("What is to be done: nothing, something within days, or something now.", enum=[*State]),
            budgetLeft=number("Of what may be bad in three days, the share that is left; below 0 where it was more."),
            windows=record("", WINDOWS_S, **{name: ref("ObjectiveWindow") for name in WINDOWS_S}),
        ),
        "ObjectiveWindow": record(
            "What was seen in a window.",
            ("seconds", "events", "bad", "burnRate"),
            seconds=number("How long it is: shorter than its name where the process is younger, and up to a thirtieth longer."),
            events=whole("Reads, or sampled values, that count."),
            bad=whole("Of these, those that broke the promise."),
            burnRate={
                "type": ["number", "null"],
                "description": "Their share over the share that is allowed; null where there was nothing.",
            },
        ),
    }


_QUIET = {"seconds": 240.0, "events": 4000, "bad": 1, "burnRate": 0.5}
_EXAMPLE = {
    "workers": [1],
    "services": [
        {
            "workspace": "prod",
            "featureService": "flight_delay",
            "objectives": [
                {
                    "slo": "availability",
                    "objective": 0.9995,
                    "state": "ok",
                    "budgetLeft": 0.5,
                    "windows": dict.fromkeys(WINDOWS_S, _QUIET),
                }
            ],
            "errors": {"origin": 1, "caller": 12},
        }
    ],
    "views": [],
}
