"""What the tests stand on: servers that end well, one Chromium, a microphone, a screen."""

import pathlib
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import browser  # noqa: E402
import sounds  # noqa: E402
from display import Display  # noqa: E402
from pulse import Pulse  # noqa: E402
from server import ASSETS, Server  # noqa: E402


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A test that fails shows the log of each server it used."""
    report = (yield).get_result()
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            for server in [value] if isinstance(value, Server) else getattr(value, "servers", []):
                report.sections.append(("the server's log", server.log[-6000:]))


def pytest_collection_modifyitems(items):
    """The longest file first: whoever runs beside it has the rest."""
    items.sort(key=lambda item: item.path.name != "test_soak.py")


def end(server):
    """Every server that still runs must end well when asked to."""
    if server.process is not None:
        server.stop()
        assert server.exit_code == 0, f"the server ended with {server.exit_code}:\n{server.log}"


@pytest.fixture
def serve(tmp_path_factory):
    """Starts servers: `serve({"audio.source": "none"}, env=…, arguments=…)`."""

    def start(settings=None, **more):
        server = Server(tmp_path_factory.mktemp("server"), settings or {}, **more)
        start.servers.append(server)
        return server.start()

    start.servers = []
    yield start
    for server in start.servers:
        end(server)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server that the tests of a file share; it has no sound of its own."""
    server = Server(tmp_path_factory.mktemp("server")).start()
    yield server
    end(server)


@pytest.fixture
def quiet(server):
    """The shared server, with nothing left to say."""
    server.interrupt()
    return server


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    voice = tmp_path_factory.mktemp("microphone") / "voice.wav"
    voice.write_bytes(sounds.speech(10))
    driver, chromium = browser.launch(voice)
    yield chromium
    chromium.close()
    driver.stop()


@pytest.fixture
def open_page(chromium):
    """Opens tabs: `open_page(url, width=375, height=812)`; none may have thrown an error."""
    pages = []

    def open_one(url, **more):
        pages.append(browser.Page(chromium, url, **more))
        return pages[-1]

    yield open_one
    errors = [error for page in pages for error in page.errors]
    for page in pages:
        page.close()
    assert not errors, errors


@pytest.fixture
def microphone(tmp_path):
    pulse = Pulse(tmp_path).start()
    yield pulse
    pulse.unplug()


@pytest.fixture
def display():
    display = Display()
    yield display
    display.close()


@pytest.fixture
def assets(tmp_path):
    """A copy of the assets, to be broken."""
    return pathlib.Path(shutil.copytree(ASSETS, tmp_path / "assets"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Assets without a single avatar."""
    folder = tmp_path_factory.mktemp("import") / "assets"
    (folder / "avatars").mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    return tmp_path_factory.mktemp("material")
