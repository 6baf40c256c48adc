"""A voice that is published by WHIP: heard, spoken, one at a time, and gone within seconds."""

import numpy as np
import pytest

import sounds
from player import Viewer, activity, loudness, rate
from publisher import RATE, Publisher, an_offer
from server import eventually
from speaker import events

SECRET = "a-long-enough-secret"


def speech(seconds, before=0.0):
    """Speech after some silence."""
    spoken = np.resize(sounds.welcome(), int(seconds * RATE))
    return np.concatenate([np.zeros(int(before * RATE), np.float32), spoken])


def published(server, session="live"):
    return server.get(f"/v1/sessions/{session}").json["published"]


def test_a_published_voice_is_heard_and_the_face_speaks_it(quiet):
    with Viewer(quiet.url) as viewer, events(quiet) as told:
        viewer.wait_for_picture()
        rest, silence = viewer.watch(2)
        with Publisher(quiet.url, speech(6, before=1)) as publisher:
            assert publisher.answer.count("a=recvonly") == 1, publisher.answer
            assert publisher.answer_headers["content-type"] == "application/sdp" and publisher.answer_headers["etag"]
            assert publisher.place.startswith(f"{quiet.url}/whip/live/")
            eventually(lambda: published(quiet), within=5)
            eventually(lambda: quiet.session()["state"] == "talking", within=8)
            talk, sound = viewer.watch(3)
            begun = publisher.voice.begun
            heard = next(h.at for h in viewer.heard if h.at > begun and h.level > 0.03)
        assert publisher.deleted == 200
        eventually(lambda: not published(quiet), within=3)
        viewer.watch(1.5)
        again, after = viewer.watch(2)
    assert loudness(silence) < 0.01 < 0.03 < loudness(sound)
    assert activity(talk) > 2.5 * activity(rest)
    assert activity(again) < 1.5 * activity(rest)
    assert loudness(after) < 0.01
    assert rate(talk) == pytest.approx(25, abs=1.5)
    states = [event["state"] for _, event in told if event["type"] == "publisher"]
    assert states == ["joined", "left"]
    assert quiet.session()["late_chunks"] < 10
    print(f"from what was said to what was heard: {1000 * (heard - begun):.0f} ms, with the look-ahead of 100 ms")


def test_one_publishes_at_a_time_and_who_has_left_makes_room(quiet):
    with Publisher(quiet.url, speech(1)) as first:
        assert first.refused is None
        with Publisher(quiet.url, speech(1)) as second:
            assert second.refused == 409 and "publishes" in second.answer
        eventually(lambda: published(quiet), within=3)
    assert first.deleted == 200
    assert quiet.request("DELETE", first.place.removeprefix(quiet.url)).status == 404
    with Publisher(quiet.url, speech(1)) as third:
        assert third.refused is None


def test_who_vanishes_or_never_comes_loses_the_place_within_seconds(quiet):
    assert quiet.ask("POST", "/v1/sessions", id="other").status == 201
    offer = an_offer().encode()
    ask = lambda: quiet.request("POST", "/whip/other", offer, Content_Type="application/sdp")  # noqa: E731
    assert ask().status == 201
    assert ask().status == 409
    with Publisher(quiet.url, speech(3)) as publisher:
        eventually(lambda: published(quiet), within=5)
        publisher.vanish()
        eventually(lambda: not published(quiet), within=9)
        with Publisher(quiet.url, speech(1)) as next_one:
            assert next_one.refused is None
    eventually(lambda: ask().status == 201, within=14, every=1)
    assert quiet.request("DELETE", "/v1/sessions/other").status == 204


def test_a_file_gives_way_to_a_voice_and_comes_back(serve):
    server = serve({"audio.source": "file"})
    with Viewer(server.url) as viewer:
        viewer.wait_for_picture()
        eventually(lambda: loudness(viewer.watch(0.5)[1]) > 0.03, within=8)
        with Publisher(server.url, np.zeros(RATE)):
            eventually(lambda: published(server), within=5)
            viewer.watch(1)
            assert loudness(viewer.watch(2)[1]) < 0.01, "who publishes says nothing"
        eventually(lambda: loudness(viewer.watch(0.5)[1]) > 0.03, within=12)


def test_what_is_no_offer_of_a_voice_is_refused_in_words(quiet):
    good = an_offer()
    cases = [
        ("", 422), ("v=0", 422), ("hello" * 1000, 422), ("\0\xff", 422), (good[: len(good) // 3], 422),
        (good.replace("a=sendonly", "a=recvonly"), 422), (good.replace("m=audio", "m=video"), 422),
        (good.replace("opus/48000", "SPEEX/8000"), 406), (good + "a=x:" + "y" * 70_000, 413),
    ]
    for body, status in cases:
        answer = quiet.request("POST", "/whip/live", body.encode(), Content_Type="application/sdp")
        assert answer.status == status, (body[:60], answer.body)
        assert answer.problem
    assert quiet.request("POST", "/whip/live", good.encode(), Content_Type="text/plain").status == 415
    assert quiet.request("POST", "/whip/nobody", good.encode(), Content_Type="application/sdp").status == 404
    assert quiet.get("/whip/live").status == 405
    assert quiet.request("PATCH", "/whip/live/0123", b"a=end-of-candidates", Content_Type="application/trickle-ice-sdpfrag").status == 404
    elsewhere = quiet.request("POST", "/whip/live", good.encode(), Content_Type="application/sdp", Origin="https://example.org")
    assert elsewhere.status == 403, "a page of another site may not speak"
    assert not published(quiet)


def test_a_private_session_wants_its_token(serve):
    server = serve({"http.token": SECRET})
    with Publisher(server.url, speech(1)) as stranger:
        assert stranger.refused == 401
    with Publisher(server.url, speech(1), token=SECRET) as publisher:
        assert publisher.refused is None


BOTH = """async (first) => {
    const pc = new RTCPeerConnection();
    const sound = new AudioContext().createMediaStreamDestination().stream.getAudioTracks()[0];
    const kinds = first === 'video' ? ['video', sound] : [sound, 'video'];
    for (const kind of kinds) pc.addTransceiver(kind, { direction: 'sendonly' });
    await pc.setLocalDescription();
    await new Promise((done) => pc.iceGatheringState === 'complete' ? done() : pc.addEventListener('icegatheringstatechange', () => pc.iceGatheringState === 'complete' && done()));
    const headers = { 'Content-Type': 'application/sdp' };
    const answer = await fetch('/whip/live', { method: 'POST', headers, body: pc.localDescription.sdp });
    const sdp = await answer.text();
    if (answer.status !== 201) return [answer.status, sdp];
    await pc.setRemoteDescription({ type: 'answer', sdp });
    const end = performance.now() + 8000;
    while (pc.connectionState !== 'connected' && performance.now() < end) await new Promise((next) => setTimeout(next, 50));
    const state = pc.connectionState;
    await fetch(answer.headers.get('Location'), { method: 'DELETE' });
    pc.close();
    return [state, sdp];
}"""


@pytest.mark.parametrize("first", ["audio", "video"])
def test_pictures_that_come_along_are_refused_and_the_voice_is_taken(quiet, open_page, first):
    page = open_page(quiet.url)
    page.wait_for_picture()
    state, answer = page.tab.evaluate(BOTH, first)
    assert state == "connected", (state, answer)
    assert "m=video 0 " in answer and answer.count("a=recvonly") == 1, answer


def test_the_page_publishes_its_microphone_and_ends_it(quiet, open_page):
    page = open_page(quiet.url, permissions=["microphone"])
    page.wait_for_picture()
    page.tab.get_by_role("button", name="Talk", exact=True).click()
    stop = page.tab.get_by_role("button", name="Stop talking")
    stop.wait_for(state="visible", timeout=8000)
    eventually(lambda: published(quiet), within=3)
    other = open_page(quiet.url, permissions=["microphone"])
    other.wait_for_picture()
    other.tab.get_by_role("button", name="Talk", exact=True).click()
    refusal = other.tab.get_by_role("alert")
    refusal.wait_for(state="visible", timeout=8000)
    assert "publishes" in refusal.inner_text()
    # Chromium's own test tone; the page's first connection is the one that it watches by.
    before = page.sound_energy(connection=0)
    eventually(lambda: page.sound_energy(connection=0) > before + 0.001, within=8)
    stop.click()
    page.tab.get_by_role("button", name="Talk", exact=True).wait_for(state="visible", timeout=3000)
    eventually(lambda: not published(quiet), within=3)
    page.tab.get_by_role("button", name="Talk", exact=True).click()
    stop.wait_for(state="visible", timeout=8000)
    page.tab.goto("about:blank")
    eventually(lambda: not published(quiet), within=6)


def test_a_page_without_a_microphone_says_so(quiet, open_page):
    page = open_page(quiet.url)
    page.tab.evaluate("navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotFoundError'))")
    page.wait_for_picture()
    page.tab.get_by_role("button", name="Talk", exact=True).click()
    alert = page.tab.get_by_role("alert")
    alert.wait_for(state="visible", timeout=5000)
    assert "no microphone" in alert.inner_text()
    assert page.tab.get_by_role("button", name="Talk", exact=True).is_enabled()
