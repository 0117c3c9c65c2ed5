"""discover: what it prints can be pasted, what it says can be acted upon, and what it asks stays within what it said."""

import json
import os
import pty
import subprocess
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.settings import checked
from tests.harness.cluster import ALICE, BOB, FRAUD, NOBODY, Act, Cluster, refuse
from tests.harness.processes import COMMAND, plain_environment

CANARY = "canary-u1"
ANN: dict[str, Any] = {"user_id": CANARY, "merchant_id": "770077"}
BEN: dict[str, Any] = {"user_id": "canary-u2", "merchant_id": 990099}
AMOUNT = {"amount": 424_242.5}
SECRETS = ("canary", "770077", "990099", "424242", ALICE, "text-")


class Ended:
    def __init__(self, stdout: str, stderr: str) -> None:
        assert not [secret for secret in SECRETS if secret in stdout + stderr]
        self.stdout, self.stderr = stdout, stderr
        self.lines = stderr.splitlines()


def given(rows: Sequence[dict[str, Any]] = (ANN, BEN), context: dict[str, Any] | None = None) -> list[str]:
    told = [word for row in rows for word in ("--join-keys", json.dumps(row))]
    return told + ([] if context is None else ["--request-context", json.dumps(context)])


def discover(cluster: Cluster, *words: str, service: str = "lite", status: int = 0, key: str | None = ALICE) -> Ended:
    """In this process, which starts in no time."""
    environment = {} if key is None else {"FEATURE_GATEWAY_ORIGIN__API_KEY": key}
    ended = CliRunner().invoke(main, ["discover", "prod", service, "--tecton-url", cluster.url, *words], env=environment)
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    assert ended.exit_code == status, ended.stderr
    return Ended(ended.stdout, ended.stderr)


def test_it_prints_the_settings_of_every_view(cluster: Cluster) -> None:
    ended = discover(cluster, *given())
    assert tomllib.loads(ended.stdout) == {"views": {"merchant": {"join_keys": ["merchant_id"]}, "user": {"join_keys": ["user_id"]}}}
    assert "every feature service that serves a view of this name" in ended.stdout
    assert ended.lines == [
        "Asking for prod/lite: 2 samples, 2 join keys; at most 12 requests, 2 at a time.",
        "  merchant  learnt; user_id: 4 probes, 0 changed; merchant_id: 4 probes, 4 changed",
        "  user  learnt; user_id: 4 probes, 4 changed; merchant_id: 4 probes, 0 changed",
    ]
    assert len(cluster.asked()) == 12
    assert {params["requestOptions"]["readFromCache"] for params in cluster.params()} == {False}
    assert {params["requestOptions"]["writeToCache"] for params in cluster.params()} == {False}


def test_of_an_on_demand_view_it_prints_what_can_be_known(cluster: Cluster) -> None:
    ended = discover(cluster, *given(context=AMOUNT), service="fraud")
    told = tomllib.loads(ended.stdout)["views"]
    assert told == {
        "merchant": {"join_keys": ["merchant_id"]},
        "types": {"join_keys": ["user_id", "merchant_id"]},
        "user": {"join_keys": ["user_id"]},
    }
    hint = ended.stdout.partition("uncomment:\n")[2].partition("\n\n")[0]
    filled = tomllib.loads(hint.replace("# ", "").replace('a_view = ["a_feature"]', ""))
    assert filled == {
        "on_demand": {
            "views": {
                "basket": {
                    "function": "package.module:basket",
                    "inputs": {},
                    "context_keys": ["amount"],
                    "outputs": {"is_big": "boolean", "over": "float64"},
                }
            }
        }
    }
    checked({"origin": {"kind": "tecton", "url": "http://a"}, **filled, "views": told})


def test_it_may_be_told_as_json(cluster: Cluster) -> None:
    told = json.loads(discover(cluster, *given(), "--json").stdout)
    assert (told["workspace"], told["featureService"], told["samples"], told["requests"]) == ("prod", "lite", 2, 12)
    assert told["views"][0] == {
        "view": "merchant",
        "verdict": "learnt",
        "joinKeys": ["merchant_id"],
        "requestContext": [],
        "notSeen": [],
        "reason": "",
        "evidence": [
            {"part": "join key", "key": "user_id", "probes": 4, "changed": 0, "unanswered": 0},
            {"part": "join key", "key": "merchant_id", "probes": 4, "changed": 4, "unanswered": 0},
        ],
    }


def test_what_is_undecided_is_a_comment_with_its_reason(cluster: Cluster) -> None:
    ended = discover(cluster, *given([{**ANN, "user_id": NOBODY}, BEN][:1]))
    assert "# views.user is left out, and stays keyed on everything: no sample has data for it" in ended.stdout
    assert "# That it does not depend on user_id was not seen." in ended.stdout
    assert ended.lines[1] == "All samples have the same user_id, merchant_id: no view can be shown not to depend on it."


def test_names_are_quoted_where_toml_wants_it(cluster: Cluster) -> None:
    odd = 'o d"d\x7f'
    cluster.services["prod", "lite"] = replace(
        cluster.services["prod", "lite"], features=((f"{odd}.x", FRAUD.features[1][1]),), views={odd: ("user_id",)}
    )
    assert tomllib.loads(discover(cluster, *given()).stdout) == {"views": {odd: {"join_keys": ["user_id"]}}}


def test_settings_in_force_that_are_wrong_are_told_in_red(cluster: Cluster, tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    said = {"basket": ["user_id"], "types": ["user_id"], "user": ["user_id", "merchant_id"]}
    config.write_text("".join(f"[views.{view}]\njoin_keys = {json.dumps(keys)}\n" for view, keys in said.items()))
    ended = discover(cluster, *given(context=AMOUNT), "--config", str(config), service="fraud")
    assert [line for line in ended.lines if line.startswith("These settings")] == [
        "These settings serve wrong values: views.basket.join_keys is set, but the view depends on the request context: leave it out.",
        "These settings serve wrong values: views.types.join_keys leaves out merchant_id, which the view depends on.",
    ]


def test_samples_come_from_a_file_too(cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    rows = [{"joinKeys": ANN, "requestContext": AMOUNT}, {"joinKeys": BEN}]
    file.write_text("\n\n".join(json.dumps(row) for row in rows))
    words = ["--samples", str(file), "--request-context", '{"amount": 1}']
    told = tomllib.loads(discover(cluster, *words, service="fraud").stdout)
    assert sorted(told["views"]) == ["merchant", "types", "user"]
    assert {params["requestContextMap"]["amount"] for params in cluster.params()} >= {424_242.5, 1.0}


def test_samples_beyond_the_limit_are_left_out_and_that_is_said(cluster: Cluster) -> None:
    rows: list[dict[str, Any]] = [{"user_id": f"canary-{number}", "merchant_id": number} for number in range(40)]
    ended = discover(cluster, *given(rows), "--max-requests", "30")
    assert (
        ended.lines[0]
        == "Asking for prod/lite: 5 samples (35 more left out: --max-requests), 2 join keys; at most 30 requests, 2 at a time."
    )
    assert len(cluster.asked()) == 30


BAD: dict[str, tuple[list[str], str]] = {
    "no sample": ([], "--join-keys: give samples"),
    "no JSON": (["--join-keys", CANARY], "--join-keys 1: must be a JSON object"),
    "no object": ([*given(), "--request-context", '["canary"]'], "--request-context 1: must be a JSON object"),
    "a context too many": ([*given(), *given([], AMOUNT) * 3], "--request-context: give one for all samples, or one for each"),
    "a key too few": (given([{"user_id": CANARY}]), "sample 1: Missing required join key: merchant_id"),
    "a wrong type": (given([ANN, {**ANN, "merchant_id": "x-canary"}]), "sample 2: Unexpected JSON type for merchant_id"),
    "no file": (["--samples", "/nowhere/rows.jsonl"], "--samples: /nowhere/rows.jsonl cannot be read (No such file"),
    "no key file": ([*given(), "--api-key-file", "/nowhere/key"], "--api-key-file: /nowhere/key cannot be read"),
    "too few requests": ([*given(), "--max-requests", "3"], "--max-requests: one sample of this feature service takes up to 4"),
}


@pytest.mark.parametrize("mistake", BAD)
def test_a_mistake_is_told_by_its_place_and_nothing_is_asked(cluster: Cluster, mistake: str) -> None:
    words, told = BAD[mistake]
    ended = discover(cluster, *words, status=2)
    assert told in ended.stderr
    assert not cluster.asked()
    assert not ended.stdout


@pytest.mark.parametrize(
    "line", ['{"joinKeys": "canary"}', '{"joinKeys": {}, "requestContext": 5}', '{"joinKeys": {}, "canary": {}}', "[1"]
)
def test_a_bad_line_is_told_by_its_number(cluster: Cluster, tmp_path: Path, line: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"joinKeys": ANN}) + "\n" + line)
    assert f"{file}:2: must be " in discover(cluster, "--samples", str(file), status=2).stderr


def test_a_wildcard_service_has_nothing_to_learn(cluster: Cluster) -> None:
    ended = discover(cluster, *given([{"user_id": CANARY}], AMOUNT), service="visits", status=2)
    assert "prod/visits is a wildcard feature service" in ended.stderr


def test_without_a_key_or_a_cluster_it_says_how_to_give_one(cluster: Cluster) -> None:
    assert "FEATURE_GATEWAY_ORIGIN__API_KEY or --api-key-file" in discover(cluster, *given(), key=None, status=2).stderr
    ended = CliRunner().invoke(main, ["discover", "prod", "lite", *given()])
    assert ended.exit_code == 2
    assert "origin.url" in ended.stderr


def test_the_key_may_stand_in_a_file(cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "tecton.key"
    file.write_text(f"{ALICE}\n")
    assert discover(cluster, *given(), "--api-key-file", str(file), key=None).stdout


@pytest.mark.parametrize(
    ("service", "key", "status", "told"),
    [
        ("lite", "nobodys-key", 2, "Give a key of the cluster"),
        ("lite", BOB, 2, "must be allowed to read this workspace"),
        ("nothing", ALICE, 2, "See that WORKSPACE and SERVICE are as the cluster spells them"),
    ],
)
def test_what_the_cluster_refuses_comes_with_what_to_do(cluster: Cluster, service: str, key: str, status: int, told: str) -> None:
    ended = discover(cluster, *given(), service=service, key=key, status=status)
    assert "says the cluster" in ended.stderr or "Unknown feature_service_name" in ended.stderr
    assert told in ended.stderr


def test_a_cluster_that_asks_for_fewer_requests_is_left_alone(cluster: Cluster) -> None:
    cluster.act("get-features", Act(), Act(), refuse(429, "too many", 8))
    ended = discover(cluster, *given(), "--concurrency", "1", status=1)
    assert "too many\nNothing was learnt. Try again later, with --concurrency 1" in ended.stderr
    assert len(cluster.asked()) == 3


def test_of_those_under_way_no_other_is_begun(cluster: Cluster) -> None:
    cluster.act("get-features", Act(), refuse(429, "too many", 8))
    discover(cluster, *given(), "--concurrency", "4", status=1)
    assert len(cluster.asked()) <= 5


def test_a_cluster_that_is_away_is_told(cluster: Cluster) -> None:
    cluster.stop()
    assert "See that --tecton-url is right" in discover(cluster, *given(), status=1).stderr


def test_an_answer_that_cannot_be_understood_ends_it(cluster: Cluster) -> None:
    cluster.always("get-features", Act(body=b"{}"))
    assert "Nothing was learnt." in discover(cluster, *given(), status=1).stderr


def test_a_sample_that_the_cluster_refuses_is_told_by_its_number_alone(cluster: Cluster) -> None:
    cluster.act("get-features", *[Act()] * 6, refuse(400, f"no such user: {CANARY}", 3))
    ended = discover(cluster, *given(), status=2)
    assert "The cluster takes sample 2 for a wrong request." in ended.stderr


def test_a_probe_without_an_answer_is_counted_and_proves_nothing(cluster: Cluster) -> None:
    cluster.act("get-features", Act(), refuse(400, "null is not allowed", 3), Act(), refuse(500, "a function failed", 13))
    ended = discover(cluster, *given([ANN, BEN]), "--concurrency", "1")
    assert "user_id: 3 probes, 3 changed, 1 unanswered; merchant_id: 3 probes, 0 changed, 1 unanswered" in ended.stderr


def test_features_that_are_not_neighbours_are_one_view(cluster: Cluster) -> None:
    lite = cluster.services["prod", "lite"]
    cluster.services["prod", "lite"] = replace(lite, features=(lite.features[2], *lite.features[:2], lite.features[3]))
    assert sorted(tomllib.loads(discover(cluster, *given()).stdout)["views"]) == ["merchant", "user"]


def test_on_a_terminal_it_shows_a_table(cluster: Cluster) -> None:
    terminal, inside = pty.openpty()
    words = [str(COMMAND), "discover", "prod", "lite", "--tecton-url", cluster.url, *given()]
    environment = plain_environment(FEATURE_GATEWAY_ORIGIN__API_KEY=ALICE, TERM="xterm", COLUMNS="120")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=inside, env=environment)
    os.close(inside)
    shown = bytearray()
    with suppress(OSError):  # the other end has closed
        while True:
            shown += os.read(terminal, 65_536)
    os.close(terminal)
    stdout, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "views" in tomllib.loads(stdout.decode())
    assert "4 probes, 4 changed" in shown.decode()
    assert "│" in shown.decode()
