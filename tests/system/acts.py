"""What strangers do: every kind of hostile act against a server, and what is the right answer to each.

`KINDS` has them all. They need a server with `TOKEN`, `VIEWERS_TOKEN` and `imports.max_upload_mb` = 8, and change
nothing of it: who is let in and never comes is gone after a while. `House` makes one short recording, to ask ranges of.
"""

import contextlib
import random
import socket
import struct
import time
from collections import Counter
from dataclasses import dataclass, field

import sounds
from publisher import an_offer
from server import ASSETS
from stranger import Stranger, frame, request

TOKEN, VIEWERS_TOKEN = "who-has-this-controls", "who-has-this-watches"
JSON, SDP, FRAGMENT, WAV = "application/json", "application/sdp", "application/trickle-ice-sdpfrag", "audio/wav"
FORM = "multipart/form-data; boundary=edge"
LIVE, SPEECH, SOCKET = "/v1/sessions/live", "/v1/sessions/live/speech", "/v1/sessions/live/speech/stream"


@dataclass
class Kind:
    """One kind of act: `act(house, n)` does it for the nth time, and says what was answered."""

    name: str
    right: tuple
    act: object
    slow: bool = False
    answers: Counter = field(default_factory=Counter)
    busy: int = 0


KINDS = []


def asks(name, right, method, path, body=b"", kind=None, token=TOKEN, **more):
    """A kind that is one request and its answer."""
    data = request(method, path, body, kind, token, **more)
    KINDS.append(Kind(name, tuple(right.split(", ")), lambda house, n: house.ask(data)))


def acts(name, right, slow=False):
    """A kind that takes more than that."""

    def note(act):
        KINDS.append(Kind(name, tuple(right.split(", ")), act, slow))
        return act

    return note


class Busy(Exception):
    """The server was full, and said when to come again."""


class House:
    """The server, and what strangers need to know of it."""

    def __init__(self, server):
        self.server, self.port = server, server.port
        self.whep = viewers_offer().encode()
        self.whip = an_offer().encode()
        assert server.ask("POST", f"{LIVE}/recording", action="start").status == 201
        time.sleep(2.5)
        self.recording = server.ask("POST", f"{LIVE}/recording", action="stop").json["id"]

    def open(self, **more):
        return Stranger(self.port, **more)

    def ask(self, data):
        with self.open() as stranger:
            return answer(stranger, data)

    def offer(self, sdp, to="/whep/live"):
        """The answer to an offer, and the place of who was let in."""
        with self.open() as stranger:
            status = answer(stranger, request("POST", to, sdp, SDP, TOKEN))
            return status, stranger.headers.get("location")

    def socket(self, *frames):
        """A WebSocket that sends this: what it was opened and closed with."""
        with self.open() as stranger:
            status = answer(stranger, request("GET", SOCKET, token=TOKEN, lines=UPGRADE))
            for data in frames:
                stranger.send(data)
            return f"{status} {stranger.close_code()}"


def answer(stranger, data):
    """The status of the answer to `data`. A server that is full has done what is right."""
    status = stranger.ask(data)
    if status == "503" and stranger.retry_after:
        raise Busy
    return status


def viewers_offer():
    """A good offer of who wants to watch, behind which there is nobody."""
    lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0 1"]
    for n, (kind, codec) in enumerate([("audio 9 UDP/TLS/RTP/SAVPF 111", "111 opus/48000/2"), ("video 9 UDP/TLS/RTP/SAVPF 97", "97 VP8/90000")]):
        lines += [f"m={kind}", "c=IN IP4 0.0.0.0", "a=rtcp-mux", "a=ice-ufrag:abcd", "a=ice-pwd:abcdefghijklmnopqrstuvwx",
                  "a=fingerprint:sha-256 " + ":".join(["AB"] * 32), "a=setup:actpass", f"a=mid:{n}", "a=recvonly", f"a=rtpmap:{codec}"]
    return "\r\n".join([*lines, ""])


# Bodies that are not what they should be.
asks("a session of broken JSON", "422", "POST", "/v1/sessions", b'{"id": ', JSON)
asks("a session of JSON of other types", "422", "POST", "/v1/sessions", b'{"id": 7, "avatar": []}', JSON)
asks("a session of a field that nobody knows", "422", "POST", "/v1/sessions", b'{"file": "/etc/passwd"}', JSON)
asks("JSON nested 30 000 deep", "422", "POST", "/v1/sessions", b"[" * 30_000, JSON)
asks("JSON that is not UTF-8", "400, 422", "PATCH", LIVE, b'{"avatar": "\xff\xfe"}', JSON)
asks("a number without end", "422", "PATCH", LIVE, b'{"bitrate_kbps": 1e999}', JSON)
asks("JSON that is not called so", "415", "POST", f"{LIVE}/action", b'{"clip": "nod"}', "text/plain")
asks("JSON without a type", "415", "POST", "/v1/memory/reclaim", b'{"level": "light"}')
asks("10 MB of JSON", "413", "PATCH", LIVE, b'{"avatar":' + b" " * 10_000_000 + b'"leo"}', JSON)
asks("10 MB of a text to say", "413", "POST", SPEECH, b'{"text":"' + b"a" * 10_000_000 + b'"}', JSON)
asks("an empty text to say", "422", "POST", SPEECH, b'{"text": "  "}', JSON)
asks("a voice that is an option", "422", "POST", SPEECH, b'{"text": "a", "voice": "-f /etc/passwd"}', JSON)
asks("two lengths of one body", "400", "POST", "/v1/sessions", b"{}", JSON, lines=["Content-Length: 9"])
asks("a length below zero", "400", "POST", "/v1/sessions", b"", JSON, length=-1)
asks("a length beyond all numbers", "400, 413, 431", "POST", "/v1/sessions", b"", JSON, length=10**30)


@acts("a body that is cut", "400, closed")
def _(house, n):
    with house.open() as stranger:
        stranger.send(request("POST", "/v1/sessions", b'{"id": "x', JSON, TOKEN, length=1_000))
        stranger.done()
        return stranger.status()


@acts("a chunk of a size that is none", "400, closed")
def _(house, n):
    with house.open() as stranger:
        chunked = request("POST", "/v1/sessions", b"", JSON, TOKEN, lines=["Transfer-Encoding: chunked"], length=0).replace(b"Content-Length: 0\r\n", b"")
        return answer(stranger, chunked + (b"zz\r\n{}\r\n0\r\n\r\n", b"-5\r\n{}\r\n", b"f" * 40 + b"\r\n{}")[n % 3])


@acts("a request hidden in another's body", "400, 415, 422")
def _(house, n):
    with house.open() as stranger:
        hidden = b"0\r\n\r\nGET /v1/hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
        return answer(stranger, request("POST", "/v1/sessions", hidden, JSON, TOKEN, lines=["Transfer-Encoding: chunked"]))


# Paths, methods and names.
asks("a path upwards", "404", "GET", "/web/../../config/default.toml")
asks("a path upwards, escaped", "404", "GET", "/web/%2e%2e/%2e%2e/%2e%2e/etc/passwd")
asks("a path upwards, its slashes too", "404", "GET", "/web/..%2f..%2f..%2fetc%2fpasswd")
asks("a path upwards by backslashes", "404", "GET", "/web/..%5c..%5cetc%5cpasswd")
asks("a path from the root", "404", "GET", "/web//etc/passwd")
asks("a path with a NUL", "404", "GET", "/web/app.js%00.html")
asks("a path that is not UTF-8", "400", "GET", "/web/%ff%fe.js")
asks("a path of 20 kB", "404", "GET", "/web/" + "a" * 20_000 + ".js")
asks("a path of 200 kB", "400, 414, 431", "GET", "/" + "a" * 200_000)
asks("a recording that lies elsewhere", "404", "GET", "/v1/recordings/..%2f..%2fetc%2fpasswd")
asks("a recording elsewhere, deleted", "404", "DELETE", "/v1/recordings/..%2favatars%2fava")
asks("an avatar that lies elsewhere", "404", "GET", "/v1/avatars/..%2f..%2fconfig/poster")
asks("an avatar elsewhere, deleted", "404", "DELETE", "/v1/avatars/..%2fmodels")
asks("a session shown as a file", "422", "PATCH", LIVE, b'{"avatar": "../../etc"}', JSON)
asks("a model from the root", "422", "PATCH", LIVE, b'{"model": "/etc/passwd"}', JSON)
asks("a session called as a path", "422", "POST", "/v1/sessions", b'{"id": "../live"}', JSON)
asks("a session called in 10 000 letters", "422", "POST", "/v1/sessions", b'{"id": "' + b"a" * 10_000 + b'"}', JSON)
asks("a wrong method", "405", "DELETE", "/v1/status")
asks("a method that nobody knows", "405", "FROBNICATE", "/v1/status")
asks("TRACE", "405", "TRACE", "/v1/status")
asks("PUT of a stream", "405", "PUT", "/whep/live", b"x")
asks("a tunnel to elsewhere", "400, 404, 405", "CONNECT", "localhost:22")
asks("speech to nobody", "404", "POST", "/v1/sessions/nobody/speech", sounds.silence(0.1), WAV)
asks("nobody, deleted", "404", "DELETE", "/v1/sessions/nobody")
asks("the configured session, deleted", "409", "DELETE", LIVE)
asks("a clip that nobody has", "404", "POST", f"{LIVE}/action", b'{"clip": "../nod"}', JSON)
asks("a job that never was", "404", "DELETE", "/v1/jobs/j00000000")
asks("a viewer who never was, sent away", "404", "DELETE", "/whep/live/0123456789abcdef")
asks("a viewer who never was, changed", "404", "PATCH", "/whep/live/0123456789abcdef", b"a=x", FRAGMENT)

# Tokens.
asks("no token", "401", "GET", "/v1/status", token=None)
asks("a wrong token", "401", "POST", f"{LIVE}/interrupt", token="guessed")
asks("the viewers' token, to control", "403", "POST", f"{LIVE}/interrupt", token=VIEWERS_TOKEN)
asks("a token of 30 kB", "401", "GET", "/metrics", token="x" * 30_000)
asks("a token in an address that takes none", "401", "GET", f"/v1/sessions?token={TOKEN}", token=None)
asks("a publisher without a token", "401", "POST", "/whip/live", b"v=0", SDP, token=None)

# Offers.
asks("an empty offer", "422", "POST", "/whep/live", b"", SDP)
asks("an offer that is a letter", "422", "POST", "/whep/live", b"Dear Sir or Madam", SDP)
asks("an offer that is not UTF-8", "422", "POST", "/whep/live", bytes(range(128, 256)) * 4, SDP)
asks("an offer of 10 MB", "413", "POST", "/whep/live", b"v=0\r\n" + b"a=x:" + b"y" * 10_000_000, SDP)
asks("an offer of another type", "415", "POST", "/whep/live", viewers_offer().encode(), JSON)
asks("an offer to nobody", "404", "POST", "/whep/nobody", viewers_offer().encode(), SDP)
asks("an offer without a fingerprint", "422", "POST", "/whep/live", viewers_offer().replace("a=fingerprint", "a=x").encode(), SDP)
asks("an offer of other codecs", "406", "POST", "/whep/live", viewers_offer().replace("VP8", "VP7").encode(), SDP)
asks("an offer without pictures", "422", "POST", "/whep/live", viewers_offer().partition("m=video")[0].encode(), SDP)
asks("an offer with 2 000 sections", "422", "POST", "/whep/live", (viewers_offer() + "m=audio 9 RTP 0\r\n" * 2_000).encode(), SDP)
asks("an offer of a viewer to publish", "422, 409", "POST", "/whip/live", viewers_offer().encode(), SDP)
asks("an offer to publish, of 100 kB", "413", "POST", "/whip/live", b"v=0\r\n" + b"a=x:" + b"y" * 100_000, SDP)


@acts("an offer that is cut", "422, 406, 201")
def _(house, n):
    sdp = house.whep[: random.Random(n).randrange(len(house.whep))]
    return house.offer(sdp)[0]


@acts("an offer with letters exchanged", "422, 406, 201")
def _(house, n):
    chance, sdp = random.Random(n), bytearray(house.whep)
    for _ in range(chance.randrange(1, 20)):
        sdp[chance.randrange(len(sdp))] = chance.choice(b"\0\r\n =:/019aZ\x7f")
    return house.offer(bytes(sdp))[0]


@acts("a viewer who never comes", "201")
def _(house, n):
    return house.offer(house.whep)[0]


@acts("a publisher who never comes", "201, 409")
def _(house, n):
    return house.offer(house.whip, to="/whip/live")[0]


@acts("a viewer who leaves twice", "201 200 404")
def _(house, n):
    status, place = house.offer(house.whep)
    leave = request("DELETE", place)
    return f"{status} {house.ask(leave)} {house.ask(leave)}"


@acts("fragments that are none", "201 422 204 428 412 415")
def _(house, n):
    status, place = house.offer(house.whep)
    new = b"a=ice-ufrag:efgh\r\na=ice-pwd:abcdefghijklmnopqrstuvwy\r\n"
    said = [
        house.ask(request("PATCH", place, b"a=ice-ufrag:efgh", FRAGMENT)),
        # A candidate of another kind than what is known is passed over.
        house.ask(request("PATCH", place, b"a=candidate:" + b"x" * 500, FRAGMENT)),
        house.ask(request("PATCH", place, new, FRAGMENT)),
        house.ask(request("PATCH", place, new, FRAGMENT, lines=['If-Match: "stale"'])),
        house.ask(request("PATCH", place, new, JSON)),
    ]
    house.ask(request("DELETE", place))
    return " ".join([status, *said])


@acts("noise on the media port", "sent")
def _(house, n):
    chance = random.Random(n)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
        for _ in range(50):
            noise = chance.randbytes(chance.randrange(1, 1_400))
            # As STUN, DTLS and RTP begin (RFC 7983), and as nothing does.
            begin = chance.choice([b"\x00\x01\x00\x08\x21\x12\xa4\x42", b"\x16\xfe\xfd", b"\x80\x60", b""])
            port.sendto(begin + noise, ("127.0.0.1", house.server.udp_port))
    return "sent"


# WebSockets.
UPGRADE = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
START = frame(1, b'{"type":"start","sample_rate":16000}')


def socket_kind(name, right, *frames):
    KINDS.append(Kind(f"a socket: {name}", tuple(right.split(", ")), lambda house, n: house.socket(*frames)))


asks("a socket that is none", "426", "GET", SOCKET)
asks("a socket of another version", "400, 426", "GET", SOCKET, lines=[*UPGRADE[:2], "Sec-WebSocket-Version: 1", UPGRADE[3]])
asks("a socket without a key", "400, 426", "GET", SOCKET, lines=UPGRADE[:3])
asks("a socket of nobody", "404", "GET", "/v1/sessions/nobody/speech/stream", lines=UPGRADE)
asks("a socket without a token", "401", "GET", SOCKET, token=None, lines=UPGRADE)
socket_kind("what is no frame", "101 1002", b"\xff" * 64)
socket_kind("sound before the start", "101 1008", frame(2, bytes(640)))
socket_kind("an end before the start", "101 1008", frame(1, b'{"type":"end"}'))
socket_kind("broken JSON", "101 1007", frame(1, b'{"type": '))
socket_kind("text that is not UTF-8", "101 1007", frame(1, b"\xff\xfe\xfd"))
socket_kind("a type that nobody knows", "101 1003", frame(1, b'{"type":"shout"}'))
socket_kind("a rate that is none", "101 1007", frame(1, b'{"type":"start","sample_rate":-1}'))
socket_kind("half a sample", "101 1007", START, frame(2, b"\0" * 641))
socket_kind("a message of 2 MB", "101 1009", START, frame(2, bytes(2 << 20)))
socket_kind("a frame of 4 million TB", "101 1009, 101 1002", START, frame(2, b"x", length=1 << 62))
socket_kind("parts without end", "101 1009", START, frame(2, bytes(60_000), flags=0), *[frame(0, bytes(60_000), flags=0)] * 20)
socket_kind("a frame without a mask", "101 1002", frame(1, b"{}", masked=False))
socket_kind("bits that are kept for later", "101 1002", frame(2, b"x", flags=0xF0))
socket_kind("a ping of 10 kB", "101 1002", frame(9, bytes(10_000)))


@acts("a socket: broken in a frame", "101")
def _(house, n):
    with house.open() as stranger:
        status = answer(stranger, request("GET", SOCKET, token=TOKEN, lines=UPGRADE))
        stranger.send(START + frame(2, bytes(100), length=100_000))
        stranger.reset()
        return status


@acts("a socket: never started", "101 1008", slow=True)
def _(house, n):
    return house.socket()


# Sound files and forms.


def wave(rate=48_000, channels=1, bits=16, size=0xFFFFFFFF, sound=b""):
    """A WAV file that says what it likes."""
    step = channels * bits // 8
    form = struct.pack("<HHIIHH", 1, channels & 0xFFFF, rate, rate * step & 0xFFFFFFFF, step & 0xFFFF, bits)
    return b"RIFF" + struct.pack("<I", size) + b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", size) + sound


def field_of(name, value, file=None):
    called = f'; filename="{file}"' if file else ""
    return f'--edge\r\nContent-Disposition: form-data; name="{name}"{called}\r\n\r\n'.encode() + value + b"\r\n"


END = b"--edge--\r\n"
FLAC = (ASSETS / "speech/welcome.flac").read_bytes()

asks("a sound file that is empty", "422", "POST", SPEECH, b"", WAV)
asks("a sound file that is noise", "422", "POST", SPEECH, random.Random(1).randbytes(50_000), WAV)
asks("a sound file that is a picture", "422", "POST", SPEECH, b"\x89PNG\r\n\x1a\n" + bytes(3_000), "image/png")
asks("a header of 4 GB and nothing after it", "422", "POST", SPEECH, wave(), WAV)
asks("sound of no rate", "422", "POST", SPEECH, wave(rate=0, sound=bytes(9_600)), WAV)
asks("sound of 4 billion Hz", "202, 422", "POST", SPEECH, wave(rate=0xFFFFFFFF, sound=bytes(9_600)), WAV)
asks("sound of 65 535 channels", "422", "POST", SPEECH, wave(channels=65_535, sound=bytes(200_000)), WAV)
asks("sound of no bits", "422", "POST", SPEECH, wave(bits=0, sound=bytes(9_600)), WAV)
asks("sound that is cut", "202, 422", "POST", SPEECH, sounds.speech(4)[:30_001], WAV)
asks("a FLAC with holes", "202, 422", "POST", SPEECH, FLAC[:4_000] + bytes(2_000) + FLAC[6_000:16_000], "audio/flac")
asks("a FLAC's header and noise", "422", "POST", SPEECH, FLAC[:200] + random.Random(2).randbytes(20_000), "audio/flac")
asks("an MP3 of one frame's head", "202, 422", "POST", SPEECH, b"\xff\xfb\x90\x64" * 700, "audio/mpeg")
asks("an Ogg of pages that are none", "422", "POST", SPEECH, b"OggS" + random.Random(3).randbytes(20_000), "audio/ogg")
asks("an M4A of one atom of 4 million TB", "422", "POST", SPEECH, b"\0\0\0\x14ftypM4A \0\0\0\0M4A " + struct.pack(">I4sQ", 1, b"moov", 1 << 62), "audio/mp4")
asks("a form without a boundary", "400", "POST", SPEECH, END, "multipart/form-data")
asks("a form without a file", "422", "POST", SPEECH, field_of("other", b"nothing") + END, FORM)
asks("a form that is none", "400, 422", "POST", SPEECH, random.Random(4).randbytes(5_000), FORM)
asks("a form that ends in its head", "400", "POST", SPEECH, b"--edge\r\nContent-Disposition: form-da", FORM)
asks("a form of 5 000 fields", "400", "POST", SPEECH, field_of("x", b"y" * 50) * 5_000 + END, FORM)
asks("a video that is a letter", "422", "POST", "/v1/avatars", field_of("id", b"x") + field_of("file", b"Dear Sir", "x.mp4") + END, FORM)
asks("a video that lies elsewhere", "422", "POST", "/v1/avatars", field_of("id", b"x") + field_of("url", b"file:///etc/passwd") + END, FORM)
asks("an avatar called as a path", "422", "POST", "/v1/avatars", field_of("id", b"../x") + field_of("file", b"x", "x.mp4") + END, FORM)
asks("a video of 9 MB", "413", "POST", "/v1/avatars", field_of("id", b"x") + field_of("file", bytes(9 << 20), "x.mp4") + END, FORM)
asks("a model that is an archive", "422", "POST", "/v1/models", field_of("id", b"x") + field_of("file", b"PK\3\4" + bytes(99), "x.pth") + END, FORM)
asks("a model that is JSON", "415", "POST", "/v1/models", b"{}", JSON)


@acts("an upload that breaks off", "400, closed")
def _(house, n):
    with house.open() as stranger:
        whole = field_of("id", b"x") + field_of("file", bytes(3 << 20), "x.mp4") + END
        stranger.send(request("POST", ("/v1/avatars", SPEECH)[n % 2], whole[: 1 << 20], FORM, TOKEN, length=len(whole)))
        stranger.done()
        return stranger.status()


@acts("a form whose head never ends", "400, 431")
def _(house, n):
    with house.open() as stranger:
        stranger.send(request("POST", SPEECH, b"", FORM, TOKEN, length=1 << 30))
        for _ in range(200):
            if not stranger.send(b"--edge\r\n" + b"X-A: " + b"a" * 16_000):
                break
        return stranger.status()


# Ranges of a recording.
for name, span, right in (
    ("beyond the end", "bytes=99999999999-", "416"),
    ("backwards", "bytes=9-5", "416, 200"),
    ("many at once", "bytes=" + ",".join(f"{n}-{n}" for n in range(500)), "416, 200, 206"),
    ("of no unit", "apples=1-2", "416, 200"),
    ("of numbers without end", "bytes=" + "9" * 500 + "-", "416, 200"),
):

    @acts(f"a range {name}", right)
    def _(house, n, span=span):
        return house.ask(request("GET", f"/v1/recordings/{house.recording}", token=TOKEN, lines=[f"Range: {span}"]))


# Connections.


def raw(name, right, data):
    KINDS.append(Kind(name, tuple(right.split(", ")), lambda house, n: house.ask(data)))


raw("HTTP 0.9", "400, closed", b"GET /\r\n\r\n")
raw("HTTP 2 without TLS", "400, 505, closed", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(40))
raw("HTTP 9", "400, 505, closed", b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n")
raw("a TLS hello", "400, closed", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500))
raw("noise", "400, closed", random.Random(5).randbytes(5_000))
raw("a header without a colon", "400", b"GET /healthz HTTP/1.1\r\nHost localhost\r\n\r\n")
raw("a header with a NUL", "400", b"GET /healthz HTTP/1.1\r\nHost: local\0host\r\n\r\n")
raw("a header over two lines", "400", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n folded: yes\r\n\r\n")
raw("500 headers", "431", request("GET", "/healthz", lines=[f"X-{n}: y" for n in range(500)]))
raw("a header of 200 kB", "431", request("GET", "/healthz", lines=["X: " + "y" * 200_000]))


@acts("a hundred requests at once, unread", "sent")
def _(house, n):
    with house.open() as stranger:
        stranger.send(request("GET", "/openapi.json") * 100)
        stranger.reset()
    return "sent"


@acts("events that nobody hears", "200")
def _(house, n):
    with house.open() as stranger:
        status = answer(stranger, request("GET", f"{LIVE}/events", token=TOKEN))
        stranger.reset()
        return status


@acts("a hundred connections that say nothing", "200")
def _(house, n):
    with contextlib.ExitStack() as strangers:
        for _ in range(100):
            strangers.enter_context(house.open())
        return house.ask(request("GET", "/healthz"))


@acts("a connection that says nothing", "closed", slow=True)
def _(house, n):
    with house.open() as stranger:
        return stranger.end()


@acts("a head a letter at a time", "closed, 408", slow=True)
def _(house, n):
    return drip(house, request("GET", "/v1/status", token=TOKEN, lines=["X: " + "y" * 500]), first=10)


@acts("JSON a letter at a time", "408", slow=True)
def _(house, n):
    data = request("POST", "/v1/sessions", b'{"id": "' + b"a" * 500, JSON, TOKEN, length=1_000)
    return drip(house, data, first=data.index(b"{"))


@acts("an offer a letter at a time", "408", slow=True)
def _(house, n):
    data = request("POST", "/whep/live", house.whep, SDP, TOKEN)
    return drip(house, data, first=data.index(b"v=0"))


def drip(house, data, first):
    """Sends `first` bytes, then the others one by one, until there is an answer."""
    with house.open() as stranger:
        stranger.send(data[:first])
        stranger.socket.settimeout(0.5)
        for at in range(first, len(data)):
            stranger.send(data[at : at + 1])
            said = stranger.status()
            if said != "nothing":
                return said
    return "nothing"


@acts("a sound file that stops in the middle", "408", slow=True)
def _(house, n):
    with house.open() as stranger:
        return answer(stranger, request("POST", SPEECH, sounds.silence(1)[:50_000], WAV, TOKEN, length=96_044))


@acts("answers that nobody reads", "closed", slow=True)
def _(house, n):
    with house.open(small=True) as stranger:
        stranger.send(request("GET", f"/v1/recordings/{house.recording}", token=TOKEN) * 60)
        # It is given up after half a minute without a byte read; what lies in the buffers still comes.
        time.sleep(45)
        return stranger.end()
