"""The console, in headless Chromium: what a person does at the desk."""

import functools
import re
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

import browser
import importing
import sounds
from server import ASSETS, Server, eventually

SECRET = "a-long-enough-secret"
#: The tests' processes may share few processors with others: Playwright waits as long as it takes.
PATIENCE = 30_000


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("console")
    server = Server(folder, {"recordings.folder": folder / "recordings"}).start()
    yield server
    server.stop()
    assert server.exit_code == 0, server.log


@pytest.fixture
def desk(quiet, open_page):
    """Opens the console: `desk("?session=…")`; whatever it says to nobody but its developer fails the test."""
    said = []

    def open_desk(query="", **more):
        page = open_page("about:blank", **more)
        page.asked = []
        page.tab.set_default_timeout(PATIENCE)
        page.tab.on("request", lambda request: page.asked.append(request.url))
        # That a route answered 404 is the browser's own line; the console's is a sentence on the page.
        page.tab.on(
            "console",
            lambda line: line.type in ("error", "warning") and "Failed to load resource" not in line.text and said.append(line.text),
        )
        page.tab.goto(f"{quiet.url}/console{query}")
        page.wait_for_picture(30)
        return page

    yield open_desk
    assert not said, said


def button(page, name):
    return page.tab.get_by_role("button", name=name, exact=True)


def make(page, name):
    """Makes a session as a person does."""
    button(page, "New").click()
    dialog = page.tab.get_by_role("dialog", name="A new session")
    dialog.get_by_label("Name").fill(name)
    dialog.get_by_role("button", name="Make it").click()
    page.tab.get_by_role("heading", name=name, exact=True).wait_for()


def test_a_session_is_made_watched_changed_and_deleted(desk, server):
    page = desk()
    make(page, "second")
    assert server.get("/v1/sessions/second").status == 200
    page.wait_for_picture(30)
    assert "session=second" in page.tab.url
    # The other one's picture comes by snapshots.
    page.tab.wait_for_selector('[data-key="live"] canvas[data-painted]', state="attached")

    page.tab.get_by_label("Bitrate, kbit/s").first.fill("700")
    button(page, "Change it").click()
    page.tab.get_by_text("The session second is changed.").wait_for()
    assert server.get("/v1/sessions/second").json["bitrate_kbps"] == 700

    # A name that is taken is refused where it was typed.
    button(page, "New").click()
    dialog = page.tab.get_by_role("dialog", name="A new session")
    dialog.get_by_label("Name").fill("second")
    dialog.get_by_role("button", name="Make it").click()
    dialog.get_by_role("alert").get_by_text("second").wait_for()
    dialog.get_by_role("button", name="Cancel").click()

    button(page, "Delete the session second").click()
    page.tab.get_by_role("dialog").get_by_role("button", name="Keep it").click()
    assert server.get("/v1/sessions/second").status == 200
    button(page, "Delete the session second").click()
    page.tab.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.tab.get_by_role("heading", name="live", exact=True).wait_for()
    assert server.get("/v1/sessions/second").status == 404
    page.wait_for_picture(30)


def test_a_text_is_spoken_and_an_interrupt_ends_it(desk, server):
    page = desk()
    page.tab.get_by_label("Text to be spoken").fill("This is said at the desk. " * 20)
    page.tab.keyboard.press("Enter")
    page.wait_for("talking", within=30)
    button(page, "Interrupt").click()
    page.tab.locator("#utterances").get_by_text("stopped at").wait_for()
    page.tab.get_by_text(re.compile(r"^Interrupted after")).wait_for()
    page.wait_for("idle", within=10)
    assert server.session()["queue_s"] == 0
    log = page.tab.locator("#log")
    for line in ("began", "was cut off after", "Talking", "At rest"):
        log.get_by_text(line).first.wait_for()


def test_a_recording_is_made_listed_downloaded_and_deleted(desk, server):
    page = desk()
    button(page, "Record").click()
    page.tab.get_by_text(re.compile("^Recording live-")).first.wait_for()
    (one,) = server.get("/v1/recordings").json["recordings"]
    eventually(lambda: server.get("/v1/recordings").json["recordings"][0]["seconds"] > 0, 20)
    button(page, "Stop recording").click()
    page.tab.get_by_text(f"{one['id']}.mp4 is done").wait_for()
    with page.tab.expect_download() as download:
        page.tab.get_by_role("link", name=f"Download {one['id']}.mp4").click()
    assert download.value.suggested_filename == f"{one['id']}.mp4"
    assert download.value.path().stat().st_size == server.get("/v1/recordings").json["recordings"][0]["bytes"]
    button(page, f"Delete {one['id']}.mp4").click()
    page.tab.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.tab.get_by_text("None yet.").wait_for()
    assert server.get("/v1/recordings").json["recordings"] == []


def test_the_keyboard_alone_speaks_a_text_and_makes_and_deletes_a_session(desk, server):
    page = desk()

    def go_to(what, most=60):
        """Tabs to the element whose name or id is `what`."""
        name = """() => {
            const one = document.activeElement;
            return [one.id, one.getAttribute('aria-label'), one.innerText?.trim(), one.labels?.[0]?.innerText.trim()];
        }"""
        for _ in range(most):
            page.tab.keyboard.press("Tab")
            if what in page.tab.evaluate(name):
                return
        raise AssertionError(f"{what} can't be reached by Tab")

    press = page.tab.keyboard.press
    go_to("Skip to what it shall say", 1)
    press("Enter")
    go_to("text", 1)
    page.tab.keyboard.type("Said without a mouse.")
    press("Enter")
    page.tab.locator("#utterances").get_by_text("spoken, ").wait_for()

    page.tab.goto(f"{server.url}/console")
    page.wait_for_picture(30)
    go_to("New")
    press("Enter")
    page.tab.keyboard.type("typed")
    press("Enter")
    page.tab.get_by_role("heading", name="typed", exact=True).wait_for()
    page.tab.get_by_role("dialog").wait_for(state="hidden")
    assert page.tab.evaluate("document.activeElement.id") == "new", "the focus is where it was"
    go_to("Delete the session typed")
    press("Enter")
    press("Tab")
    press("Enter")
    eventually(lambda: server.get("/v1/sessions/typed").status == 404, 10)


def test_a_file_is_dropped_and_spoken_or_refused_in_a_sentence(desk):
    page = desk()
    drop = """([name, type, base64]) => {
        const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], name, { type }));
        for (const kind of ['dragenter', 'dragover', 'drop'])
            document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
    }"""
    page.tab.evaluate(drop, ["hello.wav", "audio/wav", browser.base64.b64encode(sounds.speech(1)).decode()])
    page.tab.locator("#utterances").get_by_text("spoken, ").wait_for()
    page.tab.evaluate(drop, ["letter.txt", "text/plain", browser.base64.b64encode(b"no sound " * 50).decode()])
    page.tab.get_by_role("alert").get_by_text("letter.txt: ").wait_for()
    # A picture is to become an avatar, under a name that is made of its own.
    page.tab.evaluate(drop, ["My Face.png", "image/png", ""])
    dialog = page.tab.get_by_role("dialog", name="Import an avatar")
    dialog.wait_for()
    assert dialog.get_by_label("Name").input_value() == "my-face"


def test_a_named_clip_is_played(desk, server):
    page = desk()
    button(page, "nod").click()
    page.tab.get_by_text("nod: now.").wait_for()
    page.tab.locator("#log").get_by_text("Action nod began").wait_for()
    button(page, "Back to rest").click()
    page.tab.locator("#log").get_by_text("Action nod was").wait_for()


def test_the_microphone_is_a_sessions_voice_until_it_is_switched_off(desk, server):
    if server.request("OPTIONS", "/whip/live").status == 404:
        pytest.skip("this server takes no voice by WHIP")
    page = desk(permissions=["microphone"])
    button(page, "Microphone").click()
    button(page, "Microphone is on").wait_for()
    page.tab.locator("#log").get_by_text("A voice is published").wait_for()
    assert server.session()["published"]
    button(page, "Microphone is on").click()
    button(page, "Microphone").wait_for()
    eventually(lambda: not server.session()["published"], 10)


def test_an_import_is_followed_to_its_end_and_an_avatar_deleted(serve, open_page, assets, tmp_path):
    server = serve({"assets": assets, "recordings.folder": tmp_path})
    page = open_page(f"{server.url}/console")
    page.tab.set_default_timeout(PATIENCE)
    cards = page.tab.locator("#avatars")
    cards.get_by_text("used by live").wait_for()
    importing.ffmpeg("-f", "lavfi", "-i", "color=gray:s=320x400", "-frames:v", "1", tmp_path / "nobody.png")
    button(page, "Import").first.click()
    dialog = page.tab.get_by_role("dialog", name="Import an avatar")
    dialog.get_by_label("Video or photo").set_input_files(tmp_path / "nobody.png")
    assert dialog.get_by_label("Name").input_value() == "nobody"
    dialog.get_by_role("button", name="Import").click()
    page.tab.locator("#jobs").get_by_text("avatar nobody").first.wait_for()
    page.tab.locator("#jobs").get_by_text("failed").first.wait_for()
    page.tab.get_by_role("alert").get_by_text("The import ended: ").wait_for()

    button(page, "Delete the avatar leo").click()
    page.tab.get_by_role("dialog").get_by_role("button", name="Delete").click()
    cards.get_by_text("leo").wait_for(state="detached")
    assert not (assets / "avatars/leo").exists()


def test_nothing_is_asked_of_another_host_and_the_page_fits(desk, server):
    for width, height in [(375, 812), (1440, 900)]:
        page = desk(width=width, height=height)
        eventually(lambda: "MB of" in page.tab.inner_text("#memory"), 10)
        assert page.tab.evaluate("document.documentElement.scrollWidth") <= width
        assert page.tab.evaluate("document.querySelector('.line-0').getAttribute('d').length") > 0
        assert page.asked and all(url.startswith((server.url, "about:", "data:", "blob:")) for url in page.asked), page.asked
        unnamed = page.tab.evaluate(
            """() => [...document.querySelectorAll('button, a, input, select, textarea')]
                .filter((one) => !one.labels?.length && !one.innerText?.trim() && !one.ariaLabel).map((one) => one.outerHTML)"""
        )
        assert not unnamed, unnamed


def test_a_private_server_is_entered_with_its_token(serve, open_page, tmp_path):
    server = serve({"http.token": SECRET, "recordings.folder": tmp_path})
    page = open_page(f"{server.url}/console")
    page.tab.set_default_timeout(PATIENCE)
    page.tab.get_by_label("Access token").fill(SECRET)
    page.tab.get_by_role("button", name="Enter", exact=True).click()
    page.wait_for_picture(30)
    page.tab.get_by_text("None yet.").wait_for()
    # The events came in late, but all of them.
    page.tab.locator("#log").get_by_text("1 viewer").first.wait_for()
    assert SECRET not in page.tab.url


def test_the_page_speaks_a_text_and_says_why_it_cannot(serve, quiet, open_page):
    page = open_page(quiet.url)
    page.tab.set_default_timeout(PATIENCE)
    page.wait_for_picture(30)
    page.tab.get_by_label("Text to be spoken").fill("Hello there.")
    button(page, "Say it").click()
    page.tab.locator("#utterances").get_by_text("spoken, ").wait_for()

    page = open_page(serve({"tts.provider": "none"}).url)
    page.tab.set_default_timeout(PATIENCE)
    page.wait_for_picture(30)
    page.tab.get_by_label("Text to be spoken").fill("Hello there.")
    button(page, "Say it").click()
    page.tab.get_by_role("alert").get_by_text("text-to-speech").wait_for()
    assert page.tab.get_by_label("Text to be spoken").input_value() == "Hello there.", "it needn't be typed twice"


def test_every_verb_is_asked_by_curl_and_nothing_is_left_behind(quiet, tmp_path):
    sound = tmp_path / "speech.wav"
    sound.write_bytes(sounds.speech(2))
    run = subprocess.run([ASSETS / "examples/verbs.sh", sound, quiet.url], capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stdout + run.stderr
    assert '"speech_started"' in run.stdout
    assert quiet.get("/v1/sessions/example").status == 404
    assert quiet.get("/v1/recordings").json["recordings"] == []


def test_a_page_of_another_site_embeds_the_avatar(quiet, open_page, tmp_path):
    example = (ASSETS / "web/examples/embed.html").read_text()
    (tmp_path / "index.html").write_text(example.replace("http://127.0.0.1:8080", quiet.url))
    handler = functools.partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        try:
            page = open_page(f"http://127.0.0.1:{other.server_port}/")
            page.tab.wait_for_function("document.getElementById('avatar').videoWidth > 0", timeout=PATIENCE)
        finally:
            other.shutdown()
    assert quiet.session()["viewers"] == 1
    page.tab.goto("about:blank")
    eventually(lambda: quiet.session()["viewers"] == 0, within=10)
