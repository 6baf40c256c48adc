"""An avatar's bundle from its rendered key: pictures developed, clips drawn and encoded, faces tracked."""

import json
import subprocess
from pathlib import Path

import bpy
import cv2
import numpy as np
import OpenEXR

from recipe import backdrop, motion
from recipe.face import Face
from recipe.mesh import HeadData
from recipe.portrait import HEIGHT, WIDTH

FPS = motion.FPS
# No difference is seen beside the frames themselves, and little where a loop jumps from its last frame to its first
# one: small changes are coded, not collected until the next key frame.
QUALITY = ["-preset", "slow", "-crf", "14", "-x264-params",
           "no-mbtree=1:ipratio=1.0:qcomp=0.9:aq-mode=3:no-psy=1:no-dct-decimate=1:deadzone-inter=6:deadzone-intra=6"]


def read_exr(path: Path) -> np.ndarray:
    """Linear premultiplied RGBA [h,w,4]."""
    with OpenEXR.File(str(path)) as file:
        return file.channels()["RGBA"].pixels.astype(np.float32)


def develop(linear: np.ndarray, look: dict, work: Path) -> np.ndarray:
    """A linear RGB picture [h,w,3] as the camera shows it: BGR, 0..1."""
    scene = bpy.context.scene
    scene.view_settings.view_transform, scene.view_settings.look = "AgX", look["tone"]
    scene.view_settings.exposure = look["exposure"]
    settings = scene.render.image_settings
    settings.file_format, settings.color_mode, settings.color_depth = "PNG", "RGB", "16"
    height, width = linear.shape[:2]
    image = bpy.data.images.new("linear", width, height, alpha=True, float_buffer=True)
    pixels = np.dstack([linear, np.ones((height, width), np.float32)])[::-1]
    image.pixels.foreach_set(np.ascontiguousarray(pixels, np.float32).ravel())
    path = work / "developed.png"
    image.save_render(str(path), scene=scene)
    bpy.data.images.remove(image)
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.float32) / 65535
    path.unlink()
    return picture


def animator(head: HeadData, look: dict, folder: Path) -> motion.Animator:
    """What draws the clips of the avatar whose key lies in `folder`."""
    maps = motion.load_maps(folder / "maps.npz")
    key = read_exr(folder / "key.exr")
    height, width = key.shape[:2]
    room = backdrop.room(look["backdrop"], width, height, look["seed"])[..., ::-1]
    left, top, right, bottom = maps["border"]

    def before_room(rgba: np.ndarray, behind: np.ndarray) -> np.ndarray:
        return develop(rgba[..., :3] + (1 - rgba[..., 3:]) * behind, look, folder)

    pictures = {"backdrop": develop(room.copy(), look, folder), "key": before_room(key, room)}
    for path in sorted(folder.glob("*-*.exr")):
        pictures[path.stem] = before_room(read_exr(path), room[top:bottom, left:right])
    return motion.Animator(Face(head, look["shape"]), maps, pictures, np.clip(key[..., 3], 0, 1), (WIDTH, HEIGHT))


def encode(path: Path) -> subprocess.Popen:
    """ffmpeg, waiting for BGR frames: H.264 that the player decodes cheaply (no CABAC, no B frames)."""
    command = ["ffmpeg", "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{WIDTH}x{HEIGHT}",
               "-r", str(FPS), "-i", "-", "-an", "-vf", "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd,"
               "format=yuv420p", "-c:v", "libx264", "-profile:v", "baseline", *QUALITY, "-g", "100",
               "-sc_threshold", "0", "-bf", "0", "-threads", "1", "-colorspace", "bt709", "-color_primaries", "bt709",
               "-color_trc", "bt709", "-color_range", "tv", "-movflags", "+faststart", str(path)]
    return subprocess.Popen(command, stdin=subprocess.PIPE)


def write_clip(draw: motion.Animator, moments: list[motion.Moment], name: str, folder: Path,
               progress=lambda x, **_: x) -> None:
    """Writes NAME.mp4 and NAME.faces.json."""
    encoder, faces = encode(folder / f"{name}.mp4"), []
    for picture, (eyes, mouth) in progress(motion.frames(draw, moments), total=len(moments), desc=name):
        encoder.stdin.write(picture.tobytes())
        faces.append(f'{{"eyes": {json.dumps(np.round(eyes, 2).tolist())}, '
                     f'"mouth": {json.dumps(np.round(mouth, 2).tolist())}}}')
    encoder.stdin.close()
    if encoder.wait():
        raise RuntimeError(f"ffmpeg could not write {folder / name}.mp4")
    (folder / f"{name}.faces.json").write_text("[\n" + ",\n".join(faces) + "\n]\n")


def write_poster(folder: Path) -> None:
    """Writes poster.jpg: the first picture, in the colours that JPEG has."""
    subprocess.run(["ffmpeg", "-y", "-loglevel", "error", "-i", str(folder / "idle.mp4"), "-frames:v", "1", "-vf",
                    "scale=in_color_matrix=bt709:out_color_matrix=bt601:out_range=full", "-q:v", "4",
                    str(folder / "poster.jpg")], check=True)


def write_manifest(look: dict, clips: list[str], folder: Path) -> None:
    """Writes avatar.toml."""
    lines = [f'name = "{look["name"]}"', f"width = {WIDTH}", f"height = {HEIGHT}", f"fps = {FPS}",
             'credits = "Rendered for Mouthpiece from CC0 data of MakeHuman and MPFB2. CC0-1.0."']
    for clip in clips:
        lines += ["", f"[clips.{clip}]", f'video = "{clip}.mp4"', f'faces = "{clip}.faces.json"', 'colour = "bt709"']
    (folder / "avatar.toml").write_text("\n".join(lines) + "\n")


def write_bundle(head: HeadData, look: dict, stills: Path, folder: Path, progress=lambda x, **_: x) -> None:
    """Draws and encodes all clips of a look and writes its bundle."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = animator(head, look, stills)
    write_clip(draw, motion.idle(look["motion"]), "idle", folder, progress)
    for name in look["actions"]:
        write_clip(draw, motion.action(name, look["motion"]), name, folder, progress)
    write_poster(folder)
    write_manifest(look, ["idle", *look["actions"]], folder)

