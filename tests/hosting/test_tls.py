"""HTTPS on the gateway's own listener: what it shows, whom it lets in, and a certificate that is renewed under way."""

import os
import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from gateway.app import Seams, create_app
from gateway.hosting import server
from gateway.hosting.tls import ListenerTls
from gateway.settings import Server, SettingsError, checked
from tests.doors.flights import NAMED, named
from tests.harness.certificates import Authority, make_authority
from tests.harness.clock import wait_until
from tests.harness.houses import READER, authorization, demo_settings
from tests.harness.serving import Running, serve

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl: apt-get install openssl")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def file(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate and its key, where the gateway looks for them."""
    return Path(shutil.copy(authority.server_file, tmp_path_factory.mktemp("shown") / "tls.pem"))


@pytest.fixture(scope="module")
def running(demo_dir: Path, file: Path, authority: Authority) -> Iterator[Running]:
    """A gateway that asks for client certificates, and looks for a renewed one of its own all the time."""
    more = {"tls_certificate_file": file, "tls_client_ca_file": authority.ca_file, "header_timeout_s": 0.2}
    app = create_app(checked(demo_settings(demo_dir, server=more)), Seams(environment={}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "_RENEW_TICKS", 1)
        with serve(app) as opened:
            yield opened


def client(running: Running, trusted: Authority, shown: Path | None, **more: ssl.TLSVersion) -> httpx.Client:
    context = ssl.create_default_context(cafile=trusted.ca_file)
    if shown is not None:
        context.load_cert_chain(shown)
    for name, value in more.items():
        setattr(context, name, value)
    return httpx.Client(
        base_url=f"https://localhost:{urlsplit(running.url).port}", verify=context, headers=authorization(READER), timeout=20
    )


def test_reads_are_answered_over_tls_also_from_the_cache(running: Running, authority: Authority) -> None:
    with client(running, authority, authority.client_file) as https:
        answers = [https.post(f"{NAMED}/features", json=named(include=["source"])).json() for _ in range(2)]
    assert answers[0]["features"] == answers[1]["features"]
    assert set(answers[1]["source"].values()) <= {"cache", "computed"}


def test_what_is_no_request_is_refused_over_tls_too(running: Running, authority: Authority) -> None:
    with client(running, authority, authority.client_file) as https:
        reply = https.get("/livez", headers={"X-Long": "x" * 70_000})
    assert (reply.status_code, reply.headers["connection"]) == (431, "close")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_later_are_spoken(running: Running, authority: Authority, version: ssl.TLSVersion) -> None:
    with client(running, authority, authority.client_file, maximum_version=version) as https:
        assert https.get("/livez").status_code == 200


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_nothing_older_is_spoken(file: Path) -> None:
    context = ListenerTls(Server(tls_certificate_file=file)).context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_client_without_a_certificate_of_that_authority_is_not_heard(running: Running, authority: Authority, other: Authority) -> None:
    for shown in (None, other.client_file):
        with client(running, authority, shown) as https, pytest.raises((httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError)):
            https.get("/livez")


def test_a_renewed_certificate_is_shown_without_a_restart_and_half_of_one_is_not(
    running: Running, file: Path, authority: Authority, other: Authority
) -> None:
    def shown(trusted: Authority) -> bool:
        try:
            with client(running, trusted, authority.client_file) as https:
                return https.get("/livez").status_code == 200
        except httpx.ConnectError:
            return False

    with client(running, authority, authority.client_file) as kept:
        assert kept.get("/livez").status_code == 200
        replace(file, other.server_file.read_bytes())
        wait_until(lambda: shown(other), "the new certificate")
        assert not shown(authority)
        replace(file, authority.server_file.read_bytes()[:300])
        assert shown(other)
        replace(file, authority.server_file.read_bytes())
        wait_until(lambda: shown(authority), "the first one again")
        assert kept.get("/livez").status_code == 200


def replace(file: Path, content: bytes) -> None:
    """At once, as whoever renews certificates does."""
    fresh = file.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.rename(file)


def test_a_pair_of_files_is_taken_up_when_both_are_there(tmp_path: Path, authority: Authority, other: Authority) -> None:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    folders = [authority.ca_file.parent, other.ca_file.parent]
    for file in (certificate, key):
        shutil.copy(folders[0] / f"server{file.suffix}", file)
    tls = ListenerTls(Server(tls_certificate_file=certificate, tls_key_file=key))
    shutil.copy(folders[1] / "server.crt", certificate)
    tls.renew()
    assert proves(tls.context, authority)
    key.unlink()
    tls.renew()
    assert proves(tls.context, authority)
    shutil.copy(folders[1] / "server.key", key)
    tls.renew()
    assert proves(tls.context, other)


def proves(context: ssl.SSLContext, trusted: Authority) -> bool:
    """Whether a client that trusts these agrees with a server of this context, without a socket."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_side = ssl.create_default_context(cafile=trusted.ca_file).wrap_bio(to_client, to_server, server_hostname="localhost")
    server_side = context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client_side, server_side):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
    return client_side.version() is not None


def test_who_connects_and_does_not_begin_is_let_go(running: Running) -> None:
    place = urlsplit(running.url)
    with socket.create_connection((str(place.hostname), place.port or 0), timeout=20) as silent:
        assert silent.recv(1) == b""


def test_without_tls_nothing_is_answered(running: Running) -> None:
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        httpx.get(f"{running.url}/livez")


def test_files_that_cannot_be_used_are_told_by_their_settings(tmp_path: Path, authority: Authority) -> None:
    bad, encrypted = tmp_path / "bad.pem", tmp_path / "encrypted.key"
    bad.write_text("c4n4ry")
    key = authority.server_file.with_suffix(".key")
    assert os.system(f"openssl pkey -in {key} -aes256 -passout pass:c4n4ry -out {encrypted}") == 0  # noqa: S605
    certificate = authority.server_file.with_suffix(".crt")
    for wrong in (
        {"tls_certificate_file": bad},
        {"tls_certificate_file": tmp_path / "nowhere.pem"},
        {"tls_certificate_file": certificate},
        {"tls_certificate_file": certificate, "tls_key_file": authority.client_file},
        {"tls_certificate_file": certificate, "tls_key_file": encrypted},
        {"tls_certificate_file": authority.server_file, "tls_client_ca_file": bad},
    ):
        with pytest.raises(SettingsError, match=r"server\.tls_certificate_file, .*: cannot be used") as refused:
            ListenerTls(Server(**wrong))
        assert "c4n4ry" not in str(refused.value)
