"""Values as people have them, from none at all to everything on."""

from tests.harness.helm import Values

CLUSTER_URL = "https://prices.tecton.example"
CLUSTER: Values = {"settings": {"origin": {"kind": "tecton", "url": CLUSTER_URL}}, "replicas": 3}
OWN_DEFINITIONS: Values = {"definitions": {"files": {"orders.yaml": "workspace: shop\n"}}}


def secret(name: str, key: str | None = None) -> dict[str, str]:
    return {"name": name} if key is None else {"name": name, "key": key}


ON_REDIS: Values = {
    "replicas": 2,
    "settings": {"server": {"workers": 2}, "feature_server": {"store": "redis"}, "cache": {"max_bytes": 100_000_000}},
    "secrets": {
        "featureServerRedisUrl": secret("online-store"),
        "cacheSharedUrl": secret("shared-cache"),
        "authDatabase": secret("access", "dsn"),
        "authKek": secret("access", "kek"),
        "authAdminKey": secret("access", "admin"),
    },
    "definitions": {"configMap": "our-definitions"},
    "resources": {"limits": {"memory": "1Gi"}},
}

PEER = {"namespaceSelector": {"matchLabels": {"team": "models"}}, "podSelector": {"matchLabels": {"app": "scoring"}}}
TOGETHER: Values = {"server": {"operations_port": 0}}
"""Of the settings: probes and metrics have no port of their own."""
EVERYTHING: Values = {
    "nameOverride": "feature-gateway",
    "image": {"repository": "images.example/feature-gateway", "tag": "0.1.0", "digest": f"sha256:{'0a' * 32}", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "pull"}],
    "settings": {
        "origin": {"kind": "tecton", "url": f"{CLUSTER_URL}:8443/base", "ingest_url": "https://ingest.tecton.example"},
        "auth": {"metrics": "role"},
        "views": {"user_history": {"ttl_s": 300, "join_keys": ["user_id"], "defaults": {"orders": 3, "share": 0.25}}},
        "services": {"prod/fraud": {"stale_if_error_s": 600.5}},
    },
    "secrets": {
        "originApiKey": secret("cluster"),
        "cacheSharedUrl": secret("shared-cache"),
        "authDatabase": secret("access", "dsn"),
        "authKek": secret("access", "kek"),
        "authAdminKey": secret("access", "admin"),
    },
    "tls": {"secretName": "gateway-tls"},
    "telemetry": {"otlpEndpoint": "http://collector.observability:4318"},
    "extraEnv": [{"name": "OTEL_EXPORTER_OTLP_HEADERS", "valueFrom": {"secretKeyRef": {"name": "collector", "key": "headers"}}}],
    "extraEnvFrom": [{"configMapRef": {"name": "more"}}],
    "extraVolumes": [{"name": "authorities", "configMap": {"name": "authorities"}}],
    "extraVolumeMounts": [{"name": "authorities", "mountPath": "/etc/authorities", "readOnly": True}],
    "service": {"type": "LoadBalancer", "port": 443, "annotations": {"example.org/internal": "true"}},
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {"example.org/backend": "https"},
        "hosts": ["features.example.org"],
        "tls": [{"secretName": "features", "hosts": ["features.example.org"]}],
    },
    "autoscaling": {
        "enabled": True,
        "minReplicas": 4,
        "metrics": [
            {
                "type": "Pods",
                "pods": {"metric": {"name": "feature_gateway_reads"}, "target": {"type": "AverageValue", "averageValue": "4k"}},
            }
        ],
    },
    "podDisruptionBudget": {"maxUnavailable": "25%"},
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": []}]}}},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "serving", "operator": "Exists"}],
    "priorityClassName": "serving",
    "podAnnotations": {"example.org/rolled": "1"},
    "podLabels": {"team": "features"},
    "serviceAccount": {"annotations": {"example.org/role": "reader"}},
    "networkPolicy": {
        "enabled": True,
        "clients": [PEER],
        "scrapers": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        "redis": {"to": [{"podSelector": {"matchLabels": {"app": "valkey"}}}], "port": 6390},
        "postgresql": {"to": [{"ipBlock": {"cidr": "10.2.0.0/16"}}]},
        "extraEgress": [{"ports": [{"port": 8088, "protocol": "TCP"}]}],
    },
    "monitoring": {
        "serviceMonitor": {
            "enabled": True,
            "labels": {"release": "prometheus"},
            "authorization": secret("scraper"),
            "tlsConfig": {"insecureSkipVerify": True},
        },
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
        "dashboard": {"enabled": True, "annotations": {"grafana_folder": "Serving"}},
    },
}

VALUES: dict[str, Values] = {
    "nothing said": {},
    "a cluster that judges callers": CLUSTER,
    "a cluster, with keys in the settings": {
        "settings": CLUSTER["settings"] | {"auth": {"keys": {"scoring": {"digest": "0" * 64, "workspaces": ["*"]}}}},
        "secrets": {"originApiKey": secret("cluster")},
        "replicas": 2,
    },
    "a cluster, with keys in a file": CLUSTER | {"replicas": 1, "secrets": {"originApiKey": secret("cluster")}},
    "own definitions": OWN_DEFINITIONS,
    "own definitions, without a volume": OWN_DEFINITIONS | {"persistence": {"enabled": False}},
    "a volume that is there": {"persistence": {"existingClaim": "data-of-old"}},
    "on Redis, two workers": ON_REDIS,
    "everything on": EVERYTHING,
    "one port": {"settings": {"server": {"operations_port": None}}},
    "everything on one port": EVERYTHING | {"settings": EVERYTHING["settings"] | TOGETHER},
}
