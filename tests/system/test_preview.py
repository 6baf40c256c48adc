"""The window on the desk, under Xvfb."""

import numpy as np
import pytest

import sounds
from player import Viewer, rate
from server import eventually


def usual(display):
    """The screen as it mostly is over one loop of the clip, so that only what stands still counts."""
    return np.median(display.pictures(6), axis=0)


def differs(one, other):
    """Pixels that differ clearly."""
    return int((np.abs(one - other) > 40).sum())


def test_a_window_shows_the_face_and_h_hides_the_figures(display, serve):
    serve(env=display.env, arguments=["--preview"])
    display.wait_for_window()
    with_figures = usual(display)
    assert with_figures.std() > 20, "there is a picture in the window"
    display.press("h")
    without = usual(display)
    display.press("h")
    again = usual(display)
    assert differs(with_figures, without) > 100
    assert differs(with_figures, without) > 2 * differs(with_figures, again)


def test_i_interrupts(display, serve):
    server = serve(env=display.env, arguments=["--preview"])
    display.wait_for_window()
    server.speak(sounds.speech(15))
    eventually(lambda: server.session()["state"] == "talking")
    display.press("i")
    eventually(lambda: server.session()["queue_s"] == 0, within=2)
    eventually(lambda: server.session()["state"] == "idle", within=3)


def test_q_closes_the_window_and_the_stream_goes_on(display, serve):
    server = serve(env=display.env, arguments=["--preview"])
    display.wait_for_window()
    with Viewer(server.url) as viewer:
        viewer.wait_for_picture()
        display.press("q")
        eventually(lambda: not display.windows(), within=3)
        pictures, _ = viewer.watch(2)
        assert rate(pictures) > 23
    assert server.process.poll() is None


def test_the_window_alone_is_a_viewer_enough_to_draw_for(display, serve):
    serve(env=display.env, arguments=["--preview"])
    display.wait_for_window()
    first, *others = display.pictures(2)
    assert any((np.abs(first.astype(int) - other) > 10).sum() > 200 for other in others), "the face moves"


@pytest.mark.parametrize("display", ["", ":987"])
def test_without_a_display_there_is_one_sentence_and_the_stream(serve, display):
    server = serve(env={"DISPLAY": display, "WAYLAND_DISPLAY": ""}, arguments=["--preview"])
    with Viewer(server.url) as viewer:
        viewer.wait_for_picture()
        assert len(viewer.watch(1)[0]) > 20
    said = [line for line in server.log.splitlines() if "display" in line.lower() or "preview" in line.lower()]
    assert len(said) == 1, server.log


def test_a_display_that_dies_takes_the_window_and_not_the_stream(display, serve):
    server = serve(env=display.env, arguments=["--preview"])
    display.wait_for_window()
    with Viewer(server.url) as viewer:
        viewer.wait_for_picture()
        display.process.kill()
        viewer.watch(1)
        pictures, _ = viewer.watch(2)
    assert rate(pictures) > 23
    assert server.process.poll() is None
