"""The page, in headless Chromium."""

import pytest

import mouth
import sounds
from server import eventually

SECRET = "a-long-enough-secret"


def test_the_page_shows_a_face_at_25_pictures_a_second(quiet, open_page):
    page = open_page(quiet.url)
    page.wait_for_picture()
    before = page.frames_decoded()
    page.tab.wait_for_timeout(3000)
    assert page.frames_decoded() - before == pytest.approx(75, abs=12)
    assert page.tab.evaluate("document.getElementById('video').videoWidth") == mouth.SIZE[0]
    assert "Ava" in page.tab.title()
    figures = page.tab.inner_text("#figures")
    assert "fps" in figures and "MB" in figures and "kbit/s" in figures


def test_sound_is_muted_until_the_button_and_heard_after_it(quiet, open_page):
    page = open_page(quiet.url)
    page.wait_for_picture()
    assert page.tab.evaluate("document.getElementById('video').muted")
    page.tab.get_by_role("button", name="Hear me").click()
    assert not page.tab.evaluate("document.getElementById('video').muted || document.getElementById('video').paused")
    assert page.tab.get_by_role("button", name="Hear me").is_hidden()
    before = page.sound_energy()
    quiet.speak(sounds.speech(3))
    eventually(lambda: page.sound_energy() > before + 0.001, within=4)
    page.tab.get_by_role("button", name="Mute").click()
    assert page.tab.evaluate("document.getElementById('video').muted")


def test_a_file_given_to_the_page_moves_the_mouth_which_rests_when_it_ends(quiet, open_page):
    page = open_page(quiet.url)
    page.wait_for_picture()
    page.wait_for("idle")
    rest = page.mouth_activity(2)
    page.give("greeting.wav", sounds.speech(4))
    page.wait_for("talking", within=3)
    talk = page.mouth_activity(2)
    page.wait_for("idle", within=6)
    page.tab.wait_for_timeout(1000)
    again = page.mouth_activity(2)
    assert talk > 2.5 * rest, (rest, talk, again)
    assert again < 1.5 * rest, (rest, talk, again)
    assert "greeting.wav" in page.tab.inner_text("#utterances")
    assert "spoken" in page.tab.inner_text("#utterances")


def test_the_interrupt_button_silences(quiet, open_page):
    page = open_page(quiet.url)
    page.wait_for_picture()
    page.give("long.wav", sounds.speech(15))
    page.wait_for("talking", within=3)
    page.tab.get_by_role("button", name="Interrupt").click()
    page.wait_for("idle", within=3)
    assert quiet.session()["queue_s"] == 0
    eventually(lambda: "stopped at" in page.tab.inner_text("#utterances"), within=2)


def test_a_file_that_is_no_sound_is_refused_in_a_sentence(quiet, open_page):
    page = open_page(quiet.url)
    page.wait_for_picture()
    page.give("letter.txt", b"Dear Sir or Madam, this is no sound. " * 20, "text/plain")
    message = page.tab.get_by_role("alert")
    message.wait_for(state="visible", timeout=5000)
    assert message.inner_text().startswith("letter.txt: ")
    assert page.state in ("idle", "talking")


def test_the_page_survives_a_server_that_restarts_on_the_same_ports(serve, open_page):
    server = serve()
    page = open_page(server.url)
    page.wait_for_picture()
    assert server.stop() < 5
    assert server.exit_code == 0
    page.wait_for("reconnecting", "away", within=5)
    page.wait_for("away", within=5)
    server.start()
    page.wait_for_picture(within=8)
    before = page.frames_decoded()
    page.tab.wait_for_timeout(1500)
    assert page.frames_decoded() > before + 20
    assert server.session()["viewers"] == 1, "one tab is one viewer"


def test_the_page_survives_a_server_that_was_killed(serve, open_page):
    server = serve()
    page = open_page(server.url)
    page.wait_for_picture()
    server.process.kill()
    server.process.wait()
    page.wait_for("away", within=8)
    server.start()
    page.wait_for_picture(within=8)


def test_a_page_that_closes_gives_its_place_back(quiet, open_page):
    page = open_page(quiet.url)
    page.wait_for_picture()
    assert quiet.session()["viewers"] == 1
    page.tab.goto("about:blank")
    eventually(lambda: quiet.session()["viewers"] == 0, within=3)


def test_a_full_server_is_told_in_words_and_watched_when_there_is_a_place(serve, open_page):
    server = serve({"media.max_viewers": 1})
    first = open_page(server.url)
    first.wait_for_picture()
    second = open_page(server.url)
    second.wait_for("waiting")
    assert len(second.tab.inner_text("#reason")) > 10
    first.tab.goto("about:blank")
    second.wait_for_picture(within=35)


def test_a_private_stream_asks_for_its_token(serve, open_page):
    server = serve({"http.token": SECRET})
    page = open_page(server.url)
    page.tab.get_by_role("dialog").wait_for(state="visible", timeout=5000)
    page.tab.get_by_label("Access token").fill("wrong")
    page.tab.get_by_role("button", name="Watch").click()
    page.tab.get_by_text("not accepted").wait_for(state="visible", timeout=5000)
    page.tab.get_by_label("Access token").fill(SECRET)
    page.tab.get_by_role("button", name="Watch").click()
    page.wait_for_picture()


def test_a_token_in_the_address_is_used_and_leaves_it(serve, open_page):
    server = serve({"http.token": SECRET})
    page = open_page(f"{server.url}/#token={SECRET}")
    page.wait_for_picture()
    assert "token" not in page.tab.url
    page.tab.reload()
    page.wait_for_picture()


@pytest.mark.parametrize("width, height", [(375, 812), (320, 640), (812, 375), (1280, 800), (1920, 1080)])
def test_the_page_fits_its_window(quiet, open_page, width, height):
    page = open_page(quiet.url, width=width, height=height)
    page.wait_for_picture()
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= width
    face = page.tab.locator("#stage").bounding_box()
    assert face["y"] + face["height"] <= height, "the whole face is on the screen"
    assert face["height"] >= 0.4 * min(width, height)
    hear = page.tab.get_by_role("button", name="Hear me").bounding_box()
    assert hear["height"] >= 44 and hear["y"] + hear["height"] <= height


def test_nothing_comes_from_another_host(quiet, open_page):
    page = open_page("about:blank")
    asked = []
    page.tab.on("request", lambda request: asked.append(request.url))
    page.tab.goto(quiet.url)
    page.wait_for_picture()
    assert asked and all(url.startswith((quiet.url, "data:", "blob:")) for url in asked), asked


def test_the_page_is_used_by_the_keyboard_alone(quiet, open_page):
    page = open_page(quiet.url)
    page.wait_for_picture()
    reached = []
    for _ in range(10):
        page.tab.keyboard.press("Tab")
        reached.append(page.tab.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"hear", "file", "interrupt"} <= set(reached), reached
