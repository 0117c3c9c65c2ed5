"""What the chart renders is what Kubernetes takes, whichever Helm renders it."""

import json
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.harness.helm import CHART, NAMESPACE, RELEASE, Documents, Helm
from tests.helm.releases import EVERYTHING, VALUES

KUBERNETES = ("1.29", "1.36")
"""The oldest that Chart.yaml admits, and a recent one."""
OF_OPERATORS = {"ServiceMonitor", "PrometheusRule"}


@pytest.mark.parametrize("case", ["nothing said", "on Redis, two workers", "everything on"])
def test_should_have_nothing_that_lint_complains_of(each_helm: Helm, case: str) -> None:
    ended = each_helm.run("lint", "--strict", str(CHART), values=VALUES[case])
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "[WARNING]" not in ended.stdout


@pytest.mark.parametrize("case", VALUES)
def test_should_be_valid_to_the_letter(helm: Helm, case: str) -> None:
    documents = [one for one in helm.documents(VALUES[case]) if one["kind"] not in OF_OPERATORS]
    assert documents
    for document, version in product(documents, KUBERNETES):
        kubernetes_validate.validate(document, version, strict=True)


def test_should_be_refused_where_it_is_not() -> None:
    """The check above finds something where there is something."""
    with pytest.raises(kubernetes_validate.ValidationError, match="targetPrt"):
        kubernetes_validate.validate(
            {"apiVersion": "v1", "kind": "Service", "metadata": {}, "spec": {"ports": [{"port": 1, "targetPrt": 2}]}}, "1.36", strict=True
        )


@pytest.mark.parametrize("case", VALUES)
def test_should_render_alike_in_both(helms: Mapping[str, Helm], case: str) -> None:
    def in_order(documents: Documents) -> list[str]:
        return sorted(json.dumps(one, sort_keys=True) for one in documents)

    one, other = (in_order(helm.documents(VALUES[case])) for helm in helms.values())
    assert one == other


def test_should_put_everything_in_the_release_s_namespace_with_its_labels(helm: Helm) -> None:
    documents = helm.documents(EVERYTHING)
    assert {one["metadata"]["namespace"] for one in documents} == {NAMESPACE}
    for one in documents:
        labels = one["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == RELEASE
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
    names = [(one["kind"], one["metadata"]["name"]) for one in documents]
    assert len(set(names)) == len(names)


ALWAYS = {"ConfigMap", "Deployment", "Pod", "PodDisruptionBudget", "Service", "ServiceAccount"}
ASKED_FOR = {"HorizontalPodAutoscaler", "Ingress", "NetworkPolicy", "PrometheusRule", "ServiceMonitor"}


def test_should_make_of_everything_all_there_is_and_of_nothing_no_more_than_it_needs(helm: Helm) -> None:
    assert {one["kind"] for one in helm.documents(EVERYTHING)} == ALWAYS | ASKED_FOR
    assert {one["kind"] for one in helm.documents({})} == ALWAYS | {"PersistentVolumeClaim"}


@pytest.mark.parametrize("release", ["feature-gateway", "a" * 53])
def test_should_have_names_that_fit(helm: Helm, release: str) -> None:
    ended = helm.run("template", release, str(CHART), values=EVERYTHING)
    names = [one["metadata"]["name"] for one in yaml.safe_load_all(ended.stdout) if one]
    assert names
    assert max(map(len, names)) <= 63
    assert all("feature-gateway-feature-gateway" not in name for name in names)


def test_should_have_a_version_that_is_the_gateway_s() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    pyproject = (Path(CHART).parents[1] / "pyproject.toml").read_text()
    assert f'version = "{chart["appVersion"]}"' in pyproject


def test_should_say_the_oldest_kubernetes_that_it_is_checked_for() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"] == f">={KUBERNETES[0]}.0-0"
