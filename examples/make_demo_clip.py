"""Draws the demo clip: 12 s, 1280x720, 25 fps, H.264 with AAC sound, and no private person in it.

    python examples/make_demo_clip.py TARGET.mp4

Shot 1 (0 to 6 s), a studio: NASA's portrait of Eileen Collins, which scikit-image ships, talks, nods and drifts.
Shot 2 (from 6 s, after a hard cut), a street: the portrait, mirrored and in other colours, and a second person walk
past each other at different sizes; one leaves the picture for a while and comes back. The second person's face is
made by vidanon's own generator where its weights are installed, else the portrait is graded once more.
Everything else is drawn, and the voice is a pulse train through three formants. The same script gives the same
clip, pixel for pixel, on the same machine.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import math
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from demo_scenery import HEIGHT, WIDTH, street, studio
from numpy.typing import NDArray
from PIL import Image
from scipy.signal import lfilter
from skimage import data

RATE, SECONDS, CUT = 25, 12, 6.0
SOUND_RATE = 48_000
EYES = ((206, 104), (248, 104))
MOUTH = (226, 147)
"""where they are in the portrait, px"""

Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Person:
    """A cut-out portrait, ready to be placed."""

    rgb: Floats
    """[512, 512, 3] 0..1"""
    alpha: Floats
    """[512, 512] 1 = person"""


def cut_out(portrait: Picture) -> Floats:
    """[512, 512] the share of the person in each pixel: GrabCut between two rough hand-drawn outlines."""
    sure, maybe = np.zeros((2, 512, 512), np.uint8)
    cv2.ellipse(maybe, (227, 85), (82, 78), 0, 0, 360, 1, -1)
    body = [(105, 200), (125, 150), (175, 140), (280, 150), (310, 210), (345, 255), (372, 300), (372, 360), (300, 400)]
    cv2.fillPoly(maybe, [np.array([*body, (280, 512), (10, 512), (15, 380), (40, 270)])], 1)
    cv2.ellipse(sure, (225, 100), (46, 68), 0, 0, 360, 1, -1)
    cv2.ellipse(sure, (226, 60), (55, 30), 0, 0, 360, 1, -1)
    body = [(135, 200), (170, 180), (250, 190), (295, 235), (330, 280), (345, 340), (270, 400), (255, 512)]
    cv2.fillPoly(sure, [np.array([*body, (40, 512), (45, 380), (70, 280)])], 1)
    labels = np.full((512, 512), cv2.GC_BGD, np.uint8)
    labels[maybe == 1] = cv2.GC_PR_FGD
    labels[sure == 1] = cv2.GC_FGD
    cv2.setRNGSeed(0)  # GrabCut draws its colour clusters at random
    cv2.grabCut(portrait, labels, (0, 0, 512, 512), np.zeros((1, 65)), np.zeros((1, 65)), 6, cv2.GC_INIT_WITH_MASK)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8))
    person = np.asarray(parts == 1 + stats[1:, cv2.CC_STAT_AREA].argmax(), np.float32)
    closed = cv2.erode(cv2.morphologyEx(person, cv2.MORPH_CLOSE, np.ones((5, 5))), np.ones((3, 3)))
    return np.asarray(cv2.GaussianBlur(closed, (0, 0), 1.4), np.float32)


def graded(rgb: Floats, *, cloth: float, hair: float, gain: tuple[float, float, float], gamma: float) -> Floats:
    """Other colours: the cloth's hue turned by `cloth` degrees, the hair `hair` times as bright, all toned."""
    y, x = np.mgrid[0:512, 0:512].astype(np.float32)
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    body = np.clip((y - 192) / 12, 0, 1) * np.clip((hsv[..., 1] - 0.3) / 0.1, 0, 1)
    hsv[..., 0] = (hsv[..., 0] + cloth) % 360
    mixed = rgb + body[..., None] * (cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) - rgb)
    face = ((x - 226) / 48) ** 2 + ((y - 128) / 62) ** 2
    strands = np.clip((face - 0.9) / 0.3, 0, 1) * np.clip((175 - y) / 12, 0, 1)
    grey = mixed.mean(2, keepdims=True)
    mixed = mixed + strands[..., None] * (hair * (0.4 * mixed + 0.6 * grey) - mixed)
    return np.asarray(np.clip(mixed * np.asarray(gain), 0, 1) ** gamma, np.float32)


def invented(portrait: Picture) -> Picture | None:
    """The portrait with a face of vidanon's own generator, or None where its weights are not installed."""
    import vidanon
    from vidanon.errors import VidanonError

    with tempfile.TemporaryDirectory() as folder:
        source, target, key = (Path(folder) / name for name in ("portrait.png", "invented.png", "demo.key"))
        Image.fromarray(portrait).save(source)
        key.write_bytes(bytes(range(32)))  # a fixed key is a fixed face; nothing secret is hidden here
        key.chmod(0o600)
        try:
            # Only the face is wanted, not a collar that looks like one: hence the threshold.
            report = vidanon.anonymize(source, target, method="gan", key_file=key, device="cpu", threshold=0.8)
        except VidanonError as e:
            print(f"no invented face, the portrait is graded instead: {e}", file=sys.stderr)
            return None
        if not any(item.painted.get("gan") for item in report.files):
            return None
        with Image.open(target) as picture:
            return np.asarray(picture.convert("RGB"))


MOVING = (slice(85, 215), slice(170, 285))
"""the part of the portrait that speech and blinking move: rows, columns"""


@functools.cache
def _fields() -> tuple[Floats, Floats, Floats, Floats]:
    """(x, y, how far each pixel goes with the jaw, how far with the lids) of the moving part."""
    y, x = (grid[MOVING] for grid in np.mgrid[0:512, 0:512].astype(np.float32))
    # Below the lips everything moves down with the jaw, fading towards the collar and the ears.
    jaw = np.clip((y - MOUTH[1] + 1) / 4, 0, 1) * np.exp(-(((y - MOUTH[1] - 12) / 30) ** 4))
    jaw *= np.exp(-(((x - MOUTH[0]) / 34) ** 4))
    lids = sum(np.exp(-(((x - ex) / 15) ** 4) - ((y - ey - 1) / 6) ** 4) for ex, ey in EYES)
    return x, y, jaw.astype(np.float32), np.asarray(lids, np.float32)


def speaking(person: Person, *, mouth: float, blink: float) -> Person:
    """The person with an open mouth and closed lids, 0..1 each: the lower face and the lids are stretched."""
    x, y, jaw, lids = _fields()
    shift = 5 * mouth * jaw + 7 * blink * lids
    moved = np.clip(cv2.remap(person.rgb, x, y - shift, cv2.INTER_CUBIC), 0, 1)
    # Between parted lips there is shadow.
    inside = np.exp(-(((x - MOUTH[0]) / 13) ** 4) - ((y - MOUTH[1] - 1 - 2.2 * mouth) / (0.6 + 2.3 * mouth)) ** 4)
    share = (0.9 * min(1.0, 3 * mouth) * inside)[..., None]
    rgb = person.rgb.copy()
    rgb[MOVING] = moved + share * (np.array((0.24, 0.09, 0.08)) - moved)
    return Person(rgb, person.alpha)


def placed(canvas: Floats, person: Person, *, x: float, y: float, scale: float, roll: float) -> None:
    """Blends a person into the canvas: the face's centre, (226, 115), comes to (x, y), turned by `roll` degrees."""
    shift = np.array([[0, 0, x - 226], [0, 0, y - 115]])
    turn = np.asarray(cv2.getRotationMatrix2D((226, 115), roll, scale), np.float64) + shift
    corners = np.array([(0, 0, 1), (512, 0, 1), (0, 512, 1), (512, 512, 1)]) @ turn.T
    (x0, y0), (x1, y1) = np.clip(corners.min(0), 0, None).astype(int), corners.max(0).astype(int)
    window = canvas[y0 : max(y0, y1), x0 : max(x0, x1)]
    if window.size == 0:
        return
    turn[:, 2] -= (x0, y0)
    size = (window.shape[1], window.shape[0])
    alpha = cv2.warpAffine(person.alpha, turn, size, flags=cv2.INTER_LINEAR)[..., None]
    window *= 1 - alpha
    window += cv2.warpAffine(person.rgb * person.alpha[..., None], turn, size, flags=cv2.INTER_CUBIC)


def eased(t: float, *knots: tuple[float, float]) -> float:
    """A value moving smoothly through (time, value) knots."""
    for (t0, v0), (t1, v1) in itertools.pairwise(knots):
        if t <= t1:
            u = min(1.0, max(0.0, (t - t0) / (t1 - t0)))
            return v0 + (v1 - v0) * u * u * (3 - 2 * u)
    return knots[-1][1]


def blink_at(t: float, period: float, phase: float) -> float:
    """0..1, how far the lids are closed: a fifth of a second in every period."""
    since = (t + phase) % period
    return math.sin(math.pi * since / 0.2) if since < 0.2 else 0.0


def pictures(voice: Floats) -> Iterator[Picture]:
    """All frames, in order. Args: `voice`, [frames] how loud the voice is, which opens the mouths."""
    random = np.random.default_rng(7)
    portrait: Picture = data.astronaut()  # type: ignore[no-untyped-call]
    alpha = cut_out(portrait)
    collins = Person(np.asarray(portrait / 255, np.float32), alpha)
    other = invented(portrait)
    base = collins.rgb if other is None else np.asarray(other / 255, np.float32)
    second = Person(graded(base, cloth=195, hair=0.45, gain=(0.95, 0.96, 1.04), gamma=1.05), alpha)
    third = Person(graded(collins.rgb, cloth=110, hair=0.75, gain=(1.02, 0.94, 0.86), gamma=1.35), alpha)
    wall, desk = studio(random)
    houses, front = street(random)
    noise = random.normal(0, 0.008, (HEIGHT, WIDTH, 1)).astype(np.float32)  # a camera's
    for index in range(SECONDS * RATE):
        t = index / RATE
        loud = float(voice[index])
        if t < CUT:
            canvas = wall.copy()
            lean = eased(t, (0, 0), (1.6, 60), (3.2, -70), (4.6, 25), (6, 0))
            nod = 7 * math.sin(2 * math.pi * t / 1.9)
            scale = eased(t, (0, 1.85), (2.5, 2.1), (4.5, 2.25), (6, 1.95))
            roll = 3.5 * math.sin(2 * math.pi * t / 3.1) - lean / 25
            person = speaking(collins, mouth=loud, blink=blink_at(t, 2.3, 1.5))
            placed(canvas, person, x=640 + lean, y=285 + nod, scale=scale, roll=roll)
            cover = desk
        else:
            s = t - CUT
            pan = 80 + 30 * math.sin(2 * math.pi * s / 7) + 2.5 * math.sin(2 * math.pi * s / 0.9)
            canvas = houses[:, int(pan) : int(pan) + WIDTH].copy()
            # The second person walks to the left, leaves the picture at about 10 s and is back a second later.
            x = eased(s, (0, 1010), (2.6, 560), (4.0, -150), (4.6, -150), (6, 330))
            bob = 6 * abs(math.sin(2 * math.pi * s / 1.1))
            behind = speaking(second, mouth=0.15, blink=blink_at(t, 2.9, 0.4))
            placed(canvas, behind, x=x, y=365 - bob, scale=1.0, roll=1.5 * math.sin(2 * math.pi * s / 1.1))
            person = speaking(third, mouth=loud, blink=blink_at(t, 2.6, 0.9))
            person = Person(person.rgb[:, ::-1], person.alpha[:, ::-1])
            x = eased(s, (0, 250), (3.4, 830), (6, 980))
            step = 9 * abs(math.sin(2 * math.pi * s / 1.25))
            placed(canvas, person, x=x, y=300 - step, scale=eased(s, (0, 1.35), (6, 1.6)), roll=-2 + 0.4 * step)
            cover = front
        np.copyto(canvas, cover[..., :3], where=cover[..., 3:] > 0)
        canvas += np.roll(noise, tuple(random.integers(0, 500, 2)), (0, 1))
        yield cv2.convertScaleAbs(canvas, alpha=255).astype(np.uint8, copy=False)


def speech(random: np.random.Generator) -> tuple[Floats, Floats]:
    """(samples [n] -1..1, loudness [frames] 0..1): syllables of a pulse train through three gliding formants."""
    n = SECONDS * SOUND_RATE
    t = np.arange(n) / SOUND_RATE
    loud = np.zeros(n)
    vowels = np.array([(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410)])
    formants = np.empty((n, 3))
    start, vowel = 0.15, vowels[0]
    formants[:] = vowel
    while start < SECONDS - 0.4:
        if not CUT - 0.35 < start < CUT + 0.1:  # a breath at the cut
            length = random.uniform(0.13, 0.26)
            span = (t >= start) & (t < start + length)
            loud[span] = np.sin(np.pi * (t[span] - start) / length) ** 0.7 * random.uniform(0.65, 1)
            vowel = vowels[random.integers(len(vowels))]
            formants[t >= start] = vowel
        start += random.uniform(0.2, 0.3) if random.random() > 0.14 else random.uniform(0.45, 0.7)
    glide = np.ones(1200) / 1200
    pitch = 185 + 22 * np.sin(2 * np.pi * 0.43 * t) + 10 * np.sin(2 * np.pi * 1.7 * t)
    phase = np.cumsum(pitch) / SOUND_RATE
    source = (np.diff(np.floor(phase), prepend=0) > 0).astype(float) + random.normal(0, 0.01, n)
    sound = np.zeros(n)
    block = SOUND_RATE // 100
    for number in range(3):
        track = np.convolve(formants[:, number], glide, mode="same")
        state = np.zeros(2)
        for begin in range(0, n, block):  # a resonator whose centre moves a hundred times a second
            width, centre = 60 + 40 * number, max(track[begin], 200)
            radius = math.exp(-math.pi * width / SOUND_RATE)
            poles = [1, -2 * radius * math.cos(2 * math.pi * centre / SOUND_RATE), radius**2]
            piece, state = lfilter([1 - radius], poles, source[begin : begin + block], zi=state)
            sound[begin : begin + block] += piece / (number + 1)
    sound *= np.convolve(loud, glide, mode="same")
    samples = 0.4 * sound / np.abs(sound).max()
    frames = loud[: n // (SOUND_RATE // RATE) * (SOUND_RATE // RATE)].reshape(SECONDS * RATE, -1).mean(1)
    return samples.astype(np.float32), frames.astype(np.float32)


def write(target: Path) -> None:
    """Draws and encodes the clip; it appears under its name only when it is whole."""
    part = target.with_name(target.name + ".part")
    try:
        encode(part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    print(f"{target}: {SECONDS} s, {WIDTH}x{HEIGHT}, {RATE} fps, AAC")


def encode(path: Path) -> None:
    """Draws everything into an MP4 at `path`."""
    samples, loudness = speech(np.random.default_rng(11))
    with av.open(str(path), "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "19", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.color_range, video.codec_context.colorspace = 1, 1  # limited, BT.709
        video.codec_context.color_primaries = video.codec_context.color_trc = 1
        audio = container.add_stream("aac", rate=SOUND_RATE, layout="mono", bit_rate=128_000)
        sound = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = SOUND_RATE, 0, Fraction(1, SOUND_RATE)
        container.mux(audio.encode(sound))
        for index, picture in enumerate(pictures(loudness)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=1, dst_color_range=1)
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(video.encode(frame))
            if sys.stderr.isatty():
                print(f"\rdrawing frame {index + 1}/{SECONDS * RATE}", end="", file=sys.stderr, flush=True)
        for stream in (video, audio):
            container.mux(stream.encode(None))
    if sys.stderr.isatty():
        print(file=sys.stderr)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Draws the demo clip.")
    parser.add_argument("target", type=Path, help="the .mp4 to write")
    target = parser.parse_args().target
    target.parent.mkdir(parents=True, exist_ok=True)
    write(target)


if __name__ == "__main__":
    main()
