"""Who is let in: one corpus of headers, three gates."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.gates import Admission, Gate, KeyRights, KeyTable, Open, Passthrough
from gateway.access.grants import Grants, May
from gateway.access.keys import PREFIX
from gateway.access.principals import Principal, PrincipalKind
from gateway.access.reach import ALL, Directory, Entry, Reach
from gateway.errors import AccessUnavailable, PermissionDenied, Unauthenticated
from gateway.features import Caller, ServiceRef

SECRET = "tk_t0ken-7731"
LIVE, DEV = ServiceRef("live", "fraud"), ServiceRef("dev", "fraud")

WELL_FORMED = [
    b"Tecton-key tk_t0ken-7731",
    b"tecton-key tk_t0ken-7731",
    b"TECTON-KEY tk_t0ken-7731",
    b"Tecton-Key tk_t0ken-7731",
    b"Tecton-key  tk_t0ken-7731",
    b"Tecton-key   tk_t0ken-7731",
    b"Tecton-key\ttk_t0ken-7731",
    b"Tecton-key \ttk_t0ken-7731",
    b"tecton-key  tk_t0ken-7731",
    b" Tecton-key tk_t0ken-7731",
    b"Tecton-key tk_t0ken-7731 ",
    b"Tecton-key tk_t0ken-7731\t",
    b"tecton-key tk_t0ken-7731 \t",
]
MALFORMED = [
    None,
    b"",
    b" ",
    b"Tecton-key",
    b"Tecton-key ",
    b"Tecton-key\t",
    b"Tecton-keytk_t0ken-7731",
    b"tk_t0ken-7731",
    b"Tecton tk_t0ken-7731",
    b"Tecton-key: tk_t0ken-7731",
    b"Tecton-key=tk_t0ken-7731",
    b"Tecton_key tk_t0ken-7731",
    b"Basic Zmdr",
    b"Digest tk_t0ken-7731",
    b"Bearer",
    b"Bearer ",
    b"Bearer a b",
    b"Tecton-key tk_t0ken-7731 tk_t0ken-7731",
    b"Tecton-key tk_t0ken-7731, Tecton-key tk_t0ken-7731",
    b"Tecton-key tk_t0ken-7731,Tecton-key tk_t0ken-7731",
    b"Tecton-key Tecton-key tk_t0ken-7731",
    b"Bearer Tecton-key tk_t0ken-7731",
    b"Tecton-key tk_t0ken\x00-7731",
    b"Tecton-key tk_t0ken\x07-7731",
    b"Tecton-key tk_t0ken\x7f-7731",
    b"Tecton-key tk_t0ken\r\nX: 1",
    b"Tecton-key\ntk_t0ken-7731",
    b"Tecton-key\x0btk_t0ken-7731",
    b"Tecton-key \xc3\xa9",
    b"Tecton-key tk_t0ken-7731\xff",
    b"Tecton-key \xa0tk_t0ken-7731",
    b"T\xc3\xa9cton-key tk_t0ken-7731",
    b"Tecton-key " + b"x" * 8193,
]


def passthrough() -> Passthrough:
    return Passthrough(Grants(30.0))


def table(*workspaces: str, ingest: bool = False, purge: bool = False, upstream: str | None = None) -> KeyTable:
    return KeyTable({hashlib.sha256(SECRET.encode()).digest(): KeyRights(frozenset(workspaces), ingest=ingest, purge=purge)}, upstream)


def known(gate: Gate) -> Caller:
    return gate.identify(f"Tecton-key {SECRET}".encode())


@pytest.mark.parametrize("header", WELL_FORMED)
def test_a_key_is_known_however_its_header_is_spaced_and_cased(header: bytes) -> None:
    assert table("live").identify(header) == known(table("live"))


@pytest.mark.parametrize("header", WELL_FORMED)
def test_a_credential_is_passed_through_in_one_spelling(header: bytes) -> None:
    gate = passthrough()
    assert gate.identify(header) == known(gate)
    assert gate.identify(header).authorization == f"Tecton-key {SECRET}"


@pytest.mark.parametrize("header", MALFORMED)
@pytest.mark.parametrize("gate", [table("*"), passthrough()], ids=["keys", "passthrough"])
def test_a_header_that_is_no_credential_is_nobody(gate: Gate, header: bytes | None) -> None:
    with pytest.raises(Unauthenticated) as refused:
        gate.identify(header)
    assert refused.value.message.startswith("invalid 'Tecton-key' authorization header.")


@pytest.mark.parametrize(
    "header",
    [
        b"Tecton-key tk_t0ken-7732",
        b"Tecton-key FGK_T0KEN-7731",
        b"Tecton-key tk_t0ken-773",
        b"Tecton-key *",
        f"Bearer {SECRET}".encode(),
        f"bearer {SECRET}".encode(),
        b"Tecton-key " + hashlib.sha256(SECRET.encode()).hexdigest().encode(),
    ],
)
def test_a_key_that_nobody_was_given_is_nobody(header: bytes) -> None:
    with pytest.raises(Unauthenticated) as refused:
        table("*").identify(header)
    assert "t0ken" not in str(refused.value)


@given(st.none() | st.binary(max_size=40) | st.binary(max_size=20).map(lambda rest: b"Tecton-key " + rest))
def test_any_header_is_a_caller_or_unauthenticated(header: bytes | None) -> None:
    for gate in (table("*"), passthrough()):
        try:
            caller = gate.identify(header)
        except Unauthenticated:
            continue
        assert caller.authorization is None or caller.authorization.isprintable()
        assert caller.authorization is None or "\n" not in caller.authorization
    assert Open().identify(header) == Open().identify(None)


@pytest.mark.parametrize("header", [b"Bearer abc.def", b"bearer abc.def", b"BEARER\tabc.def", b" Bearer  abc.def "])
def test_bearer_tokens_are_passed_through(header: bytes) -> None:
    assert passthrough().identify(header).authorization == "Bearer abc.def"


def test_a_key_that_a_gateway_made_is_the_next_gateways_to_judge() -> None:
    assert passthrough().identify(f"Tecton-key {PREFIX}0123".encode()).authorization == f"Tecton-key {PREFIX}0123"


def test_the_scheme_is_a_part_of_who_a_caller_is() -> None:
    gate = passthrough()
    assert gate.identify(b"Bearer abc").key != gate.identify(b"Tecton-key abc").key


def test_a_longest_credential_is_still_one() -> None:
    assert passthrough().identify(b"Tecton-key " + b"x" * 8192).authorization == "Tecton-key " + "x" * 8192


@given(
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1),
)
def test_different_credentials_are_different_callers(left: str, right: str) -> None:
    gate = passthrough()
    keys = [gate.identify(f"Tecton-key {credential}".encode()).key for credential in (left, right)]
    assert (keys[0] == keys[1]) == (left == right)


def test_a_callers_key_says_nothing_of_the_credential_and_dies_with_the_process() -> None:
    one, other = known(passthrough()), known(passthrough())
    assert one.key != other.key
    assert one.key not in {hash_(SECRET.encode()).digest() for hash_ in (hashlib.sha256, hashlib.blake2b, hashlib.md5)}
    assert SECRET not in repr(one)


def test_passing_through_leaves_judging_to_the_origin() -> None:
    gate = passthrough()
    caller = known(gate)
    gate.admit(caller, "live")
    gate.admit_ingest(caller, "live")
    gate.admit_ingest(caller, None)
    assert not gate.holds(caller, LIVE, 0.0)


def test_passing_through_shows_what_is_cached_under_a_grant_alone() -> None:
    gate = passthrough()
    caller, stranger = known(gate), gate.identify(b"Tecton-key other")
    gate.answered(caller, LIVE, 100.0)
    assert gate.holds(caller, LIVE, 129.0)
    assert not gate.holds(caller, LIVE, 130.0)
    assert not gate.holds(caller, DEV, 100.0)
    assert not gate.holds(stranger, LIVE, 100.0)
    gate.refused(caller, LIVE, 100.0)
    assert not gate.holds(caller, LIVE, 100.0)


def test_passing_through_knows_a_grant_to_describe_from_one_to_read() -> None:
    gate = passthrough()
    caller = known(gate)
    gate.answered(caller, LIVE, 100.0, May.DESCRIBE)
    assert gate.holds(caller, LIVE, 100.0, May.DESCRIBE)
    assert not gate.holds(caller, LIVE, 100.0, May.READ)


@pytest.mark.parametrize(
    ("workspaces", "workspace", "opens"),
    [
        (("live",), "live", True),
        (("live",), "dev", False),
        (("live",), "*", False),
        (("live",), "LIVE", False),
        (("live",), "", False),
        (("live", "dev"), "dev", True),
        (("*",), "anything", True),
        ((), "live", False),
    ],
)
@pytest.mark.parametrize("ingest", [False, True])
def test_a_key_opens_its_workspaces(workspaces: tuple[str, ...], workspace: str, *, opens: bool, ingest: bool) -> None:
    gate = table(*workspaces, ingest=ingest)
    caller = known(gate)
    assert all(gate.holds(caller, ServiceRef(workspace, "fs"), now_s, may) is opens for now_s in (0.0, 1e9) for may in May)
    if opens:
        gate.admit(caller, workspace)
    else:
        with pytest.raises(PermissionDenied, match="Not Authorized"):
            gate.admit(caller, workspace)
    if opens and ingest:
        gate.admit_ingest(caller, workspace)
    else:
        with pytest.raises(PermissionDenied, match="Not Authorized"):
            gate.admit_ingest(caller, workspace)


@pytest.mark.parametrize("ingest", [False, True])
def test_an_ingest_that_names_no_workspace_needs_the_right_to_write(*, ingest: bool) -> None:
    gate = table("live", ingest=ingest)
    if ingest:
        gate.admit_ingest(known(gate), None)
    else:
        with pytest.raises(PermissionDenied):
            gate.admit_ingest(known(gate), None)


ALLOWED = {
    ("live", "with the right", "a service of live"),
    ("live", "with the right", "all of live"),
    ("*", "with the right", "a service of live"),
    ("*", "with the right", "all of live"),
    ("*", "with the right", "all workspaces"),
}
"""Who may purge what, among keys. All else is refused."""
PURGES = {"a service of live": ("live", LIVE), "all of live": ("live", None), "all workspaces": (None, None)}
RIGHTS = {"with the right": (False, True), "without": (False, False), "a writer without": (True, False)}


@pytest.mark.parametrize("workspaces", ["live", "dev", "*", ""])
@pytest.mark.parametrize("right", RIGHTS)
@pytest.mark.parametrize("what", PURGES)
def test_a_key_purges_what_it_was_given_the_right_to_and_nothing_else(workspaces: str, right: str, what: str) -> None:
    ingest, purge = RIGHTS[right]
    gate = table(*workspaces.split(), ingest=ingest, purge=purge)
    if (workspaces, right, what) in ALLOWED:
        gate.admit_purge(known(gate), *PURGES[what])
    else:
        with pytest.raises(PermissionDenied, match="Not Authorized"):
            gate.admit_purge(known(gate), *PURGES[what])


def test_passing_through_leaves_a_service_to_the_origin_and_refuses_what_the_origin_does_not_know_of() -> None:
    gate = passthrough()
    gate.admit_purge(known(gate), *PURGES["a service of live"])
    for what in ("all of live", "all workspaces"):
        with pytest.raises(PermissionDenied, match=r'Not Authorized.*features:purge.*auth\.mode = "keys"'):
            gate.admit_purge(known(gate), *PURGES[what])


def test_what_the_origin_says_of_the_gateways_key_says_nothing_of_the_caller() -> None:
    gate = table("live")
    gate.answered(known(gate), LIVE, 0.0)
    gate.refused(known(gate), LIVE, 0.0)
    assert gate.holds(known(gate), LIVE, 0.0)
    assert not gate.holds(known(gate), DEV, 0.0)


def test_the_origin_is_shown_the_gateways_own_key_and_never_the_callers() -> None:
    assert known(table("live", upstream="Tecton-key of-the-gateway")).authorization == "Tecton-key of-the-gateway"
    assert known(table("live")).authorization is None
    assert Open("Tecton-key of-the-gateway").identify(f"Tecton-key {SECRET}".encode()).authorization == "Tecton-key of-the-gateway"


def test_more_spellings_than_are_remembered_are_still_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.access.gates._MOST_SEEN", 1)
    gate = table("live")
    for _ in range(2):
        assert {gate.identify(header) for header in WELL_FORMED} == {known(gate)}
    with pytest.raises(Unauthenticated):
        gate.identify(b"Tecton-key other")


def test_two_keys_are_two_callers() -> None:
    gate = KeyTable({hashlib.sha256(key).digest(): KeyRights(frozenset({workspace})) for key, workspace in [(b"a", "live"), (b"b", "dev")]})
    anne, ben = gate.identify(b"Tecton-key a"), gate.identify(b"Tecton-key b")
    assert anne.key != ben.key
    assert gate.holds(anne, LIVE, 0.0)
    assert not gate.holds(ben, LIVE, 0.0)


@pytest.mark.parametrize("header", [*MALFORMED, *WELL_FORMED])
def test_an_open_gate_lets_everybody_in(header: bytes | None) -> None:
    gate: Gate = Open()
    caller = gate.identify(header)
    gate.admit(caller, "live")
    gate.admit_ingest(caller, None)
    for purge in PURGES.values():
        gate.admit_purge(caller, *purge)
    gate.answered(caller, LIVE, 0.0)
    gate.refused(caller, LIVE, 0.0)
    assert all(gate.holds(caller, LIVE, 0.0, may) for may in May)
    assert caller == Open().identify(None)


PRINCIPAL = Principal(PrincipalKind.SERVICE_ACCOUNT, "sa-1")
READS = Reach(ALL)


def stored(*keys: bytes, revision: int = 1, reach: Reach = READS) -> Directory:
    """A directory of keys, each with itself as its public id."""
    return Directory(revision, {hashlib.sha256(key).digest(): Entry(PRINCIPAL, "one", key.decode(), reach) for key in keys})


def test_the_stores_keys_are_those_of_the_last_directory_and_the_settings_keys_stay() -> None:
    gate = table("live")
    gate.adopt(stored(b"a", b"b"))
    one, other = gate.identify(b"Tecton-key a"), gate.identify(b"Tecton-key b")
    assert gate.holds(one, DEV, 0.0)
    gate.adopt(stored(b"b", revision=2))
    with pytest.raises(Unauthenticated):
        gate.identify(b"Tecton-key a")
    for refuse in (gate.entry, lambda caller: gate.admit(caller, "dev"), lambda caller: gate.admit_ingest(caller, "dev")):
        with pytest.raises(Unauthenticated):
            refuse(one)
    assert not gate.holds(one, DEV, 0.0)
    assert gate.holds(other, DEV, 0.0)
    assert gate.holds(known(gate), LIVE, 0.0)


def test_no_key_of_the_store_takes_the_place_of_one_of_the_settings() -> None:
    gate = table("live")
    gate.adopt(stored(SECRET.encode()))
    assert gate.entry(known(gate)).principal is None
    assert not gate.holds(known(gate), DEV, 0.0)


@pytest.mark.parametrize(
    ("reach", "dry", "allowed"),
    [
        (Reach(dry_run=ALL), True, True),
        (Reach(dry_run=ALL), False, False),
        (Reach(dry_run=frozenset({"dev"})), True, False),
        (Reach(ingest=ALL, dry_run=ALL), False, True),
        (Reach(), True, False),
    ],
)
def test_a_dry_run_needs_a_right_of_its_own(reach: Reach, *, dry: bool, allowed: bool) -> None:
    gate = table()
    gate.adopt(stored(b"a", reach=reach))
    caller = gate.identify(b"Tecton-key a")
    if allowed:
        gate.admit_ingest(caller, "live", dry=dry)
    else:
        with pytest.raises(PermissionDenied):
            gate.admit_ingest(caller, "live", dry=dry)


def test_metrics_are_for_who_may_see_them() -> None:
    gate = table("*")
    gate.adopt(Directory(1, {**stored(b"a", reach=Reach(ALL)).keys, **stored(b"b", reach=Reach(metrics=True)).keys}))
    gate.admit_metrics(b"Tecton-key b")
    gate.admit_metrics(f"Tecton-key {SECRET}".encode())
    with pytest.raises(PermissionDenied):
        gate.admit_metrics(b"Tecton-key a")
    with pytest.raises(PermissionDenied):
        table("live", ingest=True, purge=True).admit_metrics(f"Tecton-key {SECRET}".encode())
    for header in (None, b"Tecton-key c"):
        with pytest.raises(Unauthenticated):
            gate.admit_metrics(header)


def test_what_is_used_is_told_once_for_each_asking() -> None:
    gate = table("live")
    gate.adopt(stored(b"a", b"b", b"c"))
    for header in (b"Tecton-key a", b"tecton-key a", b"Tecton-key b", b"Tecton-key a", f"Tecton-key {SECRET}".encode()):
        gate.identify(header)
    gate.adopt(stored(b"a", b"c", revision=2))
    assert gate.take_used() == {"a"}
    assert gate.take_used() == frozenset()
    gate.identify(b"Tecton-key a")
    assert gate.take_used() == {"a"}


def test_a_copy_that_is_too_old_lets_nobody_in_and_tells_nobody_that_it_is_unknown() -> None:
    gate = table("live")
    gate.adopt(stored(b"a"))
    caller = gate.identify(b"Tecton-key a")
    gate.lapse()
    for header in (b"Tecton-key a", b"Tecton-key x", b"Bearer x"):
        with pytest.raises(AccessUnavailable):
            gate.identify(header)
    with pytest.raises(AccessUnavailable):
        gate.admit(caller, "live")
    assert not gate.holds(caller, LIVE, 0.0)
    assert gate.holds(known(gate), LIVE, 0.0)
    gate.adopt(stored(b"a"))
    assert gate.holds(gate.identify(b"Tecton-key a"), LIVE, 0.0)


def test_a_header_that_is_long_is_not_remembered_and_still_known() -> None:
    gate = table("live")
    header = b"Tecton-key " + b" " * 1_000 + SECRET.encode()
    assert gate.identify(header) == gate.identify(header) == known(gate)
    assert header not in gate._seen


def test_by_what_right_a_caller_reads_can_be_told() -> None:
    assert Open().admission(Open().identify(None), LIVE) == Admission("open")
    through = passthrough()
    assert through.admission(known(through), LIVE) == Admission("passthrough")
    through.answered(known(through), LIVE, 5.0)
    assert through.admission(known(through), LIVE) == Admission("passthrough", 35.0)
    gate = table("live", purge=True)
    assert gate.admission(known(gate), LIVE) == Admission("keys", None, "", "settings_key", ("read", "purge"))
    gate.adopt(stored(b"a", reach=Reach(ALL, frozenset({"dev"}))))
    one = gate.identify(b"Tecton-key a")
    assert gate.admission(one, LIVE) == Admission("keys", None, "one", "service_account", ("read",))
    assert gate.admission(one, DEV).rights == ("read", "ingest")
    gate.lapse()
    with pytest.raises(AccessUnavailable):
        gate.admission(one, LIVE)
