"""What callers may not know they cannot tell from an answer, nor from the work that went into it: whether an account, a scope or a secret
is there, whether an id is somebody's, and how much of a credential was right."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import pytest

from gateway.access.gates import KeyTable
from gateway.access.keys import digest, new_client_secret, new_key
from gateway.access.reach import Directory, Entry, Reach
from gateway.errors import Unauthenticated
from gateway.web.admin.routes import ACCOUNTS_TOO, AUTHORIZATION, SCOPES
from gateway.web.admin.tokens import PATH as TOKENS
from tests.doors.stage import Stage, open_stage

Said = tuple[int, dict[str, str], bytes]
"""Of an answer, all that its caller sees."""


@pytest.fixture(scope="module")
def stage(demo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(demo_dir, tmp_path_factory.mktemp("stage")) as stage:
        yield stage


def said(answer: httpx.Response) -> Said:
    own = {name: value for name, value in answer.headers.items() if name not in {"date", "x-request-id"}}
    return answer.status_code, own, answer.content


def on(place: str) -> dict[str, str]:
    return {"resource_type": "RESOURCE_TYPE_SECRET_SCOPE", "resource_id": place}


def whom(kind: str, name: str) -> dict[str, str]:
    return {"principal_type": f"PRINCIPAL_TYPE_{kind}", "principal_id": name}


READER = {**whom("SERVICE_ACCOUNT", "sa-bare"), "role": "read_scope_role"}
SCOPED: list[tuple[str, str, Callable[[str], Any]]] = [
    ("GET", f"{SCOPES}/{{}}/keys", lambda _: None),
    ("GET", f"{SCOPES}/{{}}/keys/database", lambda _: None),
    ("PUT", f"{SCOPES}/{{}}/keys/database", lambda _: {"value": "v"}),
    ("DELETE", f"{SCOPES}/{{}}/keys/database", lambda _: None),
    ("DELETE", f"{SCOPES}/{{}}", lambda _: None),
    ("POST", f"{AUTHORIZATION}/assign-roles", lambda scope: {"assignments": [{**READER, **on(scope)}]}),
    ("POST", f"{AUTHORIZATION}/unassign-roles", lambda scope: {"assignments": [{**READER, **on(scope)}]}),
    ("POST", f"{AUTHORIZATION}/list-assigned-principals", on),
]


@pytest.mark.parametrize(("method", "path", "body"), SCOPED)
@pytest.mark.parametrize("who", ["bare", "lord", "conf", "none"])
def test_a_scope_that_one_may_not_see_is_as_one_that_is_not_there(
    stage: Stage, who: str, method: str, path: str, body: Callable[[str], Any]
) -> None:
    there, gone = (
        said(stage.send_plainly(who, method, path.format(scope), **({} if body(scope) is None else {"json": body(scope)})))
        for scope in ("etl", "ltd")
    )
    assert there == gone
    assert there[0] in {401, 403}


def test_an_admin_cannot_tell_from_a_refusal_which_secrets_there_are(stage: Stage) -> None:
    name = stage.make("secret")
    there, gone = (said(stage.send_plainly("admin", "GET", f"{SCOPES}/etl/keys/{one}")) for one in (name, "x" * len(name)))
    assert there == gone
    assert there[0] == 403


@pytest.mark.parametrize("operation", ["update-service-account", "delete-service-account", "create-service-account-secret"])
@pytest.mark.parametrize("who", ["bare", "lord", "owner", "small", "conf", "none"])
def test_an_account_that_one_may_not_see_is_as_one_that_is_not_there(stage: Stage, who: str, operation: str) -> None:
    kinds = [stage.make("account"), stage.make("oauth"), stage.make("inactive"), "f" * 32, "é", "x" * 65]
    answers = [said(stage.send_plainly(who, "POST", f"{ACCOUNTS_TOO}/{operation}", json={"id": one})) for one in kinds]
    assert all(answer == answers[3] for answer in answers[:4])
    assert {status for status, *_ in answers} == {{"conf": 403, "none": 401}.get(who, 404)}


@pytest.mark.parametrize("operation", ["activate", "deactivate", "delete"])
def test_a_client_secret_of_others_is_as_one_that_is_not_there(stage: Stage, operation: str) -> None:
    account = stage.make("oauth")
    refs = [(account, f"{account}-old"), (account, "nothing"), ("nobody", f"{account}-old")]
    answers = [
        said(
            stage.send_plainly(
                "bare", "POST", f"{ACCOUNTS_TOO}/{operation}-service-account-secret", json={"service_account_id": one, "secret_id": secret}
            )
        )
        for one, secret in refs
    ]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0] == 404


def test_whether_there_is_such_a_principal_is_not_told_to_who_may_give_no_roles(stage: Stage) -> None:
    path, prod = f"{AUTHORIZATION}/list-assigned-roles", {"resource_type": "RESOURCE_TYPE_WORKSPACE"}
    asked = [whom("SERVICE_ACCOUNT", "sa-owner"), whom("SERVICE_ACCOUNT", "sa-nobody"), whom("GROUP", "editors"), whom("GROUP", "readers")]
    answers = [said(stage.send_plainly("bare", "POST", path, json=one | prod)) for one in asked]
    assert all(answer == answers[0] for answer in answers)


def test_all_credentials_that_open_nothing_are_refused_alike(stage: Stage) -> None:
    good = stage.keys["editor"]
    wrong = [good[:-1] + ("0" if good[-1] != "0" else "1"), f"{good[:17]}{new_key()[17:]}", good[:40], good + "0", new_key(), "x"]
    answers = [
        said(stage.send_plainly("none", "GET", "/v1/audit", headers={"Authorization": f"Tecton-key {credential}"}))
        for credential in (*wrong, stage.keys["retired"], stage.keys["inactive"])
    ]
    answers += [said(stage.send_plainly(who, "GET", "/v1/audit")) for who in ("stale-token", "spent-token", "garbage", "new")]
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][0] == 401


def token_for(client_id: str, secret: str) -> dict[str, str]:
    return {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}


def test_all_client_credentials_that_are_wrong_are_refused_alike(stage: Stage) -> None:
    known, secret = ("sa-token", "sa-stale-token", "sa-spent-token", "sa-editor", stage.make("oauth")), new_client_secret()
    answers = [said(stage.send_plainly("none", "POST", TOKENS, data=token_for(one, secret))) for one in (*known, "f" * 32, "é", "x" * 65)]
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][0] == 401


def lines_of(work: Callable[[], object], module: str) -> list[tuple[str, int]]:
    """The lines that were run of a module, in their order."""
    ran: list[tuple[str, int]] = []

    def trace(frame: FrameType, what: str, _: object) -> Any:
        if frame.f_code.co_filename != module:
            return None
        if what == "line":
            ran.append((frame.f_code.co_name, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with pytest.raises(Unauthenticated):
            work()
    finally:
        sys.settrace(before)
    assert ran
    return ran


def test_a_wrong_key_costs_the_gate_the_same_lines_whoever_s_id_it_has() -> None:
    good, none = new_key(), Reach()
    gate = KeyTable({})
    gate.adopt(Directory(1, {bytes.fromhex(digest(good)): Entry(None, "good", good[4:16], none)}))
    own_id, half = f"{good[:17]}{new_key()[17:]}", good[:-20] + new_key()[-20:]
    module = gate.identify.__code__.co_filename
    ran = [lines_of(partial(gate.identify, b"Tecton-key " + one.encode()), module) for one in (new_key(), own_id, half, new_key())]
    assert all(one == ran[0] for one in ran)


def share_slower(times: Sequence[tuple[float, float]]) -> float:
    """Of all pairs of one of each kind, in how many the first took longer: a half where nothing tells them apart (Mann and Whitney)."""
    slower = sum(1 for one, _ in times for _, other in times if one > other)
    return slower / len(times) ** 2


@pytest.mark.slow
def test_the_time_it_takes_tells_nobody_s_id(stage: Stage) -> None:
    """A guess in the dark is right half the time. Measured side by side, so that what else the machine does comes to both alike."""
    good, secret = stage.keys["editor"], new_client_secret()
    key = {
        "own": lambda: stage.send_plainly("none", "GET", "/v1/audit", headers={"Authorization": f"Tecton-key {good[:17]}{new_key()[17:]}"}),
        "new": lambda: stage.send_plainly("none", "GET", "/v1/audit", headers={"Authorization": f"Tecton-key {new_key()}"}),
    }
    client = {
        "own": lambda: stage.send_plainly("none", "POST", TOKENS, data=token_for("sa-token", secret)),
        "new": lambda: stage.send_plainly("none", "POST", TOKENS, data=token_for("sa-nobody", secret)),
    }
    for asked in (key, client):
        times = [(took(asked["own"]), took(asked["new"])) for _ in range(400)]
        assert 0.35 < share_slower(times) < 0.65, share_slower(times)


def took(ask: Callable[[], httpx.Response]) -> float:
    began = time.perf_counter()
    assert ask().status_code == 401
    return time.perf_counter() - began
