"""`…/features:explain`: one read of the named door, and why it answers what it answers."""

from gateway.features import Source
from gateway.serving.trails import AtHand
from gateway.web.openapi.examples import CONTEXT, JOIN_KEYS, SERVICE, WORKSPACE
from gateway.web.openapi.parts import Example, Node, answer, described, flag, listing, mapping, number, operation, record, ref, text, whole
from gateway.web.openapi.parts import request_body as body_of
from gateway.web.openapi.problems import BODY_STATUSES, problem_refs
from gateway.web.openapi.types import in_service

_TAG = "Explanations"
TAGS = (
    {
        "name": _TAG,
        "description": (
            "Why a read answers what it answers. The read is really made, as any other of this caller; no join key and nothing of the "
            "request context is told again. New members may be added; none is renamed or taken away."
        ),
    },
)
BOUNDS = ["ttl", "spread", "negative_ttl", "max_age", "purge"]
CAME_BY = ["at_hand", "last_hope", "own_flight", "joined_flight", "shared_cache", "along", "default", "timeout", "nothing"]
_PATH = "/v1/workspaces/{workspace}/feature-services/{feature_service}/features:explain"


def paths() -> Node:
    asked = {"joinKeys": JOIN_KEYS, "requestContext": CONTEXT, "features": ["carrier_performance.arr_delay_mean_1d_1h"]}
    return {
        _PATH: in_service(
            post=operation(
                "explainFeatures",
                tag=_TAG,
                summary="Explain a read of features by name",
                description=(
                    "The body is that of `…/features`, and so are rights, deadline and bounds. What is fetched is kept. A read that fails "
                    "at the feature store is explained with `outcome` error; one that its caller made wrong is refused as it would be."
                ),
                body=body_of("ReadRequest", one=Example("One feature", asked)),
                responses={"200": answer("The explanation.", "Explanation", one=Example("One feature, from the cache", _example()))}
                | problem_refs(BODY_STATUSES),
            )
        )
    }


def _example() -> Node:
    cache = {"saidBy": "cache"}
    fragment = {
        "sizeBytes": 1247,
        "ageSeconds": 12.4,
        "effectiveAgeSeconds": 132.4,
        "negative": False,
        "kept": True,
        "endsInSeconds": 45.8,
        "endsBy": "spread",
        "lifeShare": 0.97,
        "earlyRefreshInSeconds": 45.7,
        "staleWhileRevalidateEndsInSeconds": None,
        "staleIfErrorEndsInSeconds": 345.8,
    }
    view = {
        "name": "carrier_performance",
        "served": True,
        "source": Source.CACHE.value,
        "atHand": AtHand.FRESH.value,
        "flight": None,
        "cameBy": "at_hand",
        "text": "The cache had it, fresh: served from there.",
        "key": {
            "id": "1b591e2ca22c6a97",
            "namespace": 1,
            "joinKeys": ["carrier"],
            "contextKeys": [],
            "viewIdentity": "prod/carrier_performance@b3098943add85b03",
        },
        "terms": {
            "ttl": {"seconds": 60.0} | cache,
            "negativeTtl": {"seconds": 10.0} | cache,
            "maxAge": {"seconds": None} | cache,
            "staleWhileRevalidate": {"seconds": 0.0} | cache,
            "staleIfError": {"seconds": 300.0} | cache,
        },
        "fragment": fragment,
        "had": None,
        "error": None,
    }
    return {
        "workspace": WORKSPACE,
        "featureService": SERVICE,
        "outcome": "hit",
        "error": None,
        "features": {
            "carrier_performance.arr_delay_mean_1d_1h": {
                "value": 9.2,
                "status": "PRESENT",
                "source": Source.CACHE.value,
                "view": "carrier_performance",
                "ageSeconds": 12.4,
                "effectiveTime": "2013-01-14T22:58:00Z",
            }
        },
        "views": [view],
        "computed": [],
        "grant": {
            "gate": "keys",
            "held": True,
            "endsInSeconds": None,
            "name": "fraud-model",
            "kind": "service_account",
            "rights": ["read"],
        },
        "flights": [],
        "origin": {"kind": "embedded", "breaker": "none", "calls": [], "sloInfo": None},
        "deadline": {"givenMs": 2000.0, "leftMs": 1999.4, "named": False},
        "partialResults": False,
        "schemaCorrected": False,
        "timings": {
            "authorise": 0.02,
            "decode": 0.05,
            "schema": 0.01,
            "lookUp": 0.03,
            "fetch": 0.01,
            "compute": 0.01,
            "encode": 0.12,
            "total": 0.25,
        },
    }


def schemas() -> Node:
    return _whole() | _views() | _fetching() | _around()


def _maybe(kind: str, description: str) -> Node:
    return {"type": [kind, "null"], "description": description}


def _null_or(schema: str, description: str) -> Node:
    return {"oneOf": [ref(schema), {"type": "null"}], "description": description}


def _all(description: str = "", /, **properties: Node) -> Node:
    return record(description, properties, **properties)


def _names(description: str) -> Node:
    return listing(text(), description)


def _whole() -> Node:
    return {
        "Explanation": _all(
            "",
            workspace=text(),
            featureService=text(),
            outcome=text(
                "All of it from the cache, some, none; something of it stale; it failed.", enum=["hit", "partial", "miss", "stale", "error"]
            ),
            error=_null_or("ExplainedError", "Why it failed."),
            features=mapping(ref("ExplainedFeature"), "By name, in served order; none where the read failed."),
            views=listing(ref("ExplainedView"), "The views whose values come from the feature store, also those that only others read."),
            computed=listing(ref("ExplainedComputation"), "The on-demand views that the gateway computes."),
            grant=ref("ExplainedGrant"),
            flights=listing(ref("ExplainedFlight"), "The fetches that the read waited for."),
            origin=ref("ExplainedOrigin"),
            deadline=ref("ExplainedDeadline"),
            partialResults=flag("The feature store left values out because its own size limit was met."),
            schemaCorrected=flag("The feature store's reply had other names or types than its metadata, which was fetched again."),
            timings=ref("ExplainedTimings"),
        ),
        "ExplainedFeature": _all(
            "",
            value=described(ref("NamedValue"), "The same bytes as `…/features` answers."),
            status=ref("NamedStatus"),
            source=ref("Source"),
            view=text(),
            ageSeconds=_maybe("number", "How long ago the feature store was asked for it; null where it was not."),
            effectiveTime={"type": ["string", "null"], "format": "date-time"},
        ),
        "ExplainedError": _all(
            "As the read would have been answered.",
            message=text(),
            status=whole("HTTP status."),
            code=whole("gRPC status code."),
            kind=text("Class of the error."),
            fault=text("Who broke it.", enum=["caller", "origin", "definition", "gateway"]),
        ),
    }


def _views() -> Node:
    return {
        "ExplainedView": _all(
            "",
            name=text(),
            served=flag("False: only on-demand views read it."),
            source=_null_or("Source", "Null: the read failed before it was there."),
            atHand=text("What the cache had of it when the read began.", enum=[state.value for state in AtHand]),
            flight=_maybe("integer", "The `id` of the fetch that it was waited for with."),
            cameBy=text("Where what is served came from.", enum=CAME_BY),
            text=text("The same in words, which may change."),
            key=ref("ExplainedKey"),
            terms=ref("ExplainedTerms"),
            fragment=_null_or("ExplainedFragment", "What is served; null for a default, a time-out and nothing."),
            had=_null_or("ExplainedFragment", "What the cache had, where it is not what is served."),
            error=_null_or("ExplainedError", "Why it did not come."),
        ),
        "ExplainedKey": _all(
            "What it is found by in the cache.",
            id=text("A keyed hash of the join keys and all else. Good in one process, until it ends."),
            namespace=whole("The process's number for the view, its features and the types of its keys."),
            joinKeys=_names("The names of the join keys that it depends on."),
            contextKeys=_names("The names of the request context that it depends on, where nothing better is known."),
            viewIdentity=_maybe("string", "What the feature store calls this definition of the view, where it says so."),
        ),
        "ExplainedTerms": _all(
            "The policy in force.",
            ttl=ref("ExplainedTerm"),
            negativeTtl=ref("ExplainedTerm"),
            maxAge=ref("ExplainedTerm"),
            staleWhileRevalidate=ref("ExplainedTerm"),
            staleIfError=ref("ExplainedTerm"),
        ),
        "ExplainedTerm": _all(
            "", seconds=_maybe("number", "Null: without a bound."), saidBy=text("The section of the settings that says it.")
        ),
        "ExplainedFragment": _all(
            "Distances in time count from the moment of the answer.",
            sizeBytes=whole("Overhead included."),
            ageSeconds=number("Since the feature store was asked for it."),
            effectiveAgeSeconds=_maybe("number", "Since the oldest effective time that it told; null where it told none."),
            negative=flag("All of its values are missing."),
            kept=flag("It is in this process's cache now."),
            endsInSeconds=number("Until it is fresh no longer."),
            endsBy=text("What ends it. `spread`: a little before its TTL, so that not all end at once.", enum=BOUNDS),
            lifeShare=number("The share of its TTL that it was given."),
            earlyRefreshInSeconds=_maybe("number", "From when on it is fetched again in the background if it is read; null: at its end."),
            staleWhileRevalidateEndsInSeconds=_maybe("number", "Until when it is served while it is fetched again; null: never."),
            staleIfErrorEndsInSeconds=_maybe("number", "Until when it is served where the feature store fails; null: never."),
        ),
        "ExplainedComputation": _all(
            "",
            name=text(),
            source=_null_or("Source", "Null: the read failed."),
            inputs=listing(ref("ExplainedInput")),
            contextKeys=_names("The names of the request context that it reads."),
            timeLimitSeconds=_maybe("number", "Of a function that is declared slow."),
            text=text("The same in words, which may change."),
        ),
        "ExplainedInput": _all("", feature=text(), source=_null_or("Source", "Null: it was not there.")),
    }


def _fetching() -> Node:
    return {
        "ExplainedFlight": _all(
            "",
            id=whole(),
            led=flag("It was begun for this read; else it was under way for another."),
            views=_names("What was waited for."),
            state=text("When the answer was made.", enum=["under_way", "landed", "failed"]),
            beganBeforeSeconds=number("By how much it began before this read."),
        ),
        "ExplainedOrigin": _all(
            "",
            kind=text("", enum=["embedded", "tecton"]),
            breaker=text("`none`: there is none before it.", enum=["closed", "open", "none"]),
            calls=listing(ref("ExplainedCall"), "Made for this read."),
            sloInfo=_null_or("ExplainedSlo", "What it says of its service of the read."),
        ),
        "ExplainedCall": _all(
            "",
            views=_names("What was asked for; a feature store that cannot tell views apart answers all."),
            tookMs=number(),
            attempts=whole("Requests, all in all."),
            retries=whole(),
            hedged=flag("It was asked a second time because the first was late."),
            error=_null_or("ExplainedError", "Why it came to nothing."),
        ),
        "ExplainedSlo": _all(
            "",
            eligible=flag(),
            serverTimeSeconds=_maybe("number", ""),
            sloServerTimeSeconds=_maybe("number", ""),
            storeMaxLatency=_maybe("number", "In seconds."),
            ineligibilityReasons=_names(""),
        ),
    }


def _around() -> Node:
    return {
        "ExplainedGrant": _all(
            "By what right values from the cache were served.",
            gate=text("`auth.mode`.", enum=["passthrough", "keys", "open"]),
            held=flag("When the read began."),
            endsInSeconds=_maybe("number", "Of the grant that is held now; null: it does not end of itself, or there is none."),
            name=_maybe("string", "Whose credential it is, where the gateway knows."),
            kind=_maybe("string", "`service_account`, or `settings_key`."),
            rights=_names("What it opens in this workspace: read, ingest, purge."),
        ),
        "ExplainedDeadline": _all(
            "",
            givenMs=number("The time that the read had."),
            leftMs=number("What was left when it was answered."),
            named=flag("The request named it; else the settings do."),
        ),
        "ExplainedTimings": _all(
            "In milliseconds.",
            **{name: number() for name in ("authorise", "decode", "schema", "lookUp", "fetch", "compute", "encode", "total")},
        ),
    }
