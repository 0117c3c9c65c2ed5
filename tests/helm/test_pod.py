"""The pod: asked on routes that there are, ended in the gateway's own time, and allowed no more than it needs."""

import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, SecretStr

from gateway.hosting.running import CLOSING_S
from gateway.settings import PREFIX, Settings, SettingsError, load
from tests.harness.cluster import ALICE, Cluster
from tests.harness.helm import Document, Helm, Values
from tests.harness.houses import cluster_settings, open_house
from tests.helm.releases import CLUSTER, EVERYTHING, ON_REDIS, OWN_DEFINITIONS, TOGETHER, VALUES


def secrets(model: type[BaseModel] = Settings, path: str = "") -> Iterator[str]:
    """Every setting that is secret, as the variable that sets it."""
    for name, field in model.model_fields.items():
        annotation: Any = field.annotation
        if SecretStr in (annotation, *get_args(annotation)):
            yield f"{PREFIX}{path}{name}".upper()
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from secrets(annotation, f"{path}{name}__")


def pods(helm: Helm) -> Iterator[tuple[str, Document]]:
    """The specification of every pod in any of the releases, the test's too."""
    for case in ("nothing said", "own definitions", "on Redis, two workers", "everything on"):
        documents = helm.documents(VALUES[case])
        yield f"{case}: gateway", documents.pod
        for pod in documents.of("Pod"):
            yield f"{case}: {pod['metadata']['name']}", pod["spec"]


def containers(pod: Document) -> list[Document]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def test_should_be_asked_on_routes_that_there_are(helm: Helm, cluster: Cluster) -> None:
    documents = helm.documents(EVERYTHING)
    container = documents.container
    asked = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert asked == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}
    [test] = documents.one("Pod", "-test")["spec"]["containers"]
    paths = {*asked.values(), *re.findall(r'"(/\w[\w.]*)"', test["args"][0])}
    assert {"/livez", "/readyz", "/openapi.json"} == paths
    with open_house(cluster_settings(cluster.url), credential=ALICE) as house:
        assert {path: house.client.get(path).status_code for path in paths} == dict.fromkeys(paths, 200)


@pytest.mark.parametrize("scheme", ["HTTP", "HTTPS"])
@pytest.mark.parametrize("apart", [True, False])
def test_should_be_asked_the_way_that_it_speaks(helm: Helm, scheme: str, *, apart: bool) -> None:
    values: Values = {"tls": {"secretName": "gateway-tls" if scheme == "HTTPS" else ""}}
    documents = helm.documents(values | ({} if apart else {"settings": TOGETHER}))
    container = documents.container
    asked = {"port": "operations", "scheme": "HTTP"} if apart else {"port": "http", "scheme": scheme}
    assert asked["port"] in {port["name"] for port in container["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": container[probe]["httpGet"]["path"]} | asked
    [port] = documents.one("Service")["spec"]["ports"]
    assert port["appProtocol"] == scheme.lower()
    assert ("tls_key_file" in documents.settings) == (scheme == "HTTPS")
    assert any(mount["mountPath"] == "/etc/feature-gateway/tls" for mount in container["volumeMounts"]) == (scheme == "HTTPS")


@pytest.mark.parametrize(
    ("server", "drain_s", "grace_s"),
    [({}, 10, 30), ({"drain_s": 0, "shutdown_grace_s": 0}, 0, 0), ({"drain_s": 7.5, "shutdown_grace_s": 120}, 7.5, 120)],
)
def test_should_be_given_the_time_that_the_gateway_takes_to_end(helm: Helm, server: Values, drain_s: float, grace_s: float) -> None:
    given_s = helm.documents({"settings": {"server": server}}).pod["terminationGracePeriodSeconds"]
    assert drain_s + grace_s + CLOSING_S <= given_s < drain_s + grace_s + CLOSING_S + 1


def test_should_not_sleep_before_it_drains(helm: Helm) -> None:
    """The gateway serves on after SIGTERM; and drains for longer than readiness takes to turn red, should anybody go by that."""
    container = helm.documents({}).container
    assert "lifecycle" not in container
    probe = container["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] <= 10


def test_should_name_every_secret_setting_and_no_other_variable_of_the_gateway_s(helm: Helm) -> None:
    named: dict[str, Any] = {}
    for values in (EVERYTHING, ON_REDIS):
        for variable in helm.documents(values).container["env"]:
            if variable["name"].startswith(PREFIX):
                named[variable["name"]] = variable["valueFrom"]["secretKeyRef"]
    assert set(named) == set(secrets())
    assert named["FEATURE_GATEWAY_AUTH__DATABASE"] == {"name": "access", "key": "dsn"}
    assert named["FEATURE_GATEWAY_CACHE__SHARED__URL"] == {"name": "shared-cache", "key": "url"}


def test_should_name_none_where_none_is_given(helm: Helm) -> None:
    assert [one["name"] for one in helm.documents({}).container["env"]] == ["HOME"]


def test_should_have_no_variables_made_of_services(helm: Helm, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a release called feature-gateway the gateway would take them for its settings, and not start."""
    assert all(pod["enableServiceLinks"] is False for _, pod in pods(helm))
    monkeypatch.setenv("FEATURE_GATEWAY_SERVICE_HOST", "10.0.0.1")
    with pytest.raises(SettingsError, match="FEATURE_GATEWAY_SERVICE_HOST"):
        load()


def test_should_be_allowed_nothing_beyond_what_it_needs(helm: Helm) -> None:
    for name, pod in pods(helm):
        assert pod["automountServiceAccountToken"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), name
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 10_000, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert container["resources"]["limits"]["memory"], name


def test_should_mount_the_volumes_that_it_has_beside_one_another(helm: Helm) -> None:
    for name, pod in pods(helm):
        volumes = {volume["name"] for volume in pod.get("volumes", [])}
        for container in containers(pod):
            mounts = container.get("volumeMounts", [])
            assert {mount["name"] for mount in mounts} <= volumes, name
            places = [f"{mount['mountPath']}/" for mount in mounts]
            assert not [(one, other) for one in places for other in places if one != other and one.startswith(other)], name


def test_should_write_to_what_can_be_written_to(helm: Helm) -> None:
    pod = helm.documents(CLUSTER).pod
    [container] = pod["containers"]
    writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    [home] = [variable["value"] for variable in container["env"] if variable["name"] == "HOME"]
    assert writable == {home, "/var/lib/feature-gateway"}


@pytest.mark.parametrize(
    ("values", "claim"),
    [
        ({}, "prices-feature-gateway-data"),
        ({"persistence": {"existingClaim": "of-old"}}, "of-old"),
        ({"persistence": {"enabled": False}}, None),
        (CLUSTER, None),
        (ON_REDIS, None),
        (VALUES["a cluster, with keys in a file"], "prices-feature-gateway-data"),
    ],
)
def test_should_have_a_volume_where_something_is_kept_in_files(helm: Helm, values: Values, claim: str | None) -> None:
    documents = helm.documents(values)
    [data] = [one for one in documents.pod["volumes"] if one["name"] == "data"]
    assert data == {"name": "data"} | ({"emptyDir": {}} if claim is None else {"persistentVolumeClaim": {"claimName": claim}})
    made = [one["metadata"]["name"] for one in documents.of("PersistentVolumeClaim")]
    assert made == ([claim] if claim == "prices-feature-gateway-data" else [])


def test_should_put_own_definitions_in_force_before_it_serves(helm: Helm) -> None:
    documents = helm.documents(OWN_DEFINITIONS)
    [apply] = documents.pod["initContainers"]
    assert apply["args"][:2] == ["apply", "/etc/feature-gateway/definitions"]
    assert apply["volumeMounts"] == documents.container["volumeMounts"]
    assert apply["env"] == documents.container["env"]
    assert "definitions =" not in documents.settings
    assert documents.one("ConfigMap", "-definitions")["data"] == OWN_DEFINITIONS["definitions"]["files"]


def test_should_check_definitions_before_anything_is_ended(helm: Helm) -> None:
    for values, name in ((OWN_DEFINITIONS, "prices-feature-gateway-check"), (ON_REDIS, "our-definitions")):
        documents = helm.documents(values)
        check = documents.one("Pod", "-check")
        assert check["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert {"name": "definitions", "configMap": {"name": name}} in check["spec"]["volumes"]
        assert "serviceAccountName" not in check["spec"], "the release's is not there yet"
    before, after = (helm.documents(OWN_DEFINITIONS).one("ConfigMap", suffix) for suffix in ("-check", "-definitions"))
    assert before["data"] == after["data"]
    assert before["metadata"]["annotations"]["helm.sh/hook-weight"] == "-1"
    assert len(helm.documents({}).of("Pod")) == 1


def test_should_serve_definitions_as_they_are_where_several_pods_share_a_store(helm: Helm) -> None:
    documents = helm.documents(ON_REDIS)
    assert "initContainers" not in documents.pod
    assert 'definitions = "/etc/feature-gateway/definitions"' in documents.settings
    assert {"name": "definitions", "configMap": {"name": "our-definitions"}} in documents.pod["volumes"]


@pytest.mark.parametrize(
    ("values", "rolls"),
    [
        ({"settings": {"cache": {"ttl_s": 61}}}, True),
        (OWN_DEFINITIONS, True),
        ({"podAnnotations": {"example.org/rolled": "2"}}, True),
        ({"service": {"annotations": {"a": "b"}}}, False),
    ],
)
def test_should_roll_when_what_it_reads_changes(helm: Helm, values: Values, rolls: bool) -> None:  # noqa: FBT001 - a case
    def annotations(values: Values) -> Document:
        found: Document = helm.documents(values).one("Deployment")["spec"]["template"]["metadata"]["annotations"]
        return found

    assert (annotations(values) != annotations({})) == rolls


def test_should_be_selected_by_its_own_labels_and_the_test_s_pod_by_none(helm: Helm) -> None:
    documents = helm.documents(EVERYTHING)
    labels = documents.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    of_test = documents.one("Pod", "-test")["metadata"]["labels"]
    selectors = [
        documents.one("Deployment")["spec"]["selector"]["matchLabels"],
        documents.one("Service")["spec"]["selector"],
        documents.one("Service", "-operations")["spec"]["selector"],
        documents.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        documents.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(one["labelSelector"]["matchLabels"] for one in documents.pod["topologySpreadConstraints"]),
    ]
    assert len(selectors) == 7
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not selector.items() <= of_test.items()
    service_monitor = documents.one("ServiceMonitor")["spec"]["selector"]["matchLabels"]
    assert service_monitor.items() <= documents.one("Service")["metadata"]["labels"].items()


def test_should_be_spread_as_it_is_said(helm: Helm) -> None:
    own = {"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "x"}}}
    assert helm.documents({"topologySpreadConstraints": [own]}).pod["topologySpreadConstraints"] == [own]
    assert "topologySpreadConstraints" not in helm.documents({"topologySpreadConstraints": []}).pod


def test_should_have_what_else_is_said_of_it(helm: Helm) -> None:
    pod = helm.documents(EVERYTHING).pod
    assert pod["affinity"] == EVERYTHING["affinity"]
    assert pod["tolerations"] == EVERYTHING["tolerations"]
    assert pod["nodeSelector"] == EVERYTHING["nodeSelector"]
    assert pod["priorityClassName"] == "serving"
    [container] = pod["containers"]
    assert container["image"] == f"images.example/feature-gateway:0.1.0@sha256:{'0a' * 32}"
    assert container["envFrom"] == EVERYTHING["extraEnvFrom"]
    assert EVERYTHING["extraEnv"][0] in container["env"]
    assert EVERYTHING["extraVolumeMounts"][0] in container["volumeMounts"]
    assert EVERYTHING["extraVolumes"][0] in pod["volumes"]


def test_should_send_spans_where_it_is_said(helm: Helm) -> None:
    variables = {one["name"]: one.get("value") for one in helm.documents(EVERYTHING).container["env"]}
    assert variables["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector.observability:4318"
    assert variables["OTEL_EXPORTER_OTLP_PROTOCOL"] == "http/protobuf"
    assert variables["OTEL_RESOURCE_ATTRIBUTES"] == "k8s.namespace.name=features,k8s.pod.name=$(POD_NAME)"
    assert list(variables).index("POD_NAME") < list(variables).index("OTEL_RESOURCE_ATTRIBUTES"), "only what comes before is put in"


def test_should_leave_the_number_of_pods_to_the_autoscaler(helm: Helm) -> None:
    documents = helm.documents(EVERYTHING)
    assert "replicas" not in documents.one("Deployment")["spec"]
    scaler = documents.one("HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"]["name"] == documents.one("Deployment")["metadata"]["name"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (4, 10)
    assert [metric["type"] for metric in scaler["metrics"]] == ["Resource", "Pods"]
    assert helm.documents(CLUSTER).one("Deployment")["spec"]["replicas"] == 3
