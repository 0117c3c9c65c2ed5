"""The README's section on Kubernetes, typed as it stands."""

import re
import shlex
from pathlib import Path

import yaml

from tests.harness.helm import ROOT, Helm

SECTION = re.split(r"^## ", (ROOT / "README.md").read_text().partition("\n## On Kubernetes\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def test_should_install_as_it_is_written(helm: Helm, tmp_path: Path) -> None:
    features = tmp_path / "orders.yaml"
    features.write_text("workspace: shop\n")
    installations = re.findall(r"^helm install (.+)$", SECTION, re.MULTILINE)
    assert len(installations) == 2
    for typed in installations:
        ended = helm.run("template", *shlex.split(typed.replace("features/orders.yaml", str(features))))
        assert ended.returncode == 0, ended.stderr
        documents = [one for one in yaml.safe_load_all(ended.stdout) if one]
        assert any(one["kind"] == "Deployment" for one in documents)
        if "--set-file" in typed:
            assert {"orders.yaml": "workspace: shop\n"} in [one.get("data") for one in documents]


def test_should_name_values_that_there_are() -> None:
    values = yaml.safe_load((ROOT / "helm" / "feature-gateway" / "values.yaml").read_text())
    named = re.findall(r"`((?:settings|definitions|networkPolicy|monitoring|autoscaling|persistence|secrets)(?:\.\w+)+)`", SECTION)
    assert len(named) > 5
    for path in named:
        node = values
        for name in path.split("."):
            assert name in node, path
            node = node[name]
