"""Values that do not fit together stop the rendering, with what to do about it."""

import pytest

from tests.harness.helm import Helm, Values
from tests.helm.releases import CLUSTER, ON_REDIS, secret

CLUSTER_SETTINGS = CLUSTER["settings"]
DATABASE: Values = {"authDatabase": secret("access"), "authKek": secret("access")}

WRONG: dict[str, tuple[Values, str]] = {
    "the embedded store twice": ({"replicas": 2}, "replicas: the embedded feature server's store in SQLite is one pod's"),
    "the embedded store scaled": ({"autoscaling": {"enabled": True}}, "autoscaling.enabled: the embedded feature server's store in SQLite"),
    "access control's store twice": (
        CLUSTER | {"secrets": {"originApiKey": secret("cluster")}},
        "replicas: access control's store in SQLite is one pod's",
    ),
    "workers on SQLite": ({"settings": {"server": {"workers": 2}}, "resources": {"limits": {"memory": "2Gi"}}}, "settings.server.workers"),
    "a cluster that is nowhere": ({"settings": {"origin": {"kind": "tecton"}}}, "settings.origin.url: needed"),
    "nothing to serve": ({"definitions": {"python": ""}}, "definitions: the embedded feature server needs some"),
    "definitions twice": ({"definitions": {"files": {"a.yaml": ""}, "configMap": "b"}}, "definitions.files: are given, and"),
    "Redis that is nowhere": ({"settings": {"feature_server": {"store": "redis"}}}, "secrets.featureServerRedisUrl: needed"),
    "a pod that listens to itself": ({"settings": {"server": {"host": "127.0.0.1"}}}, "settings.server.host: nobody reaches"),
    "any port": ({"settings": {"server": {"port": 0}}}, "settings.server.port"),
    "one port twice": ({"settings": {"server": {"operations_port": 8080}}}, "settings.server.operations_port: must be another"),
    "a pod that probes itself": ({"settings": {"server": {"operations_host": "::1"}}}, "settings.server.operations_host: nobody probes"),
    "everybody admitted": ({"settings": {"auth": {"mode": "open"}}}, "settings.auth.mode: open is for loopback only"),
    "nobody to judge": ({"settings": {"auth": {"mode": "passthrough"}}}, "settings.auth.mode: passthrough needs a cluster"),
    "PostgreSQL that is nowhere": (
        {"settings": {"auth": {"store": "postgresql"}}, "secrets": {"authKek": secret("access")}},
        "secrets.authDatabase: needed",
    ),
    "PostgreSQL that is not used": ({"settings": {"auth": {"store": "sqlite"}}, "secrets": DATABASE}, "secrets.authDatabase: goes with"),
    "PostgreSQL without a key for secrets": ({"secrets": {"authDatabase": secret("access")}}, "secrets.authKek: needed"),
    "an admin that is kept nowhere": (CLUSTER | {"secrets": {"authAdminKey": secret("admin")}}, "secrets.authAdminKey: is kept in"),
    "more at least than at most": (
        CLUSTER | {"autoscaling": {"enabled": True, "minReplicas": 5, "maxReplicas": 4}},
        "autoscaling.minReplicas: is more than",
    ),
    "scaled by nothing": (CLUSTER | {"autoscaling": {"enabled": True, "targetCPUUtilizationPercentage": 0}}, "autoscaling: by what?"),
    "a share of nothing": (
        CLUSTER | {"autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": None}}},
        "autoscaling.targetCPUUtilizationPercentage: is a share",
    ),
    "an Ingress for nobody": ({"ingress": {"enabled": True}}, "ingress.hosts"),
    "a cache that does not fit": (
        CLUSTER | {"settings": CLUSTER_SETTINGS | {"cache": {"max_bytes": 1_073_741_824}}},
        "resources.limits.memory: 1 workers with caches of settings.cache.max_bytes need at least 1152Mi",
    ),
    "caches that do not fit": (
        ON_REDIS | {"resources": {"limits": {"memory": "400M"}}},
        "resources.limits.memory: 2 workers with caches of settings.cache.max_bytes need at least 447Mi",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_should_refuse(helm: Helm, case: str) -> None:
    values, said = WRONG[case]
    refusal = helm.refusal(values)
    assert said in refusal
    assert refusal.count("\n  ") == 1, "one mistake, and one is told"


def test_should_tell_all_of_it_at_once_in_both(each_helm: Helm) -> None:
    refusal = each_helm.refusal({"replicas": 2, "ingress": {"enabled": True}, "settings": {"server": {"host": "::1", "port": 0}}})
    assert "these values do not fit together:\n  replicas: " in refusal
    assert all(f"\n  {name}: " in refusal for name in ("settings.server.host", "settings.server.port", "ingress.hosts"))


@pytest.mark.parametrize(
    "values",
    [
        ON_REDIS,
        CLUSTER | {"autoscaling": {"enabled": True, "maxReplicas": 20}},
        CLUSTER | {"secrets": DATABASE | {"originApiKey": secret("cluster")}},
        {"settings": {"cache": {"max_bytes": 268_435_456}}, "resources": {"limits": {"memory": "384Mi"}}},
        {"resources": {"limits": {"memory": None}}},
        {"replicas": 0},
    ],
)
def test_should_not_refuse_what_goes(helm: Helm, values: Values) -> None:
    assert helm.documents(values)
