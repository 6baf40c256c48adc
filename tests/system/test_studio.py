"""The recipe that made the avatars and the model, end to end and tiny: a few crops, seconds of speech, steps of training.

It needs the recipe's own environment (`.studio`, see assets/studio/README.md) and the head's data, which the product
doesn't: without them it is skipped, by name.
"""

import os
import pathlib
import subprocess

import pytest

from server import ROOT

STUDIO = ROOT / "assets/studio"
PYTHON = pathlib.Path(os.environ.get("STUDIO_PYTHON", ROOT / ".studio/bin/python"))
# A copy of the head's data, or where it was fetched to.
HEADS = [ROOT / "studio-data/head", ROOT.parent / "shared/data/head/pack.tar.xz"]


@pytest.fixture(scope="module")
def step(tmp_path_factory):
    """Runs one command of the recipe on a data folder that all tests here share."""
    if not PYTHON.exists():
        pytest.skip(f"the studio's requirements are not installed: {PYTHON} is missing (see assets/studio/README.md)")
    copy = next((str(path) for path in HEADS if path.exists()), None)
    if copy is None:
        pytest.skip("the head's data is not here: assets/studio/fetch brings it")
    data = tmp_path_factory.mktemp("studio")

    def step(name, *arguments):
        command = [PYTHON, STUDIO / name, *arguments]
        run = subprocess.run(
            [str(part) for part in command], cwd=data, capture_output=True, text=True, timeout=280, stdin=subprocess.DEVNULL
        )
        assert run.returncode == 0, f"{name}: {run.stderr[-2000:]}"
        return run.stdout

    step.data = data
    step("fetch", "--data", data, "--from", copy)
    return step
