"""The pod starts, serves and ends as the chart has it: its command line, variables, settings and volumes, and nothing else to write to."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from gateway.access.keys import digest, new_key
from tests.harness.clock import PATIENCE_S, wait_until
from tests.harness.cluster import ALICE, LITE, Cluster
from tests.harness.helm import Document, Documents, Helm, Values
from tests.harness.houses import READER, authorization
from tests.harness.pods import LACKING, Node, isolating
from tests.harness.repositories import AS_OF, SERVICE, write_repository
from tests.helm.releases import secret

pytestmark = pytest.mark.skipif(isolating() is None, reason=LACKING)
QUICK = {"drain_s": 0.1, "shutdown_grace_s": 5}
V1 = "/api/v1/feature-service/get-features"


@pytest.fixture
def server(free_tcp_port_factory: Callable[[], int]) -> Values:
    """Ports that no other pod of this machine has."""
    return QUICK | {"port": free_tcp_port_factory(), "operations_port": free_tcp_port_factory()}


def url_of(documents: Documents, port: str) -> str:
    [number] = [one["containerPort"] for one in documents.container["ports"] if one["name"] == port]
    return f"http://127.0.0.1:{number}"


@contextmanager
def serving(node: Node, documents: Documents) -> Iterator[tuple[httpx.Client, subprocess.Popen[str]]]:
    """The container, from when its own probe would say that it is ready."""
    probe = documents.container["readinessProbe"]["httpGet"]
    url = url_of(documents, probe["port"]) + probe["path"]
    with httpx.Client(base_url=url_of(documents, "http"), timeout=PATIENCE_S) as client, node.start(documents.container) as process:

        def is_ready() -> bool:
            try:
                return httpx.get(url).status_code == 200
            except httpx.TransportError:
                return process.poll() is not None

        wait_until(is_ready, "the pod to be ready")
        assert process.poll() is None, process.communicate()
        yield client, process


def end(process: subprocess.Popen[str], documents: Documents) -> str:
    """As a kubelet does. What it said."""
    process.terminate()
    said, _ = process.communicate(timeout=documents.pod["terminationGracePeriodSeconds"])
    assert process.returncode == 0, said
    return said


def ask_as_helm_test_does(documents: Documents, node: Node) -> subprocess.CompletedProcess[str]:
    [container] = documents.one("Pod", "-test")["spec"]["containers"]
    there = {"name": "GATEWAY", "value": url_of(documents, "http")}  # there is no Service here
    return node.run(container | {"env": [there]})


@pytest.mark.slow
def test_should_serve_own_definitions_and_keep_them_on_its_volume(helm: Helm, server: Values, tmp_path: Path) -> None:
    files = {path.name: path.read_text() for path in write_repository(tmp_path / "features").iterdir()}
    admin = new_key()
    values = {
        "settings": {"server": server, "feature_server": {"as_of": AS_OF}, "default_workspace": "shop"},
        "definitions": {"files": files},
        "secrets": {"authAdminKey": secret("admin")},
    }
    documents = helm.documents(values)
    node = Node(documents, tmp_path, {"FEATURE_GATEWAY_AUTH__ADMIN_KEY": admin})
    [apply] = documents.pod["initContainers"]
    applied = node.run(apply)
    assert "Version 1 is in force" in applied.stdout, applied.stderr
    with serving(node, documents) as (client, process):
        read = client.post(f"{SERVICE}/features", json={"joinKeys": {"user_id": "u1"}}, headers=authorization(admin))
        assert read.status_code == 200, read.text
        test = ask_as_helm_test_does(documents, node)
        assert test.returncode == 0, test.stderr
        assert test.stdout.count("answers") == 3
        said = end(process, documents)
    assert admin not in said
    assert "shown only now" not in said
    assert {path.name for path in node.volume("data").iterdir()} >= {"online.db", "access.db", "access.kek", "definitions"}


def test_should_refuse_definitions_that_make_no_sense(helm: Helm, tmp_path: Path) -> None:
    documents = helm.documents({"definitions": {"files": {"orders.yaml": "workspace: shop\nsauces: []\n"}}})
    [check] = documents.one("Pod", "-check")["spec"]["containers"]
    checked = Node(documents, tmp_path, {}).run(check)
    assert checked.returncode != 0
    assert "orders.yaml:2: sauces" in checked.stderr


def test_should_serve_before_a_cluster(helm: Helm, cluster: Cluster, server: Values, tmp_path: Path) -> None:
    documents = helm.documents({"settings": {"server": server, "origin": {"kind": "tecton", "url": cluster.url}}})
    node = Node(documents, tmp_path, {})
    asked = {"workspaceName": "prod", "featureServiceName": "lite", "joinKeyMap": {"user_id": "7", "merchant_id": "3"}}
    with serving(node, documents) as (client, process):
        read = client.post(V1, json={"params": asked}, headers=authorization(ALICE))
        assert (read.status_code, len(read.json()["result"]["features"])) == (200, len(LITE.features))
        end(process, documents)


@pytest.mark.slow
def test_should_serve_from_several_processes_on_redis(helm: Helm, valkey_url: str, server: Values, tmp_path: Path) -> None:
    files = {path.name: path.read_text() for path in write_repository(tmp_path / "features").iterdir()}
    values = {
        "settings": {
            "server": server | {"workers": 2},
            "feature_server": {"store": "redis", "as_of": AS_OF},
            "auth": {"keys": {"reader": {"digest": digest(READER), "workspaces": ["*"]}}},
        },
        "definitions": {"files": files},
        "secrets": {"featureServerRedisUrl": secret("online-store")},
        "replicas": 2,
        "resources": {"limits": {"memory": "1Gi"}},
    }
    documents = helm.documents(values)
    node = Node(documents, tmp_path, {"FEATURE_GATEWAY_FEATURE_SERVER__REDIS__URL": valkey_url})
    with serving(node, documents) as (client, process):
        read = client.post(f"{SERVICE}/features", json={"joinKeys": {"user_id": "u1"}}, headers=authorization(READER))
        assert read.status_code == 200, read.text
        assert ask_as_helm_test_does(documents, node).returncode == 0
        assert valkey_url not in end(process, documents)


def test_should_have_nothing_else_to_write_to(helm: Helm, tmp_path: Path) -> None:
    """Which holds the two above to it."""
    documents = helm.documents({})
    node = Node(documents, tmp_path, {})

    def touches(place: str) -> bool:
        touch: Document = documents.container | {"command": ["touch", f"{place}/x"], "args": []}
        return node.run(touch).returncode == 0

    writable = [mount["mountPath"] for mount in documents.container["volumeMounts"] if not mount.get("readOnly")]
    assert len(writable) == 2
    assert all(map(touches, writable))
    assert not any(map(touches, ["", "/etc", "/var/lib", "/var", "/etc/feature-gateway"]))
