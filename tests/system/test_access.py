"""Who may ask: tokens, pages of other sites, how much and how often, and TLS."""

import contextlib
import datetime
import ipaddress
import socket
import ssl
import urllib.error
import urllib.request
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from conftest import end
from player import Refused, Viewer
from server import Server, eventually, free_port, refused

CONTROL = "a secret & more"
VIEWER = "to watch"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server with both tokens."""
    server = Server(tmp_path_factory.mktemp("guarded"), {"http.token": CONTROL, "http.viewer_token": VIEWER}).start()
    yield server
    end(server)


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def test_the_viewers_token_watches_and_controls_nothing(guarded):
    with Viewer(guarded.url, token=VIEWER) as viewer:
        viewer.wait_for_picture()
        for method, path in [
            ("GET", "/v1/status"),
            ("GET", "/v1/sessions"),
            ("GET", "/metrics"),
            ("POST", "/v1/sessions/live/interrupt"),
            ("POST", "/v1/sessions/live/speech"),
            ("GET", "/v1/sessions/live/events"),
            ("GET", f"/v1/sessions/live/events?token={quote(VIEWER)}"),
        ]:
            answer = guarded.request(method, path, b"" if method == "POST" else None, **bearer(VIEWER))
            assert answer.status == 403, (path, answer.body)
            assert "insufficient_scope" in answer.headers["www-authenticate"]
            answer.problem
    assert viewer.deleted == 200


@pytest.mark.parametrize("token", [VIEWER, CONTROL])
def test_a_player_that_sets_no_header_has_its_token_in_the_address(guarded, token):
    with Viewer(guarded.url, session=f"live?token={quote(token)}") as viewer:
        viewer.wait_for_picture()
        assert "token" not in viewer.headers["location"]


@pytest.mark.parametrize("address", ["live", "live?token=", "live?token=wrong", "live?access_token=wrong", "live?token=to%20watc"])
def test_without_a_token_or_with_a_wrong_one_nobody_watches(guarded, address):
    with pytest.raises(Refused) as refusal:
        Viewer(guarded.url, session=address).__enter__()
    assert refusal.value.status == 401
    assert refusal.value.headers["WWW-Authenticate"].startswith("Bearer ")


def test_control_takes_no_token_from_an_address(guarded):
    for path in (f"/v1/status?token={quote(CONTROL)}", f"/metrics?access_token={quote(CONTROL)}"):
        answer = guarded.get(path, Authorization="")
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Bearer ")
        answer.problem


def test_the_page_watches_with_the_viewers_token(guarded, open_page):
    page = open_page(f"{guarded.url}/#token={quote(VIEWER)}")
    page.wait_for_picture()
    # What it may not do isn't offered.
    page.tab.locator("#drop").wait_for(state="hidden", timeout=5000)
    assert page.tab.locator("#interrupt").is_hidden()
    assert page.tab.locator("#message").is_hidden()


def test_a_token_is_in_no_log(guarded):
    guarded.get("/v1/status", **bearer(CONTROL))
    guarded.get("/v1/status?token=guessed-token", Authorization="")
    for secret in (CONTROL, VIEWER, quote(CONTROL), quote(VIEWER), "guessed-token"):
        assert secret not in guarded.log


def test_a_viewers_token_alone_or_the_same_twice_is_refused():
    for tokens in ({}, {"http__token": "hush"}):
        said = refused_with(http__viewer_token="hush", **tokens)
        assert "http.viewer_token" in said and "hush" not in said


def refused_with(**settings):
    """What `serve` says as it refuses; of each setting `__` is the dot."""
    sets = {"http.listen": f"127.0.0.1:{free_port()}", **{key.replace("__", "."): value for key, value in settings.items()}}
    code, said = refused("serve", *(part for key, value in sets.items() for part in ("--set", f"{key}={value}")))
    assert code == 1
    return said


# ---- pages of other sites ----

STUDIO = "https://studio.example"


@pytest.fixture(scope="module", params=["", CONTROL], ids=["open", "token"])
def shared(request, tmp_path_factory):
    """A server that pages of STUDIO may control, without a token and with one."""
    settings = {"http.cors_origins": f'["{STUDIO}"]'}
    if request.param:
        settings["http.token"] = request.param
    server = Server(tmp_path_factory.mktemp("shared"), settings).start()
    yield server
    end(server)


def test_a_page_that_is_named_may_control(shared):
    asks = {"Origin": STUDIO, "Access_Control_Request_Method": "PATCH", "Access_Control_Request_Headers": "authorization,content-type"}
    allowed = shared.request("OPTIONS", "/v1/sessions/live", Authorization="", **asks)
    assert allowed.status == 200, allowed.body
    assert allowed.headers["access-control-allow-origin"] == STUDIO
    assert "PATCH" in allowed.headers["access-control-allow-methods"]
    assert "authorization" in allowed.headers["access-control-allow-headers"].lower()
    answer = shared.get("/v1/status", Origin=STUDIO)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == STUDIO
    assert "origin" in answer.headers["vary"].lower()
    # It may read why it is refused, too.
    missing = shared.get("/v1/sessions/nobody", Origin=STUDIO)
    assert missing.status == 404 and missing.headers["access-control-allow-origin"] == STUDIO


def test_a_page_that_is_not_named_may_read_nothing(shared):
    for origin in ("https://evil.example", "http://studio.example", "null"):
        for answer in (
            shared.get("/v1/status", Origin=origin),
            shared.request("OPTIONS", "/v1/status", Origin=origin, Access_Control_Request_Method="GET"),
        ):
            assert "access-control-allow-origin" not in answer.headers
        if "http.token" not in shared.settings:
            assert shared.get("/v1/status", Origin=origin).status == 403


def test_every_page_may_watch(shared):
    options = shared.request("OPTIONS", "/whep/live", Origin="https://fan.example")
    assert options.status == 204
    assert options.headers["access-control-allow-origin"] == "*"
    assert options.headers["accept-post"] == "application/sdp"


def test_nobody_is_named_by_default(guarded):
    answer = guarded.get("/v1/status", Origin=STUDIO)
    assert answer.status == 200 and "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origins", ['["studio.example"]', '["https://studio.example/"]', '["*"]'])
def test_what_is_no_origin_is_refused(origins):
    assert "http.cors_origins" in refused_with(http__cors_origins=origins)


# ---- how much and how often ----


def test_who_asks_too_often_is_told_when_to_come_again(serve):
    server = serve({"http.requests_per_s": 5})
    with Viewer(server.url) as viewer:
        viewer.wait_for_picture()
        answers = [server.get("/healthz") for _ in range(120)]
        last = answers[-1]
        assert last.status == 429
        assert int(last.headers["retry-after"]) == 1
        last.problem
        assert {answer.status for answer in answers} == {200, 429}
        assert len(viewer.watch(1)[0]) > 15, "who watches goes on"
        eventually(lambda: server.get("/healthz").status == 200)


def test_one_address_holds_its_share_of_the_connections(serve):
    server = serve({"http.connections": 16, "http.connections_per_address": 8})
    before = server.descriptors()
    strangers = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(60)]
    assert server.get("/healthz").status == 200
    assert server.descriptors() <= before + 8
    for stranger in strangers:
        stranger.close()


@pytest.mark.parametrize("wrong", ["http.connections=1", "http.connections_per_address=999"])
def test_bounds_that_cannot_be_are_refused(wrong):
    key, _, value = wrong.partition("=")
    assert f"{key} is {value}" in refused_with(**{key.replace(".", "__"): value})


# ---- TLS ----


def pair(folder, name):
    """A self-signed certificate and its key, for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mouthpiece")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    files = folder / f"{name}.pem", folder / f"{name}.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


@pytest.fixture
def secure(tmp_path):
    """A server with TLS, and a context that trusts it."""
    certificate, key = pair(tmp_path, "own")
    server = Server(tmp_path, {"http.tls_cert": certificate, "http.tls_key": key})
    server.is_ready = lambda: "streams: " in server.log
    server.start()
    yield server, ssl.create_default_context(cafile=certificate)
    end(server)


def test_with_a_certificate_it_serves_over_tls(secure):
    server, trust = secure
    url = server.log.partition("streams: ")[2].split()[0]
    assert url == f"https://127.0.0.1:{server.port}/"
    for path in ("", "v1/status", "healthz"):
        with urllib.request.urlopen(url + path, context=trust, timeout=5) as answer:
            assert answer.status == 200
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as plain, trust.wrap_socket(plain, server_hostname="127.0.0.1") as spoken:
        assert spoken.version() == "TLSv1.3"
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(url, timeout=5)


def test_who_speaks_plain_http_to_tls_is_told_so(secure):
    server, _ = secure
    answer = server.request("POST", "/v1/sessions/live/speech", bytes(100_000))
    assert answer.status == 400
    assert "https://" in answer.problem["detail"]


def test_handshakes_that_never_end_hold_nobody_up(secure):
    server, trust = secure
    before = server.descriptors()
    with contextlib.ExitStack() as strangers:
        for n in range(300):
            stranger = strangers.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5))
            # Nothing, half a record, and what is no handshake.
            stranger.sendall((b"", b"\x16\x03\x01\x02\x00\x01", b"\x16" * 50)[n % 3])
            if n % 100 == 99:
                with urllib.request.urlopen(f"https://127.0.0.1:{server.port}/healthz", context=trust, timeout=5) as answer:
                    assert answer.status == 200
        assert server.descriptors() < before + 150
        # Each is given up after a while, by itself.
        eventually(lambda: server.descriptors() < before + 10, within=15)


def test_files_that_cannot_be_used_are_named(tmp_path):
    certificate, key = pair(tmp_path, "own")
    _, other = pair(tmp_path, "other")
    text = tmp_path / "notes.txt"
    text.write_text("nothing secret")
    nowhere = tmp_path / "nowhere.pem"
    for files, words in [
        ((certificate, ""), ["http.tls_cert", "http.tls_key"]),
        (("", key), ["http.tls_cert", "http.tls_key"]),
        ((nowhere, key), ["http.tls_cert", "nowhere.pem"]),
        ((certificate, nowhere), ["http.tls_key", "nowhere.pem"]),
        ((text, key), ["http.tls_cert", "notes.txt"]),
        ((certificate, text), ["http.tls_key", "notes.txt", "private key"]),
        ((certificate, other), ["other.key", "own.pem"]),
    ]:
        said = refused_with(http__tls_cert=files[0], http__tls_key=files[1])
        assert all(word in said for word in words), said
        assert len(said.splitlines()) <= 3, said
