"""Named clips of the avatar, over its idle one: when they begin, how they end, with lips that speak."""

import pathlib
import time

import mouth
import sounds
from player import Viewer
from server import eventually
from speaker import events
from test_text import of

#: Bytes of a decoded picture of the bundled avatars.
PICTURE = 576 * 720 * 3 // 2


def act(server, **fields):
    return server.ask("POST", "/v1/sessions/live/action", **fields)


def clips(server):
    """Bytes of the avatar's clips, compressed and decoded."""
    return server.get("/v1/memory").json["owners"]["clips"]


def decoders(server):
    """Threads that decode clips."""
    tasks = pathlib.Path(f"/proc/{server.process.pid}/task").glob("*/comm")
    return [task.read_text().strip() for task in tasks].count("clip")


def told(events):
    return [(e["clip"], e["state"], e.get("interrupted")) for e in of(events, "action")]


def test_an_action_is_seen_with_lips_that_speak_and_gives_way_to_the_idle_clip(quiet):
    with Viewer(quiet.url) as viewer, events(quiet) as heard:
        viewer.wait_for_picture()
        answer = act(quiet, clip="nod")
        assert answer.status == 202, answer.body
        assert answer.json == {"clip": "nod", "when": "now", "loops": 1}
        eventually(lambda: told(heard) == [("nod", "started", None)])
        began = len(viewer.seen)
        quiet.speak(sounds.speech(4))
        eventually(lambda: len(told(heard)) == 2, 15)
        ended = len(viewer.seen)
        assert told(heard)[1] == ("nod", "finished", False)
        quiet.interrupt()
        time.sleep(1)
        nodding = [seen.picture for seen in viewer.seen[began + 15 : ended - 12]]
        idling = [seen.picture for seen in viewer.seen[ended + 15 :]]
    assert len(nodding) > 10 and len(idling) > 5

    def nearer(picture):
        """The clip that the upper face is of."""
        return min(("idle", "nod"), key=lambda clip: mouth.distances(picture, clip).min())

    shown = [nearer(picture) for picture in nodding]
    # It holds the head up in between, as the idle clip does.
    assert shown.count("nod") > 0.5 * len(shown), shown
    assert [nearer(picture) for picture in idling].count("idle") > 0.7 * len(idling)
    assert max(mouth.change(picture, "nod") for picture in nodding) > 4, "the lips are still on"


def test_an_action_waits_for_a_pause_another_takes_its_place_and_idle_ends_it(quiet):
    count, before = decoders(quiet), clips(quiet)
    with events(quiet) as heard:
        quiet.speak(sounds.speech(4))
        eventually(lambda: of(heard, "speech_started"))
        eventually(lambda: quiet.session()["state"] == "talking")
        assert act(quiet, clip="smile", when="next_pause", loops=1000).json["when"] == "next_pause"
        assert act(quiet, clip="nod", when="next_pause", loops=1000).status == 202
        time.sleep(0.5)
        assert told(heard) == [("smile", "dropped", None)], "somebody talks"
        quiet.interrupt()
        eventually(lambda: told(heard)[1:] == [("nod", "started", None)])
        assert clips(quiet) >= before + 9 * PICTURE, "its pictures are the clips'"
        assert act(quiet, clip="smile", loops=2).status == 202
        eventually(lambda: told(heard)[2:] == [("smile", "started", None), ("nod", "finished", True)])
        assert act(quiet, clip="idle").status == 202
        eventually(lambda: told(heard)[4:] == [("smile", "finished", True)])
    eventually(lambda: (decoders(quiet), clips(quiet)) == (count, before))


def test_another_avatar_ends_the_action_of_the_one_before(serve):
    server = serve()
    with events(server) as heard:
        assert act(server, clip="nod", loops=1000).status == 202
        eventually(lambda: told(heard))
        assert server.ask("PATCH", "/v1/sessions/live", avatar="leo").status == 200
        assert told(heard) == [("nod", "started", None), ("nod", "finished", True)]
        refused = act(server, clip="smile")
        assert refused.status == 404 and "idle, look-aside, nod" in refused.problem["detail"]
        assert act(server, clip="look-aside").status == 202
        eventually(lambda: told(heard)[2:] == [("look-aside", "started", None), ("look-aside", "finished", False)], 10)


def test_what_no_avatar_can_do_is_refused(quiet):
    for fields, status, word in [
        ({"clip": "fly"}, 404, "idle, nod, smile"),
        ({"clip": "../nod"}, 404, "idle, nod, smile"),
        ({"clip": "nod", "loops": 0}, 422, "loops is 0"),
        ({"clip": "nod", "loops": 1001}, 422, "loops is 1001"),
        ({"clip": "nod", "loops": -1}, 422, "loops"),
        ({"clip": "nod", "when": "later"}, 422, "next_pause"),
        ({"clip": "nod", "file": "/etc/passwd"}, 422, "file"),
        ({}, 422, "clip"),
    ]:
        answer = act(quiet, **fields)
        assert answer.status == status and word in answer.problem["detail"], (fields, answer.body)
    nobody = quiet.ask("POST", "/v1/sessions/nobody/action", clip="nod")
    assert nobody.status == 404
