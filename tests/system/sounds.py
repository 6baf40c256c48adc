"""Sound files to speak: good ones, cut from the welcome speech, and bad ones."""

import io
import pathlib
import subprocess
import tempfile
import wave

import av
import numpy as np

from server import ASSETS


def welcome(rate=48_000):
    """The welcome speech as mono floats."""
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=rate)
    with av.open(str(ASSETS / "speech/welcome.flac")) as file:
        parts = [f.to_ndarray()[0] for frame in file.decode(audio=0) for f in resampler.resample(frame)]
        parts += [f.to_ndarray()[0] for f in resampler.resample(None)]
    return np.concatenate(parts)


def wav(samples, rate=48_000, channels=1):
    """Floats as a 16-bit WAV file; more channels repeat the first."""
    pcm = (np.clip(samples, -1, 1) * 32_767).astype("<i2")
    pcm = np.repeat(pcm[:, None], channels, axis=1)
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(pcm.tobytes())
    return file.getvalue()


def speech(seconds, rate=48_000, channels=1):
    """That many seconds of speech, from its first word on, as a WAV file."""
    samples = welcome(rate)
    # The rest at the end of the loop is no speech.
    spoken = samples[: int((len(samples) / rate - 1.5) * rate)]
    return wav(np.resize(spoken, int(seconds * rate)), rate, channels)


def silence(seconds, rate=48_000):
    return wav(np.zeros(int(seconds * rate)), rate)


def coded(seconds, ending, *options):
    """Speech in another format, by ffmpeg: coded(3, "mp3"), coded(3, "m4a")."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, f"speech.{ending}")
        command = ["ffmpeg", "-v", "error", "-f", "wav", "-i", "-", *options, str(path)]
        subprocess.run(command, input=speech(seconds), check=True)
        return path.read_bytes()
