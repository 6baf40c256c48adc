"""espeak-ng through its library, which tells the time of every phoneme.

One process has one espeak; `say` is not for several threads.
"""

import ctypes

import numpy as np

from recipe.labels import Segment, viseme_of_ipa

_SYNCHRONOUS = 2
_PHONEME_EVENTS, _PHONEMES_IN_IPA = 1, 2
_UTF8 = 1
_EVENT_LIST_END, _EVENT_END, _EVENT_TERMINATED, _EVENT_PHONEME = 0, 5, 6, 7
_RATE, _PITCH, _RANGE = 1, 3, 4

# espeak tells when a stop bursts; the lips or the tongue close before that.
_STOPS = "pbtdkgɡʈɖcɟq"
# The closure is as long as the hush before the burst, at most this long, in seconds.
_LONGEST_CLOSURE = 0.12
# After a pause nothing tells when the mouth closed: what the other engines write, in seconds.
_CLOSURE_AFTER_PAUSE = 0.06
# Under this part of the loudest sample it is hush.
_HUSH = 0.015


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


class Espeak:
    """The engine; opening it takes the library `libespeak-ng.so.1`."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libespeak-ng.so.1")
        self.rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS | _PHONEMES_IN_IPA)
        if self.rate <= 0:
            raise RuntimeError("espeak-ng does not start: is espeak-ng-data installed?")
        self._sound: list[np.ndarray] = []
        self._events: list[tuple[str, float]] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
        # The library keeps the pointer, so the callback must live as long as it does.
        self._callback = kind(self._hear)
        self._library.espeak_SetSynthCallback(self._callback)

    def _hear(self, samples, count: int, events) -> int:
        if count > 0:
            self._sound.append(np.ctypeslib.as_array(samples, (count,)).copy())
        for event in iter(_until_end(events)):
            if event.type == _EVENT_PHONEME:
                self._events.append((event.id.string.decode("utf8", "ignore"), event.audio_position / 1000))
            elif event.type in (_EVENT_END, _EVENT_TERMINATED):
                self._events.append(("_", event.audio_position / 1000))
        return 0

    def say(self, text: str, voice: str, speed: int, pitch: int, pitch_range: int) -> tuple[np.ndarray, list[Segment]]:
        """Sound in -1..1 at `rate` and the visemes' times."""
        self._sound, self._events = [], [("_", 0.0)]
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice}")
        for parameter, value in ((_RATE, speed), (_PITCH, pitch), (_RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        raw = text.encode()
        self._library.espeak_Synth(raw, len(raw) + 1, 0, 1, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        if not self._sound:
            return np.zeros(0, np.float32), []
        wave = np.concatenate(self._sound).astype(np.float32) / 32768
        return wave, _segments(self._events, wave, self.rate)


def _until_end(events):
    index = 0
    while events[index].type != _EVENT_LIST_END:
        yield events[index]
        index += 1


def _segments(events: list[tuple[str, float]], wave: np.ndarray, rate: int) -> list[Segment]:
    """espeak's events as visemes, each stop with the closure before its burst."""
    # A name in brackets is a change of language, not a sound.
    visemes = [viseme_of_ipa("" if "(" in phoneme else phoneme) or "ax" for phoneme, _ in events]
    bounds = [start for _, start in events] + [len(wave) / rate]
    hush = np.abs(wave) < _HUSH * np.abs(wave).max()
    for index in range(1, len(events)):
        if not events[index][0].startswith(tuple(_STOPS)):
            continue
        burst, before = bounds[index], bounds[index - 1]
        if visemes[index - 1] == "sil":
            bounds[index] = max(before, burst - _CLOSURE_AFTER_PAUSE)
            continue
        first = max(int((burst - _LONGEST_CLOSURE) * rate), int((before + 0.3 * (burst - before)) * rate))
        last_sound = np.flatnonzero(~hush[first : int(burst * rate)])
        if len(last_sound):
            bounds[index] = min(burst, (first + last_sound[-1] + 1) / rate)
    return [(viseme, a, b) for viseme, a, b in zip(visemes, bounds[:-1], bounds[1:]) if b > a]
