"""A gateway before an origin that has a bad day: how it is set up and asked, and what is right."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from gateway.features import INT64, STRING
from tests.doors.flights import V1, problem
from tests.doors.origin_faults import MAX_REPLY_BYTES
from tests.harness.cluster import ALICE, LITE, Service
from tests.harness.houses import EXACT, House, open_house
from tests.harness.scripted.origin import ScriptedOrigin

TRANSPORTS = ("fast", "httpx")
"""What `origin.transport` may be."""
TTL_S = 60
"""Of every fragment. The cache's clock stands still but for what a test adds."""
SHORT_S, LONG_S = 0.6, 20.0
"""A read's deadline, where the origin never ends its reply, and where it does."""
CODES = {429: 8, 502: 13, 503: 14, 504: 4}
"""The gRPC code that goes with a status."""
by_transport = pytest.mark.parametrize("transport", TRANSPORTS)
READ = f"{V1[0]}/get-features"
TINY = Service({"user_id": STRING}, {}, (("user.age", INT64),), {"user": ("user_id",)})
SHOWN = {"includeNames": True, "includeDataTypes": True, "includeServingStatus": True}


def settings(url: str, transport: str, *, deadline_s: float = LONG_S, connect_timeout_s: float = 1.0) -> dict[str, Any]:
    """Of a gateway that asks the cluster with a key of its own. Its guard tries nothing again and stops nothing."""
    return {
        "origin": {
            "kind": "tecton",
            "url": url,
            "api_key": ALICE,
            "max_reply_bytes": MAX_REPLY_BYTES,
            "transport": transport,
            "connect_timeout_s": connect_timeout_s,
        },
        "auth": {"mode": "open"},
        "telemetry": {"sample_ratio": 0.0},
        "cache": {"ttl_s": TTL_S, "negative_ttl_s": TTL_S, "stale_if_error_s": 300, **EXACT},
        "deadlines": {"read_s": deadline_s},
        "guard": {"retries": 0, "hedging": False, "breaker_share": 0, "retry_after_max_s": 0},
    }


@contextmanager
def gateway(url: str, transport: str, **more: Any) -> Iterator[House]:
    with open_house(settings(url, transport, **more), credential=None) as house:
        yield house


def ask(house: House, user: str, service: str = "lite") -> httpx.Response:
    keys = {"user_id": user} | ({"merchant_id": "7"} if service == "lite" else {})
    params = {"workspaceName": "prod", "featureServiceName": service, "joinKeyMap": keys, "metadataOptions": SHOWN}
    return house.client.post(READ, json={"params": params})


def told(reply: httpx.Response) -> dict[str, Any]:
    """Values by name, of a read that was answered."""
    assert reply.status_code == 200, reply.text
    answer = reply.json()
    names = [item["name"] for item in answer["metadata"]["features"]]
    return dict(zip(names, answer["result"]["features"], strict=True))


def right_values(origin: ScriptedOrigin, user: str, service: Service = LITE) -> dict[str, Any]:
    """What the cluster has for this user now."""
    keys = {"user_id": user} | ({} if service is TINY else {"merchant_id": "7"})
    return {name: origin.cluster.value(name, dtype, keys, {}, service) for name, dtype in service.features}


def users_asked(origin: ScriptedOrigin) -> list[str]:
    return [exchange.user for exchange in origin.asked()]


def check_cold(house: House, origin: ScriptedOrigin, user: str, status: int) -> None:
    """A read of what is not cached: the right values, or this error in the contract's shape."""
    reply = ask(house, user)
    if status == 200:
        assert told(reply) == right_values(origin, user)
    else:
        assert problem(reply)[:2] == (status, CODES[status])
