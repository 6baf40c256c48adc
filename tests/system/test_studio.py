"""The recipe that made the avatars and the model, end to end and tiny: a few crops, seconds of speech, steps of training.

It needs the recipe's own environment (`.studio`, see assets/studio/README.md) and the head's data, which the product
doesn't: without them it is skipped, by name.
"""

import os
import pathlib
import subprocess

import pytest

from server import PROGRAM, ROOT

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


@pytest.mark.timeout(1500)
def test_a_model_comes_out_of_a_few_crops_and_seconds_of_speech(step, tmp_path):
    data = step.data
    step("render-crops", "--data", data, "--identities", "0-1", "--crops", "3", "--samples", "1")
    step("render-crops", "--data", data, "--identities", "24-25", "--crops", "2", "--samples", "1")
    step("speech", "--data", data, "--voice", "espeak", "--minutes", "0.5")
    step("speech", "--data", data, "--held-out", "--voice", "slt", "--minutes", "0.2")
    step("train-audio", "--data", data, "--minutes", "0.1", "--crops", "4")
    step("train-decoder", "--data", data, "--minutes", "1", "--steps", "3", "--batch", "4")

    models = tmp_path / "models"
    for name in ("mouthpiece-256-fp32", "mouthpiece-256"):
        (models / name).mkdir(parents=True)
        manifest = ROOT / "assets/models" / name / "model.toml"
        (models / name / "model.toml").write_text(manifest.read_text())
    step("export", "--data", data, "--out", models / "mouthpiece-256-fp32/model.onnx")
    step("quantise", models / "mouthpiece-256-fp32", models / "mouthpiece-256")

    table = step("evaluate", models / "mouthpiece-256", "--data", data, "--sheets", tmp_path / "sheets")
    for row in ("size", "slt (en)", "human clips", "decoder, unseen identities", "at rest in silence and noise"):
        assert row in table, table
    assert len(list((tmp_path / "sheets").glob("*.png"))) >= 1

    # The program takes what came out.
    for name in ("mouthpiece-256-fp32", "mouthpiece-256"):
        run = subprocess.run([PROGRAM, "model", "check", models / name], capture_output=True, text=True, timeout=60)
        assert run.returncode == 0 and "ms a frame" in run.stdout, run.stderr


def test_a_step_that_ran_is_not_run_again(step):
    data = step.data
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*") if path.is_file() and "train" not in path.name}
    step("fetch", "--data", data)
    step("render-crops", "--data", data, "--identities", "0-1", "--crops", "3", "--samples", "1")
    step("speech", "--data", data, "--voice", "espeak", "--minutes", "0.5")
    assert before == {path: path.stat().st_mtime_ns for path in before}
