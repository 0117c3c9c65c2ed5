"""The demo's feature service, as tests ask for it."""

from typing import Any

import httpx

V1 = ("/api/v1/feature-service", "/v1/feature-service")
V2 = "/api/v2/workspaces/prod/feature-services/flight_delay"
NAMED = "/v1/workspaces/prod/feature-services/flight_delay"
BOARD = "/v1/workspaces/prod/feature-services/airport_board"
KEYS = {"origin": "JFK", "dest": "LAX", "carrier": "AA", "tailnum": "N338AA"}
OTHER_KEYS = {"origin": "EWR", "dest": "SFO", "carrier": "UA", "tailnum": "N27205"}
CONTEXT = {"planned_air_time": 330}
STORED_VIEWS = {"airport_departures", "carrier_performance", "plane_history", "route_history"}
COMPUTED_VIEW = "planned_flight"
FLAGS = {
    "includeNames": "name",
    "includeDataTypes": "dataType",
    "includeEffectiveTimes": "effectiveTime",
    "includeServingStatus": "status",
    "includeFeatureDescriptions": "description",
    "includeFeatureTags": "tags",
}
"""Each flag that concerns features, and the key it adds to an item."""
EVERYTHING = dict.fromkeys([*FLAGS, "includeSloInfo"], True)


def tecton(**more: Any) -> dict[str, Any]:
    """The body of V1's get-features for KEYS and CONTEXT; `more` adds or replaces params."""
    params = {
        "workspaceName": "prod",
        "featureServiceName": "flight_delay",
        "joinKeyMap": KEYS,
        "requestContextMap": CONTEXT,
    }
    return {"params": params | more}


def tecton_batch(*rows: dict[str, str], **more: Any) -> dict[str, Any]:
    data = [{"joinKeyMap": row, "requestContextMap": CONTEXT} for row in rows]
    return {"params": {"workspaceName": "prod", "featureServiceName": "flight_delay", "requestData": data, **more}}


def named(**more: Any) -> dict[str, Any]:
    return {"joinKeys": KEYS, "requestContext": CONTEXT, **more}


def read_named(client: httpx.Client, path: str = f"{NAMED}/features", **more: Any) -> dict[str, Any]:
    """An answered read on the named door, with sources."""
    reply = client.post(path, json=named(**{"include": ["source", "status"], **more}))
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    return answer


def sources_by_view(answer: dict[str, Any]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, source in answer["source"].items():
        found.setdefault(name.partition(".")[0], set()).add(source)
    return found


def problem(reply: httpx.Response) -> tuple[int, int, str]:
    """An error reply's status, code and text. Holds its body to the contract (§1.5)."""
    assert reply.headers["content-type"] == "application/json"
    body = reply.json()
    assert set(body) == {"error", "message", "code"}
    assert body["error"] == body["message"]
    assert type(body["code"]) is int
    return reply.status_code, body["code"], body["message"]
