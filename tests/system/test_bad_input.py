"""Bad input: one clear sentence or the right 4xx, and what runs goes on."""

import json
import socket
import subprocess
import time
import urllib.request

import pytest

import sounds
from player import Viewer, gaps, rate
from server import PROGRAM, Server, eventually, free_port, refused


@pytest.fixture
def watched(quiet):
    """The shared server with a viewer, whose stream must be whole after whatever the test did."""
    with Viewer(quiet.url) as viewer:
        viewer.wait_for_picture()
        yield quiet
        quiet.interrupt()
        pictures, _ = viewer.watch(1.5)
        assert rate(pictures) > 22
        assert "panicked" not in quiet.log


# ---- sound ----


@pytest.mark.parametrize(
    "name, sound",
    [
        ("empty", b""),
        ("text", b"Dear Sir or Madam, this is no sound. " * 30),
        ("a picture", bytes.fromhex("89504e470d0a1a0a") + bytes(3000)),
        ("only a header", sounds.wav([])),
        ("zeros", bytes(5000)),
    ],
)
def test_what_is_no_sound_is_refused(watched, name, sound):
    answer = watched.speak(sound)
    assert answer.status in (415, 422), answer.body
    answer.problem


def test_a_truncated_file_is_spoken_as_far_as_it_goes_or_refused(watched):
    answer = watched.speak(sounds.speech(10)[:100_000])
    assert answer.status in (202, 422), answer.body
    if answer.status == 422:
        answer.problem


def test_an_hour_of_sound_costs_no_memory(watched):
    before = watched.rss_mb()
    answer = watched.speak(sounds.silence(3600, rate=16_000))
    assert answer.status in (202, 413, 422, 429), answer.body
    if answer.status == 202:
        # It plays, and whoever comes next is told to wait.
        answer = watched.speak(sounds.speech(1))
        assert answer.status == 429
        assert int(answer.headers["retry-after"]) > 0
    answer.problem
    assert watched.rss_mb() < before + 40


def test_multipart_without_a_file_is_refused(watched):
    body = b'--edge\r\nContent-Disposition: form-data; name="other"\r\n\r\nnothing\r\n--edge--\r\n'
    answer = watched.speak(body, "multipart/form-data; boundary=edge")
    assert answer.status in (400, 422)
    answer.problem


def test_a_session_that_is_not_there_is_404(watched):
    answer = watched.request("POST", "/v1/sessions/nobody/speech", sounds.speech(1), Content_Type="audio/wav")
    assert answer.status == 404
    answer.problem


def test_a_form_whose_head_never_ends_costs_no_memory(watched):
    before = watched.rss_mb()
    with socket.create_connection(("127.0.0.1", watched.port), timeout=10) as stranger:
        stranger.sendall(
            b"POST /v1/sessions/live/speech HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: multipart/form-data; boundary=edge\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        part = b"--edge\r\n" + b"X-A: " + b"a" * 16_000
        try:
            for _ in range(2_000):
                stranger.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        except OSError:
            pass
        else:
            assert b" 400 " in stranger.recv(100)
    assert watched.rss_mb() < before + 8


def test_a_long_upload_costs_no_memory(watched):
    before = watched.rss_mb()
    answer = watched.speak(sounds.silence(550, rate=48_000) + bytes(250_000_000))
    assert answer.status in (202, 422, 429), answer.body
    assert watched.rss_mb() < before + 25


# ---- HTTP ----


def test_every_refusal_is_a_problem(quiet):
    for method, path, status in [
        ("GET", "/web/%ff", 400),
        ("GET", "/nothing", 404),
        ("GET", "/web/nothing.js", 404),
        ("POST", "/v1/status", 405),
        ("POST", "/v1/sessions/%ff/speech", 400),
        ("PATCH", "/whep/%ff/x", 400),
        ("PUT", "/whep/live", 405),
    ]:
        answer = quiet.request(method, path, b"" if method != "GET" else None)
        assert answer.status == status, (method, path, answer.status, answer.body)
        answer.problem


def test_a_setting_of_10_mb_is_refused(watched):
    before = watched.rss_mb()
    for _ in range(3):
        answer = watched.request("PATCH", "/v1/sessions/live", b'{"video_kbps":' + b" " * 10_000_000 + b"800}", Content_Type="application/json")
        assert answer.status in (413, 422), answer.body
        answer.problem
    assert watched.rss_mb() < before + 8


def test_other_sites_may_watch_but_not_control(quiet):
    page = {"Origin": "https://evil.example"}
    for method, path in [("POST", "/v1/sessions/live/interrupt"), ("GET", "/v1/status"), ("GET", "/metrics")]:
        body = b"" if method == "POST" else None
        answer = quiet.request(method, path, body, **page)
        assert answer.status == 403
        answer.problem
        own = {"Origin": quiet.url}
        assert quiet.request(method, path, body, **own).status == 200
    assert quiet.request("OPTIONS", "/whep/live", **page).status == 204
    # A name that was made to lead here.
    for path in ("/", "/v1/status", "/whep/live/x", "/healthz"):
        answer = quiet.get(path, Host="evil.example")
        assert answer.status == 403
        answer.problem


def test_with_a_token_any_name_and_page_will_do(serve):
    server = serve({"http.token": "123456"})
    assert server.get("/v1/status", Host="avatar.example", Origin="https://studio.example").status == 200
    assert server.get("/v1/status", Authorization="Bearer 12345").status == 401


def test_strangers_who_hold_connections_hold_nobody_up(watched):
    half = b"POST /v1/sessions/live/speech HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
    before = watched.descriptors()
    strangers = []
    with Viewer(watched.url) as viewer:
        viewer.wait_for_picture()
        began = time.monotonic()
        for n in range(1_100):
            strangers.append(socket.create_connection(("127.0.0.1", watched.port), timeout=10))
            strangers[-1].sendall(half)
            if n % 100 == 0:
                assert watched.get("/healthz").status == 200
        assert watched.get("/v1/status").status == 200
        assert watched.descriptors() < before + 300
        time.sleep(1)
        pictures, _ = viewer.between(began, time.monotonic())
        assert gaps(pictures).max() < 0.15
    eventually(lambda: watched.descriptors() < before + 20, within=15)
    for stranger in strangers:
        stranger.close()


# ---- SDP ----

AUDIO_ONLY = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=rtcp-mux\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n"
    "a=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\na=setup:actpass\r\na=mid:0\r\na=recvonly\r\na=rtpmap:111 opus/48000/2\r\n"
)
NO_CODEC = AUDIO_ONLY.replace("BUNDLE 0", "BUNDLE 0 1") + (
    "m=video 9 UDP/TLS/RTP/SAVPF 98\r\nc=IN IP4 0.0.0.0\r\na=rtcp-mux\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n"
    "a=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\na=setup:actpass\r\na=mid:1\r\na=recvonly\r\na=rtpmap:98 VP9/90000\r\n"
)


@pytest.mark.parametrize(
    "name, offer, statuses",
    [
        ("empty", b"", (422,)),
        ("text", b"Good morning", (422,)),
        ("not UTF-8", bytes(range(128, 256)) * 4, (422,)),
        ("10 MB", b"v=0\r\n" + b"a=x:" + b"y" * 10_000_000, (413, 422)),
        ("without video", AUDIO_ONLY.encode(), (406, 422)),
        ("without H.264 and VP8", NO_CODEC.encode(), (406,)),
    ],
)
def test_a_broken_offer_is_refused_and_takes_no_place(watched, name, offer, statuses):
    for _ in range(5):
        answer = watched.request("POST", "/whep/live", offer, Content_Type="application/sdp")
        assert answer.status in statuses, (answer.status, answer.body)
        answer.problem
    assert watched.session()["viewers"] == 1


def test_an_offer_of_another_type_or_to_another_session_is_refused(watched):
    assert watched.request("POST", "/whep/live", b"{}", Content_Type="application/json").status == 415
    assert watched.request("POST", "/whep/nobody", AUDIO_ONLY.encode(), Content_Type="application/sdp").status == 404
    assert watched.request("DELETE", "/whep/live/none-such").status == 404


# ---- the configuration and the machine ----


def serve_with(assets, *sets):
    ports = [f"http.listen=127.0.0.1:{free_port()}", f"media.udp_port={free_port()}", f"assets={assets}", "audio.source=none"]
    return refused("serve", *(part for s in [*ports, *sets] for part in ("--set", s)))


def test_an_unknown_key_is_refused_by_name_with_the_nearest_one(tmp_path):
    config = tmp_path / "mine.toml"
    config.write_text('[http]\nlisen = "127.0.0.1:9000"\n')
    code, said = refused("serve", "--config", config)
    assert code == 1
    assert "http.lisen" in said and "http.listen" in said and "mine.toml" in said


def test_a_value_of_the_wrong_type_is_refused_by_name(tmp_path):
    config = tmp_path / "mine.toml"
    config.write_text('[media]\nudp_port = "many"\n')
    code, said = refused("serve", "--config", config)
    assert code == 1
    assert "udp_port" in said


@pytest.mark.parametrize("wrong", ["voice.open=5", "voice.open=nan", "memory.budget_mb=1", "models.threads=0", "media.max_viewers=0"])
def test_a_value_that_cannot_work_is_refused_by_serve_and_doctor(wrong):
    for command in ("serve", "doctor"):
        run = subprocess.run([str(PROGRAM), command, "--set", wrong], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
        assert run.returncode == 1
        assert f"{wrong.partition('=')[0]} is" in run.stdout + run.stderr


def test_the_address_that_is_printed_can_be_opened(tmp_path):
    server = Server(tmp_path, {"http.listen": "0.0.0.0:0", "http.insecure": "true"})
    server.is_ready = lambda: "streams: http://" in server.log
    server.start()
    try:
        url = server.log.partition("streams: ")[2].split()[0]
        assert urllib.request.urlopen(url, timeout=5).status == 200
    finally:
        server.stop()


@pytest.mark.parametrize("text", ["this is = = not toml", "[http\n"])
def test_a_file_that_is_no_toml_is_refused(tmp_path, text):
    config = tmp_path / "mine.toml"
    config.write_text(text)
    code, said = refused("serve", "--config", config)
    assert code == 1
    assert "mine.toml" in said


def test_a_configuration_that_is_not_there_is_named():
    _, said = refused("serve", "--config", "nowhere.toml")
    assert "nowhere.toml" in said


def test_wrong_usage_is_code_2():
    assert refused("serve", "--no-such-flag")[0] == 2
    assert refused("sing")[0] == 2


def test_a_busy_port_is_named_and_the_first_server_goes_on(watched):
    ports = {"http.listen": f"127.0.0.1:{watched.port}", "media.udp_port": free_port()}
    code, said = refused("serve", "--set", "audio.source=none", *(part for k, v in ports.items() for part in ("--set", f"{k}={v}")))
    assert code == 1
    assert str(watched.port) in said
    ports = {"http.listen": f"127.0.0.1:{free_port()}", "media.udp_port": watched.udp_port}
    code, said = refused("serve", "--set", "audio.source=none", *(part for k, v in ports.items() for part in ("--set", f"{k}={v}")))
    assert code == 1
    assert str(watched.udp_port) in said


def test_listening_to_the_world_wants_a_token():
    code, said = refused("serve", "--set", f"http.listen=0.0.0.0:{free_port()}")
    assert code == 1
    assert "http.token" in said and "http.insecure" in said


def test_a_sound_file_that_is_not_there_is_named():
    code, said = serve_with("assets", "audio.source=file", "audio.file=nowhere.wav")
    assert code == 1
    assert "nowhere.wav" in said


# ---- models and avatars ----


def onnx_of_another_shape():
    """An ONNX model, by hand: one Identity from x [1,3] to y [1,3]."""

    def varint(n):
        out = b""
        while n > 127:
            out, n = out + bytes([n & 127 | 128]), n >> 7
        return out + bytes([n])

    def whole(number, value):
        return varint(number << 3) + varint(value)

    def part(number, content):
        content = content.encode() if isinstance(content, str) else content
        return varint(number << 3 | 2) + varint(len(content)) + content

    def tensor(name):
        shape = part(1, whole(1, 1)) + part(1, whole(1, 3))
        return part(1, name) + part(2, part(1, whole(1, 1) + part(2, shape)))

    node = part(1, "x") + part(2, "y") + part(4, "Identity")
    graph = part(1, node) + part(2, "g") + part(11, tensor("x")) + part(12, tensor("y"))
    return whole(1, 8) + part(7, graph) + part(8, whole(2, 13))


@pytest.mark.parametrize("name", ["missing", "broken", "truncated", "wrong shape"])
def test_a_model_that_cannot_be_used_is_refused_by_name(assets, name):
    model = assets / "models/mouthpiece-256/model.onnx"
    whole = model.read_bytes()
    match name:
        case "missing":
            model.unlink()
        case "broken":
            model.write_bytes(b"not a network at all " * 100)
        case "truncated":
            model.write_bytes(whole[: len(whole) // 2])
        case "wrong shape":
            model.write_bytes(onnx_of_another_shape())
    code, said = serve_with(assets)
    assert code == 1
    assert "model.onnx" in said or "mouthpiece-256" in said
    if name == "wrong shape":
        assert "80" in said and "3" in said, f"it says what was found and what was wanted: {said}"


def test_a_model_or_avatar_that_is_not_there_is_named(assets):
    assert "nobody" in serve_with(assets, "avatar=nobody")[1]
    assert "nothing" in serve_with(assets, "model=nothing")[1]


@pytest.mark.parametrize("name", ["video missing", "video truncated", "video is text", "track of another length", "track broken", "toml broken"])
def test_an_avatar_that_is_broken_is_refused_by_file_and_mend(assets, name):
    folder = assets / "avatars/ava"
    video, track, description = folder / "idle.mp4", folder / "idle.faces.json", folder / "avatar.toml"
    wrong = {"video": [video], "track": [track, video], "toml": [description]}[name.split()[0]]
    match name:
        case "video missing":
            video.unlink()
        case "video truncated":
            video.write_bytes(video.read_bytes()[:100_000])
        case "video is text":
            video.write_text("a film, but not really " * 500)
        case "track of another length":
            faces = json.loads(track.read_text())
            shorter = faces[:100] if isinstance(faces, list) else {k: v[:100] if isinstance(v, list) else v for k, v in faces.items()}
            track.write_text(json.dumps(shorter))
        case "track broken":
            track.write_text("{")
        case "toml broken":
            description.write_text("name = ")
    code, said = serve_with(assets)
    assert code == 1
    assert any(path.name in said for path in wrong), said
    assert len(said.splitlines()) <= 6, said


def test_assets_that_are_not_there_are_named(tmp_path):
    code, said = serve_with(tmp_path / "nowhere")
    assert code == 1
    assert "nowhere" in said
