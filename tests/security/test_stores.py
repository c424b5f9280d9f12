"""A place that keeps files is reached where the egress rules allow it, with the record's credentials and no others."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from werkzeug.serving import make_server

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.errors import SourceError
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.network.egress_proxy import EgressProxy
from headrace.connectors.registry import of_type, source_for
from headrace.connectors.stores.object_store import s3
from headrace.ir.redaction import secret_texts
from tests.connectors.stores.conftest import EVERY, made
from tests.connectors.stores.emulators import KEY
from tests.connectors.stores.places import LOOPBACK, Place, S3Place, SftpPlace, context
from tests.connectors.stores.ssh_server import SshServer
from tests.connectors.stores.web_server import WebServer
from tests.object_store import BUCKET, SECRET, ObjectStore


@pytest.fixture(params=EVERY)
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = made(request.param, request)
    return found


@pytest.fixture
def s3_place(object_store: ObjectStore) -> S3Place:
    return S3Place(object_store)


def refusal(found: Context) -> SourceError:
    connector = of_type(found.connection.type)
    assert connector is not None
    with pytest.raises(SourceError) as refused:
        connector.tried(found)
    return refused.value


def test_the_servers_own_network_is_not_dialled(place: Place) -> None:
    found = context(place)
    bare = replace(found, surroundings=Surroundings(FilesRoot(Path()), ()))
    assert refusal(bare).code == "address_refused"


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "in/../../x", "in/..", "a\0b"])
def test_no_path_leads_out(place: Place, path: str) -> None:
    place.add("in/a.csv", b"id\n1\n")
    with pytest.raises(SourceError) as refused:
        source_for(place.connector, context(place, {"path": path})).discover(max_partitions=1)
    assert refused.value.code in ("path_outside_root", "bad_path")
    store = place.store()
    for move in (store.take, store.put):
        with pytest.raises(SourceError):
            move("in/a.csv", path)


def test_no_error_holds_a_credential(place: Place) -> None:
    place.deny()
    error = refusal(context(place))
    assert error.code == "login_refused"
    public = {"username", "type", "client_email", "private_key_id", "token_uri", "accessKeyId"}
    given = place.credentials.get("serviceAccount", place.credentials)
    secrets = secret_texts({name: value for name, value in given.items() if name not in public})
    assert not any(secret in str(error) for secret in secrets)
    assert error.hint


class TestRelay:
    """A client that goes where it is sent comes to one server only."""

    def test_it_leads_nowhere_else(self) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as inside:
            relay = EgressProxy("localhost", 9, LOOPBACK)
            answer = self.asked(relay, f"CONNECT 127.0.0.1:{inside.getsockname()[1]} HTTP/1.1", self.password(relay))
            assert answer.startswith(b"HTTP/1.1 403")
            answer = self.asked(relay, "GET http://169.254.169.254/latest HTTP/1.1", self.password(relay))
            assert answer.startswith(b"HTTP/1.1 403")

    def test_nobody_else_gets_in(self) -> None:
        relay = EgressProxy("localhost", 9, LOOPBACK)
        for login in ("", "Basic aGVhZHJhY2U6eA=="):
            assert self.asked(relay, "CONNECT localhost:9 HTTP/1.1", login).startswith(b"HTTP/1.1 407")

    def test_it_ends_with_its_store(self) -> None:
        relay = EgressProxy("localhost", 9, LOOPBACK)
        port = int(relay.url.rpartition(":")[2])
        del relay
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=2).close()

    def password(self, relay: EgressProxy) -> str:
        import base64

        return "Basic " + base64.b64encode(relay.url.removeprefix("http://").partition("@")[0].encode()).decode()

    def asked(self, relay: EgressProxy, line: str, login: str) -> bytes:
        with socket.create_connection(("127.0.0.1", int(relay.url.rpartition(":")[2])), timeout=10) as client:
            client.sendall(f"{line}\r\nProxy-Authorization: {login}\r\n\r\n".encode())
            return client.recv(1000)


@pytest.fixture
def elsewhere() -> Iterator[tuple[ThreadingHTTPServer, list[str]]]:
    """A server that redirects everybody to another of this machine, and what the other was asked."""
    asked: list[str] = []

    class Inside(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "6")
            self.end_headers()
            self.wfile.write(b"secret")

        do_HEAD = do_GET

        def log_message(self, *args: Any) -> None: ...

    inside = ThreadingHTTPServer(("127.0.0.1", 0), Inside)

    class Outside(Inside):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{inside.server_port}/inside")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

    outside = ThreadingHTTPServer(("127.0.0.1", 0), Outside)
    for server in (inside, outside):
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield outside, asked
    for server in (inside, outside):
        server.shutdown()
        server.server_close()


def test_a_redirect_of_an_object_store_is_not_followed_to_another_place(
    s3_place: S3Place, elsewhere: tuple[ThreadingHTTPServer, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, asked = elsewhere
    monkeypatch.setattr(s3, "retry_config", lambda: {"max_retries": 0})
    refusal(context(s3_place, endpoint=f"http://127.0.0.1:{server.server_port}"))
    with pytest.raises(SourceError):
        source_for(
            "s3", context(s3_place, {"path": "a.csv"}, endpoint=f"http://127.0.0.1:{server.server_port}")
        ).sample(1)
    assert asked == []


def test_plain_http_over_the_internet_is_refused(s3_place: S3Place) -> None:
    assert refusal(context(s3_place, endpoint="http://8.8.8.8")).code == "insecure"


@pytest.mark.parametrize(
    "bad", [{"region": "x.evil.org/"}, {"bucket": "b/../c"}, {"bucket": "a@b"}, {"prefix": "../x"}]
)
def test_no_setting_changes_the_host(s3_place: S3Place, bad: dict[str, str]) -> None:
    assert refusal(context(s3_place, **bad)).code in ("bad_option", "path_outside_root")


OWN = {
    "AWS_ACCESS_KEY_ID": "the-servers-own",
    "AWS_SECRET_ACCESS_KEY": "the servers own secret",
    "AWS_SESSION_TOKEN": "the servers own token",
    "AWS_SKIP_SIGNATURE": "true",
    "AWS_ALLOW_INVALID_CERTIFICATES": "true",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "*",
}


class TestTheServersOwn:
    @pytest.fixture(autouse=True)
    def environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in OWN.items():
            monkeypatch.setenv(name, value)

    def test_key_is_not_mixed_with_a_connectors(self, s3_place: S3Place, heard: list[dict[str, str]]) -> None:
        connector = of_type("aws_s3")
        assert connector is not None
        connector.tried(context(s3_place))
        assert heard
        for request in heard:
            assert "Credential=headrace/" in request["HTTP_AUTHORIZATION"]
            assert "the servers own token" not in request.values()

    def test_key_is_not_lent_to_a_connector_without_one(self, s3_place: S3Place, heard: list[dict[str, str]]) -> None:
        found = context(s3_place)
        bare = replace(found, connection=replace(found.connection, credentials={}))
        error = refusal(bare)
        assert (error.code, "HEADRACE_CONNECTOR_ROLE_BUCKETS" in error.hint) == ("bad_credentials", True)
        other = replace(bare, surroundings=Surroundings(FilesRoot(Path()), LOOPBACK, ["another"]))
        assert refusal(other).code == "bad_credentials"
        assert heard == []

    def test_role_is_for_amazon_alone(self, s3_place: S3Place, heard: list[dict[str, str]]) -> None:
        found = context(s3_place)
        lent = Surroundings(FilesRoot(Path()), LOOPBACK, [BUCKET])
        error = refusal(Context(Connection("c", "aws_s3", s3_place.config), lent))
        assert (error.code, "Amazon" in error.message) == ("bad_option", True)
        assert heard == []
        assert found.connection.credentials["secretAccessKey"] == SECRET

    def test_role_is_lent_for_the_buckets_that_the_operator_names(
        self, s3_place: S3Place, heard: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        endpoint = s3_place.config["endpoint"]
        monkeypatch.setattr(s3, "aws_endpoint", lambda bucket, region: (endpoint, False))
        config = {name: value for name, value in s3_place.config.items() if name != "endpoint"}
        lent = Surroundings(FilesRoot(Path()), LOOPBACK, [BUCKET])
        connector = of_type("aws_s3")
        assert connector is not None
        connector.tried(Context(Connection("c", "aws_s3", config), lent))
        assert "Credential=the-servers-own/" in heard[0]["HTTP_AUTHORIZATION"]
        assert heard[0]["HTTP_X_AMZ_SECURITY_TOKEN"] == "the servers own token"


@pytest.fixture
def heard(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """The headers of every request."""
    kept: list[dict[str, str]] = []
    inner = object_store._inner

    def spy(environ: dict[str, Any], start: Any) -> Any:
        kept.append({name: value for name, value in environ.items() if name.startswith("HTTP_")})
        return inner(environ, start)

    monkeypatch.setattr(object_store, "_inner", spy)
    return kept


class TestHostKey:
    """A server without the known host key gets no password."""

    @pytest.fixture
    def sftp(self, ssh_server: SshServer) -> SftpPlace:
        return SftpPlace(ssh_server)

    def test_it_is_needed_and_the_one_seen_is_reported(self, sftp: SftpPlace) -> None:
        del sftp.config["hostKey"]
        before = len(sftp.server.logins)
        error = refusal(context(sftp))
        assert (error.code, "config.hostKey" in error.hint) == ("host_key_needed", True)
        assert f"{sftp.server.key.get_fingerprint()} (ssh-ed25519)" in error.message
        assert len(sftp.server.logins) == before
        with pytest.raises(SourceError):
            source_for("sftp", context(sftp, {"path": "a.csv"})).sample(1)
        assert len(sftp.server.logins) == before

    @pytest.mark.parametrize("form", ["fingerprint", "key"])
    def test_another_one_ends_it_before_the_login(self, sftp: SftpPlace, form: str) -> None:
        other = sftp.server.login_key
        whole = other.export_public_key("openssh").decode()
        sftp.config["hostKey"] = other.get_fingerprint() if form == "fingerprint" else whole
        before = len(sftp.server.logins)
        error = refusal(context(sftp))
        assert (error.code, sftp.server.key.get_fingerprint() in error.message) == ("host_key_changed", True)
        assert len(sftp.server.logins) == before

    def test_what_is_no_key_is_reported(self, sftp: SftpPlace) -> None:
        sftp.config["hostKey"] = "ssh-ed25519 what"
        assert refusal(context(sftp)).code == "bad_option"

    def test_the_servers_own_keys_and_settings_are_not_used(
        self, sftp: SftpPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / ".ssh").mkdir(mode=0o700)
        sftp.server.login_key.write_private_key(str(tmp_path / ".ssh" / "id_ed25519"))
        (tmp_path / ".ssh" / "config").write_text(f"Host *\n  ProxyCommand touch {tmp_path}/ran\n")
        monkeypatch.setenv("HOME", str(tmp_path))
        sftp.credentials["password"] = "wrong"
        assert refusal(context(sftp)).code == "login_refused"
        assert not (tmp_path / "ran").exists()


class TestHttp:
    """A web server leads no further than the egress rules, and its login to nobody else."""

    @pytest.fixture
    def web(self) -> Iterator[WebServer]:
        server = WebServer()
        yield server
        server.close()

    @pytest.fixture
    def inside(self) -> Iterator[WebServer]:
        server = WebServer("127.0.0.2")
        server.files["/a.csv"] = b"secret"
        yield server
        server.close()

    def found(self, config: dict[str, Any], networks: str = "127.0.0.1/32", **credentials: Any) -> Context:
        connection = Connection("c", "http_pull", config, credentials)
        return Context(connection, Surroundings(FilesRoot(Path()), [ip_network(networks)]))

    def test_every_hop_is_evaluated(self, web: WebServer, inside: WebServer) -> None:
        web.redirects = {"/a.csv": "/b.csv", "/b.csv": f"{inside.url}/a.csv"}
        assert refusal(self.found({"url": f"{web.url}/a.csv"})).code == "address_refused"
        assert inside.asked == []
        web.files["/m"] = f"{inside.url}/a.csv".encode()
        assert refusal(self.found({"manifest": f"{web.url}/m"})).code == "address_refused"
        assert inside.asked == []

    def test_redirects_come_to_an_end(self, web: WebServer) -> None:
        web.redirects = {"/a.csv": "/a.csv"}
        assert refusal(self.found({"url": f"{web.url}/a.csv"})).code == "too_many_redirects"
        web.redirects = {"/a.csv": "file:///etc/passwd"}
        assert refusal(self.found({"url": f"{web.url}/a.csv"})).code == "bad_url"

    @pytest.mark.parametrize("login", [{"token": "a secret token"}, {"username": "u", "password": "a secret password"}])
    def test_a_login_is_for_its_own_server(self, web: WebServer, inside: WebServer, login: dict[str, str]) -> None:
        web.redirects = {"/a.csv": f"{inside.url}/a.csv"}
        config = {"url": f"{web.url}/a.csv", "insecureLogin": True}
        connector = of_type("http_pull")
        assert connector is not None
        connector.tried(self.found(config, "127.0.0.0/8", **login))
        assert all("Authorization" in headers for _, _, headers in web.asked)
        assert inside.asked
        assert not any("Authorization" in headers for _, _, headers in inside.asked)
        assert refusal(self.found({"url": f"{web.url}/a.csv"}, **login)).code == "insecure"

    def test_no_signature_is_reported(self, web: WebServer) -> None:
        error = refusal(self.found({"url": f"{web.url}/a.csv?sig=abcdef"}))
        assert "abcdef" not in str(error)


def certificate(
    name: str, by: tuple[rsa.RSAPrivateKey, x509.Certificate] | None
) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    """A key with its certificate: an authority's own, or one that it gives."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signer, issuer = (key, subject) if by is None else (by[0], by[1].subject)
    made = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )
    return key, made


class TestTls:
    """The certificate is looked at through the relay, by the name that was given."""

    @pytest.fixture
    def secured(self, object_store: ObjectStore, tmp_path: Path) -> Iterator[tuple[str, str]]:
        """The same emulator over TLS, for `localhost`, and the certificate."""
        authority, trusted = certificate("An authority", None)
        key, made = certificate("localhost", (authority, trusted))
        pem = trusted.public_bytes(serialization.Encoding.PEM)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        shown = made.public_bytes(serialization.Encoding.PEM)
        (tmp_path / "pem").write_bytes(shown + private)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(tmp_path / "pem")
        server = make_server("127.0.0.1", 0, object_store._answer, threaded=True, ssl_context=tls)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"https://localhost:{server.server_port}", pem.decode()
        server.shutdown()
        server.server_close()

    def test_one_that_is_trusted_is_read_from(
        self, s3_place: S3Place, secured: tuple[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url, certificate = secured
        through = s3.client_options
        monkeypatch.setattr(s3, "client_options", lambda *a, **k: {**through(*a, **k), "root_certificate": certificate})
        s3_place.add("a.csv", b"id\n1\n")
        source = source_for("s3", context(s3_place, {"path": "a.csv"}, endpoint=url))
        assert source.sample(1)["id"].to_list() == [1]
        wrong = url.replace("localhost", "127.0.0.1")
        monkeypatch.setattr(s3, "retry_config", lambda: {"max_retries": 0})
        assert refusal(context(s3_place, endpoint=wrong)).code == "not_readable"

    def test_another_is_refused(
        self, s3_place: S3Place, secured: tuple[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(s3, "retry_config", lambda: {"max_retries": 0})
        monkeypatch.setenv("AWS_ALLOW_INVALID_CERTIFICATES", "true")
        assert refusal(context(s3_place, endpoint=secured[0])).code == "not_readable"


@pytest.mark.parametrize("kind", ["azure_blob", "gcs"])
def test_the_servers_own_logins_of_other_clouds_are_not_lent(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    there = made(kind, request)
    there.add("a.csv", b"x")
    own = {"AZURE_STORAGE_ACCOUNT_KEY": KEY, "AZURE_STORAGE_USE_EMULATOR": "true", "AZURE_SKIP_SIGNATURE": "true"}
    if kind == "gcs":
        (tmp_path / "own.json").write_text(json.dumps(there.server.account))
        own = {"GOOGLE_SERVICE_ACCOUNT": str(tmp_path / "own.json"), "GOOGLE_SKIP_SIGNATURE": "true"}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    assert [file.name for file in there.store().listing("")] == ["a.csv"]
    there.deny()
    assert refusal(context(there)).code == "login_refused"
    there.credentials = {}
    assert refusal(context(there)).code == "bad_credentials"
    if kind == "gcs":  # a broken setting of the server is reported as such
        there = made(kind, request)
        monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "none.json"))
        assert refusal(context(there)).code == "not_readable"
