"""What the Prometheus operator and Grafana are told. Their kinds are not Kubernetes' own, so their fields are looked at one by one."""

import json
import shutil
from pathlib import Path

import yaml

from tests.harness.helm import CHART, NAMESPACE, Helm
from tests.helm.releases import EVERYTHING, VALUES

ENDPOINT_FIELDS = {"port", "path", "scheme", "relabelings", "interval", "scrapeTimeout", "authorization", "tlsConfig"}


def test_should_scrape_every_pod_as_it_is_said(helm: Helm) -> None:
    documents = helm.documents(EVERYTHING)
    monitor = documents.one("ServiceMonitor")
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"].keys() == {"selector", "namespaceSelector", "endpoints"}
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": [NAMESPACE]}
    [endpoint] = monitor["spec"]["endpoints"]
    assert endpoint.keys() == ENDPOINT_FIELDS - {"tlsConfig"}
    service = documents.one("Service", "-operations")
    assert service["spec"]["type"] == "ClusterIP"  # also where the other one is a load balancer's
    assert service["metadata"]["labels"].items() >= monitor["spec"]["selector"]["matchLabels"].items()
    assert endpoint["port"] == service["spec"]["ports"][0]["name"] == "operations"
    assert (endpoint["path"], endpoint["scheme"]) == ("/metrics", "http")
    assert endpoint["authorization"] == {"type": "Bearer", "credentials": {"name": "scraper", "key": "api-key"}}
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": documents.one("Service")["metadata"]["name"]}]


def test_should_scrape_where_everything_is_if_there_is_one_port(helm: Helm) -> None:
    documents = helm.documents(VALUES["everything on one port"])
    [endpoint] = documents.one("ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["port"] == documents.one("Service")["spec"]["ports"][0]["name"] == "http"
    assert (endpoint["scheme"], endpoint["tlsConfig"]) == ("https", {"insecureSkipVerify": True})
    assert not [one for one in documents.of("Service") if one["metadata"]["name"].endswith("-operations")]


def test_should_send_no_key_where_none_is_said(helm: Helm) -> None:
    [endpoint] = helm.documents({"monitoring": {"serviceMonitor": {"enabled": True}}}).one("ServiceMonitor")["spec"]["endpoints"]
    assert endpoint.keys() == ENDPOINT_FIELDS - {"authorization", "tlsConfig"}
    assert endpoint["scheme"] == "http"


def test_should_hand_on_the_rules_as_they_are(helm: Helm) -> None:
    rule = helm.documents(EVERYTHING).one("PrometheusRule")
    assert rule["apiVersion"] == "monitoring.coreos.com/v1"
    assert rule["spec"] == yaml.safe_load((CHART / "files" / "rules.yaml").read_text())
    assert rule["spec"]["groups"]


def test_should_hand_on_the_dashboard_as_it_is(helm: Helm) -> None:
    config_map = helm.documents(EVERYTHING).one("ConfigMap", "-dashboard")
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert config_map["metadata"]["annotations"] == {"grafana_folder": "Serving"}
    assert json.loads(config_map["data"]["feature-gateway.json"]) == json.loads((CHART / "files" / "dashboard.json").read_text())


def test_should_go_without_files_that_are_not_there(helm: Helm, tmp_path: Path) -> None:
    """A chart whose rules were taken out is a chart without them, not a broken one."""
    chart = shutil.copytree(CHART, tmp_path / "feature-gateway", ignore=shutil.ignore_patterns("files"))
    ended = helm.run("template", "prices", str(chart), values=EVERYTHING)
    assert ended.returncode == 0, ended.stderr
    kinds = {one["kind"] for one in yaml.safe_load_all(ended.stdout) if one}
    assert "ServiceMonitor" in kinds
    assert "PrometheusRule" not in kinds
