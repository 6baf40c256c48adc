"""The window on the desk, under Xvfb."""

import os
import pathlib
import signal
import time

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


def children(pid):
    """Processes that `pid` has started and that have not ended."""
    tasks = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def alive(pid):
    """Whether a process runs; one that nobody has waited for has ended all the same."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def private_mb(pid):
    """Memory that is the process's own, without its files."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no RssAnon")


def said(server):
    """What the server has logged about the window."""
    lines = [line for line in server.log.splitlines() if "window" in line or "display" in line.lower()]
    return [line.partition(" WARN ")[2] or line.partition(" INFO ")[2] or line for line in lines]


def assert_quiet(server):
    """Nothing in the log but what the server itself has logged, and its greeting."""
    strange = [line for line in server.log.splitlines() if not (" INFO " in line or " WARN " in line)]
    assert len(strange) == 1 and strange[0].startswith("Mouthpiece streams"), strange


def streams(server):
    """Whether a viewer gets every picture."""
    with Viewer(server.url) as viewer:
        viewer.wait_for_picture()
        return rate(viewer.watch(2)[0]) > 23


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
    assert said(server) == ["the window is closed, the stream goes on"]
    assert not children(server.process.pid)


def test_the_window_alone_is_a_viewer_enough_to_draw_for(display, serve):
    serve(env=display.env, arguments=["--preview"])
    display.wait_for_window()
    first, *others = display.pictures(2)
    assert any((np.abs(first.astype(int) - other) > 10).sum() > 200 for other in others), "the face moves"


def test_its_cross_closes_the_window_and_the_stream_goes_on(display, serve):
    server = serve(env=display.env, arguments=["--preview"])
    display.wait_for_window()
    display.close_window()
    eventually(lambda: said(server) == ["the window is closed, the stream goes on"], within=3)
    eventually(lambda: not children(server.process.pid))
    assert streams(server)


@pytest.mark.parametrize("display", ["", ":987"])
def test_without_a_display_there_is_one_sentence_and_the_stream(serve, display):
    server = serve(env={"DISPLAY": display, "WAYLAND_DISPLAY": ""}, arguments=["--preview"])
    assert streams(server)
    eventually(lambda: said(server))
    (sentence,) = said(server)
    assert f"display {display} " in sentence or "DISPLAY and WAYLAND_DISPLAY are empty" in sentence
    assert "the stream goes on without" in sentence
    assert not children(server.process.pid)
    assert_quiet(server)


def test_a_display_that_dies_takes_the_window_and_not_the_stream(display, serve):
    server = serve(env=display.env, arguments=["--preview"])
    display.wait_for_window()
    time.sleep(0.5)
    with Viewer(server.url) as viewer:
        viewer.wait_for_picture()
        display.process.kill()
        pictures, _ = viewer.watch(3)
        assert rate(pictures) > 23
    (sentence,) = said(server)
    assert sentence.startswith("the preview window is gone (") and "start again" in sentence
    assert not children(server.process.pid)
    assert_quiet(server)


def test_a_display_that_hangs_holds_up_neither_the_stream_nor_the_end(display, serve):
    server = serve(env=display.env, arguments=["--preview"])
    display.wait_for_window()
    (window,) = children(server.process.pid)
    display.process.send_signal(signal.SIGSTOP)
    try:
        assert streams(server)
        assert server.stop() < 2
        eventually(lambda: not alive(window), within=4)
    finally:
        display.process.send_signal(signal.SIGCONT)


def test_the_window_ends_with_the_server(display, serve):
    server = serve(env=display.env, arguments=["--preview"])
    display.wait_for_window()
    (window,) = children(server.process.pid)
    assert server.stop() < 2
    assert server.exit_code == 0
    eventually(lambda: not alive(window), within=2)
    assert said(server) == []
    assert_quiet(server)


@pytest.mark.parametrize("hangs", [False, True])
def test_the_window_ends_with_a_server_that_is_killed(display, serve, hangs):
    server = serve(env=display.env, arguments=["--preview"])
    display.wait_for_window()
    (window,) = children(server.process.pid)
    if hangs:
        display.process.send_signal(signal.SIGSTOP)
        time.sleep(1)
    try:
        server.process.kill()
        server.process.wait()
        server.process = None
        eventually(lambda: not alive(window), within=4)
    finally:
        display.process.send_signal(signal.SIGCONT)


def test_ctrl_c_in_the_terminal_ends_both_and_says_nothing_of_the_window(display, serve):
    server = serve(env=display.env, arguments=["--preview"], own_group=True)
    display.wait_for_window()
    (window,) = children(server.process.pid)
    os.killpg(server.process.pid, signal.SIGINT)
    assert server.process.wait(2) == 0
    server.process = None
    eventually(lambda: not alive(window), within=2)
    assert said(server) == []
    assert_quiet(server)


def test_the_window_costs_the_server_little_memory(display, serve):
    server = serve(env=display.env, arguments=["--preview"])
    display.wait_for_window()
    (window,) = children(server.process.pid)
    with_window = private_mb(server.process.pid)
    alone = serve(arguments=["--preview"], env={"DISPLAY": "", "WAYLAND_DISPLAY": ""})
    with Viewer(alone.url) as viewer:
        viewer.wait_for_picture()
        without = private_mb(alone.process.pid)
    assert with_window < without + 15
    assert private_mb(window) < 40
