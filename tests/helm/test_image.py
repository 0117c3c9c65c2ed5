"""The image, as far as it can be told without a container engine: what its Dockerfile says, and what that does, done in a folder."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.harness.dockerfile import build, read
from tests.harness.helm import ROOT, Helm

DOCKERFILE = ROOT / "helm" / "Dockerfile"
ARGUMENTS, (BUILD, FINAL) = read(DOCKERFILE)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_should_stand_on_the_official_image_of_a_python_that_the_gateway_runs_on() -> None:
    found = re.fullmatch(r"python:(\d+)\.(\d+)-slim", ARGUMENTS["BASE"])
    assert found is not None
    oldest = re.fullmatch(r">=(\d+)\.(\d+)", PROJECT["requires-python"])
    assert oldest is not None
    assert tuple(map(int, found.groups())) >= tuple(map(int, oldest.groups()))
    assert (BUILD.base, FINAL.base) == ("${BASE} AS build", "${BASE}")


def test_should_copy_what_the_context_has_and_no_more() -> None:
    admitted = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {source.rstrip("/") for said in BUILD.all("COPY") for source in said.split()[:-1]}
    assert copied == admitted
    assert all((ROOT / source).exists() for source in copied)
    assert {"gateway", "pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]} == copied


def test_should_install_extras_that_there_are() -> None:
    assert set(ARGUMENTS["EXTRAS"].split(",")) <= PROJECT["optional-dependencies"].keys() - {"dev"}


def test_should_be_what_the_chart_takes_it_for(helm: Helm) -> None:
    documents = helm.documents({})
    container, security = documents.container, documents.pod["securityContext"]
    assert "command" not in container, "the image's own"
    assert json.loads(FINAL.last("ENTRYPOINT")) == ["feature-gateway"]
    assert "feature-gateway" in PROJECT["scripts"]
    assert FINAL.last("USER") == f"{security['runAsUser']}:{security['runAsGroup']}"
    assert int(FINAL.last("EXPOSE")) == container["ports"][0]["containerPort"]
    writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert FINAL.last("WORKDIR") in writable
    assert {variable["value"] for variable in container["env"] if variable["name"] == "HOME"} <= writable
    [copied] = FINAL.all("COPY")
    assert copied.split()[1] == copied.split()[2], "scripts name the Python beside them by its whole path"
    assert f"PATH={copied.split()[2]}/bin:" in FINAL.last("ENV")


def test_should_give_up_root_before_anything_is_run() -> None:
    names = [name for name, _ in FINAL.steps]
    assert names.index("USER") > max(number for number, name in enumerate(names) if name == "RUN")


@pytest.mark.slow
def test_should_build_to_a_gateway_that_runs(tmp_path: Path) -> None:
    """From wheels alone, as a base without a compiler needs."""
    assert "--only-binary=:all:" in BUILD.all("RUN")[-1]
    build(BUILD, ARGUMENTS, tmp_path)
    programs = tmp_path / "opt" / "feature-gateway" / "bin"
    ended = subprocess.run([programs / "feature-gateway", "--version"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert PROJECT["version"] in ended.stdout
    subprocess.run([programs / "python", "-c", "import psycopg, gateway.app"], check=True, cwd=tmp_path)
    options = json.loads(FINAL.last("CMD"))
    told = subprocess.run([programs / "feature-gateway", options[0], "--help"], capture_output=True, text=True, check=True).stdout
    assert all(option in told for option in options if option.startswith("--"))
