"""Who reaches the gateway, and whom it reaches."""

from typing import Any

import pytest

from tests.harness.helm import Documents, Helm, Values
from tests.helm.releases import CLUSTER, EVERYTHING, ON_REDIS, PEER, VALUES

ON: Values = {"networkPolicy": {"enabled": True}}


def egress(documents: Documents) -> dict[int, Any]:
    """Whom it may call, by port. None: anybody."""
    rules = documents.one("NetworkPolicy")["spec"]["egress"]
    return {port["port"]: rule.get("to") for rule in rules for port in rule["ports"]}


def test_should_let_in_who_is_said_at_the_port_that_the_service_leads_to(helm: Helm) -> None:
    documents = helm.documents(EVERYTHING)
    policy = documents.one("NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    callers, scrapers = policy["ingress"]
    test, *others = callers["from"]
    assert test["podSelector"]["matchLabels"].items() <= documents.one("Pod", "-test")["metadata"]["labels"].items()
    assert others == [PEER]
    assert scrapers["from"] == EVERYTHING["networkPolicy"]["scrapers"]
    for rule, container_port, service in zip(
        (callers, scrapers), documents.container["ports"], (documents.one("Service"), documents.one("Service", "-operations")), strict=True
    ):
        [service_port] = service["spec"]["ports"]
        [port] = rule["ports"]
        assert port == {"port": container_port["name"], "protocol": "TCP"}
        assert container_port["name"] == service_port["targetPort"]


def test_should_let_both_in_where_everything_is_on_one_port(helm: Helm) -> None:
    documents = helm.documents(VALUES["everything on one port"])
    [rule] = documents.one("NetworkPolicy")["spec"]["ingress"]
    [container_port] = documents.container["ports"]
    [service_port] = documents.one("Service")["spec"]["ports"]
    assert rule["ports"] == [{"port": "http", "protocol": "TCP"}]
    assert container_port["name"] == service_port["targetPort"] == "http"
    test, *others = rule["from"]
    assert test["podSelector"]["matchLabels"].items() <= documents.one("Pod", "-test")["metadata"]["labels"].items()
    assert others == [PEER, *EVERYTHING["networkPolicy"]["scrapers"]]


def test_should_let_in_its_own_namespace_where_nobody_is_said(helm: Helm) -> None:
    [rule] = helm.documents(ON).one("NetworkPolicy")["spec"]["ingress"]
    assert rule["from"][1:] == [{"podSelector": {}}]


@pytest.mark.parametrize(
    ("values", "ports"),
    [
        ({}, {53}),
        (CLUSTER, {53, 443}),
        (ON_REDIS, {53, 6379, 5432}),
        ({"telemetry": {"otlpEndpoint": "https://collector.example"}}, {53, 443}),
        ({"telemetry": {"otlpEndpoint": "http://collector.example:4317", "otlpProtocol": "grpc"}}, {53, 4317}),
        ({"settings": {"origin": {"kind": "tecton", "url": "http://cluster.example/x"}}}, {53, 80}),
        ({"settings": {"origin": {"kind": "tecton", "url": "https://[2001:db8::1]:8443"}}}, {53, 8443}),
        (EVERYTHING, {53, 8443, 443, 6390, 5432, 4318, 8088}),
    ],
)
def test_should_let_out_to_what_the_gateway_calls_and_no_further(helm: Helm, values: Values, ports: set[int]) -> None:
    assert set(egress(helm.documents(ON | values))) == ports


def test_should_let_out_to_whom_is_said(helm: Helm) -> None:
    allowed = egress(helm.documents(EVERYTHING))
    assert allowed[53] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}]
    assert allowed[6390] == EVERYTHING["networkPolicy"]["redis"]["to"]
    assert allowed[5432] == EVERYTHING["networkPolicy"]["postgresql"]["to"]
    assert allowed[8443] is None


def test_should_be_reached_from_outside_by_the_names_that_are_said(helm: Helm) -> None:
    documents = helm.documents(EVERYTHING)
    ingress = documents.one("Ingress")["spec"]
    [rule] = ingress["rules"]
    [path] = rule["http"]["paths"]
    service = documents.one("Service")
    assert rule["host"] == "features.example.org"
    assert path["backend"]["service"] == {"name": service["metadata"]["name"], "port": {"name": service["spec"]["ports"][0]["name"]}}
    assert ingress["tls"] == EVERYTHING["ingress"]["tls"]


def test_should_be_tested_where_the_service_is(helm: Helm) -> None:
    documents = helm.documents(EVERYTHING)
    [container] = documents.one("Pod", "-test")["spec"]["containers"]
    [asked] = container["env"]
    service = documents.one("Service")
    assert (
        asked["value"] == f"https://{service['metadata']['name']}.{service['metadata']['namespace']}:{service['spec']['ports'][0]['port']}"
    )
    assert documents.one("Pod", "-test")["metadata"]["annotations"]["helm.sh/hook"] == "test"
