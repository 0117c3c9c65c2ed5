"""checkov's policies, on the chart as it comes, with everything on, and on the image; what is not asked is said, with the reason."""

import re
from pathlib import Path

import pytest
import yaml

from tests.harness.checkov import failed_checks, lend_checkov
from tests.harness.helm import ROOT, Helm, Unreachable
from tests.helm.releases import EVERYTHING

CONFIG = ROOT / "helm" / "checkov.yaml"
SKIPPED = set(yaml.safe_load(CONFIG.read_text())["skip-check"])
OF_THE_POD_TEST = {"CKV_K8S_8", "CKV_K8S_9"}


@pytest.fixture(scope="module")
def checkov() -> Path:
    try:
        return lend_checkov()
    except Unreachable as error:
        pytest.skip(str(error))


def test_should_give_a_reason_for_every_check_that_is_skipped() -> None:
    reasoned = re.findall(r"^  - (CKV2?_[A-Z0-9]+_\d+) # \w.{20,}$", CONFIG.read_text(), re.MULTILINE)
    assert len(reasoned) == len(set(reasoned)) == len(SKIPPED)


@pytest.mark.slow
def test_should_meet_every_policy_but_those_and_need_all_of_those(checkov: Path, helm: Helm, tmp_path: Path) -> None:
    everything = tmp_path / "everything.yaml"
    everything.write_text(helm.render(EVERYTHING))
    of_the_chart = ("--directory", ROOT / "helm", "--framework", "helm", "dockerfile")
    of_everything = ("--file", everything, "--framework", "kubernetes")
    as_it_comes = failed_checks(checkov, helm, *of_the_chart)
    with_everything_on = failed_checks(checkov, helm, *of_everything)
    assert with_everything_on == OF_THE_POD_TEST | {"CKV_K8S_11", "CKV_K8S_35"}
    assert as_it_comes | with_everything_on == SKIPPED


@pytest.mark.slow
def test_should_pass_as_the_readme_has_it(checkov: Path, helm: Helm) -> None:
    of_the_chart = ("--directory", ROOT / "helm", "--framework", "helm", "dockerfile")
    assert not failed_checks(checkov, helm, *of_the_chart, "--config-file", CONFIG)
