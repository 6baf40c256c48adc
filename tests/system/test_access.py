"""Who may ask: tokens, pages of other sites, how much and how often."""

from urllib.parse import quote

import pytest

from conftest import end
from player import Refused, Viewer
from server import Server, refused

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
    for settings in ({"http.viewer_token": "hush"}, {"http.token": "hush", "http.viewer_token": "hush"}):
        code, said = refused("serve", *(part for k, v in settings.items() for part in ("--set", f"{k}={v}")))
        assert code == 1
        assert "http.viewer_token" in said and "hush" not in said
