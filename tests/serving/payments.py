"""The scripted cluster's feature service, as tests ask for it."""

from typing import Any

import httpx

from tests.harness.cluster import Cluster, Service

FRAUD = "/v1/workspaces/prod/feature-services/fraud"
LITE = "/v1/workspaces/prod/feature-services/lite"
KEYS = {"user_id": "ann", "merchant_id": 7}
CONTEXT = {"amount": 250.0}
VIEW_KEYS = {
    "merchant": {"join_keys": ["merchant_id"]},
    "types": {"join_keys": ["merchant_id", "user_id"]},
    "user": {"join_keys": ["user_id"]},
}
"""What settings can say of the cluster's views."""


def payment(**more: Any) -> dict[str, Any]:
    return {"joinKeys": KEYS, "requestContext": CONTEXT, "include": ["source"], **more}


def read(client: httpx.Client, path: str = FRAUD, **more: Any) -> dict[str, Any]:
    reply = client.post(f"{path}/features", json=payment(**more))
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    return answer


def status(client: httpx.Client, path: str = FRAUD, **more: Any) -> int:
    return client.post(f"{path}/features", json=payment(**more)).status_code


def sources(answer: dict[str, Any]) -> set[str]:
    return set(answer["source"].values())


def truth(cluster: Cluster, service: Service, keys: dict[str, Any] | None = None, epoch: int | None = None) -> dict[str, Any]:
    """What the cluster says for these keys (as it did in `epoch`), as the named door spells it, but for structs."""
    now, cluster.epoch = cluster.epoch, cluster.epoch if epoch is None else epoch
    values = {name: cluster.value(name, dtype, keys or KEYS, CONTEXT, service) for name, dtype in service.features}
    cluster.epoch = now
    return {name: int(value) if type(value) is str and value.isdecimal() else value for name, value in values.items()}


def scalars(features: dict[str, Any]) -> dict[str, Any]:
    """The values whose two spellings differ in nothing that `truth` does not undo."""
    return {name: value for name, value in features.items() if type(value) not in (list, dict)}
