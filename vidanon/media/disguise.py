"""A voice that is not the speaker's: pitch and formants moved by amounts that wander, derived from a secret.

In: sound as float32 [channels, samples], in pieces of any length. Out: as many samples, at the same times. The
spectrum of every 60 ms is cut at its peaks and each piece moved by whole bins, its phase turned on by what that move
is worth over one hop (Laroche and Dolson, 1999, "New phase-vocoder techniques for pitch-shifting"); the formants,
read off by linear prediction, are then put where the vocal tract of somebody else would have them. Window and hop of
analysis and synthesis are the same, so that time does not move by a sample.

What it is for: that who knows the speaker only by ear does not recognize the voice, and that no single opposite shift
brings it back. What it cannot do: the words, the accent, the rhythm and the melody of speech stay, and who has other
recordings of few possible speakers, or a machine trained on disguised voices, may still tell which of them it is. Where
that would be fatal, the sound must be muted or spoken anew.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_toeplitz

Samples = NDArray[np.float32]
Spectrum = NDArray[np.complex128]
Reals = NDArray[np.float64]

KNOT_SECONDS = 2.5
"""time between two values of the wandering shift, which is smooth in between"""
PITCH_SEMITONES = (3.5, 5.0)
"""least and greatest mean shift of the pitch, up or down"""
PITCH_WANDER = 1.2
"""semitones to either side of the mean"""
FORMANT_PARTS = (0.12, 0.18)
"""least and greatest mean shift of the formants, in parts of their frequency, in the pitch's direction"""
FORMANT_WANDER = 0.035
BEND_WANDER = 0.04
"""how much farther than the mean the low formants are moved, and the high ones less, or the other way round"""

_HOPS = 4
_HOP_SECONDS = 0.003
"""a fifth of a hop: the hop has a factor of five at every usual rate, which keeps the transforms quick"""
_NARROWEST_HERTZ = 40.0
_LARGEST_ORDER = 50
_BEND_HERTZ = 2000.0
_LARGEST_GAIN = 2.5
"""nepers, 22 dB, a formant may be raised or lowered by"""
_ONSET = 6.0
"""power of a hop over the mean of those before it, from which on a sound begins there"""
_SILENCE = 1e-7


class Wander:
    """The shift over time: what a `secret` makes of it, the same for every stream of a file."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        pitch, formants, direction = self._draw("mean", 0)
        sign = 1 if direction > 0 else -1
        self._pitch = sign * _between(PITCH_SEMITONES, pitch)
        self._formants = sign * _between(FORMANT_PARTS, formants)
        self._knots: dict[int, Reals] = {}

    def at(self, seconds: float) -> tuple[float, float, float]:
        """Ratio of the pitch, ratio of the formants, and the bend of the latter (0 = none), at a time."""
        number, rest = divmod(seconds / KNOT_SECONDS, 1)
        first, second = self._knot(int(number)), self._knot(int(number) + 1)
        pitch, formants, bend = first + (second - first) * (0.5 - 0.5 * math.cos(math.pi * rest))
        return (
            2 ** ((self._pitch + PITCH_WANDER * pitch) / 12),
            1 + self._formants + FORMANT_WANDER * formants,
            BEND_WANDER * bend,
        )

    def _knot(self, number: int) -> Reals:
        if number not in self._knots:
            if len(self._knots) > 16:
                self._knots.clear()
            self._knots[number] = self._draw("knot", number)
        return self._knots[number]

    def _draw(self, purpose: str, number: int) -> Reals:
        """Three numbers, each anywhere from -1 to 1."""
        digest = hashlib.blake2b(f"{purpose} {number}".encode(), key=self._secret, digest_size=24).digest()
        return np.frombuffer(digest, "<u8") / 2.0**63 - 1


class Disguise:
    """Changes one stream; `start_seconds` is when its first sample is heard."""

    def __init__(self, *, rate: int, channels: int, wander: Wander, start_seconds: float = 0.0) -> None:
        self._wander = wander
        self._rate = rate
        self._hop = 5 * max(1, round(rate * _HOP_SECONDS))
        self._size = _HOPS * self._hop
        self._centre = start_seconds + (self._size / 2 - (self._size - self._hop)) / rate
        # Hann twice, four times over each sample: the sum is 1.5 everywhere.
        self._window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self._size) / self._size)
        self._frequency = np.arange(self._size // 2 + 1) * rate / self._size
        # Weights that differ, so that channels of opposite polarity do not cancel in what the peaks are read off.
        self._weights = (0.9 ** np.arange(channels))[:, None]
        self._lead = self._size - self._hop
        self._in = np.zeros((channels, self._lead))
        self._out = np.zeros((channels, self._size))
        self._before: Spectrum | None = None
        self._turn = np.zeros(len(self._frequency))
        self._taken = 0
        self._given = 0
        self._skip = self._lead

    def feed(self, samples: Samples) -> Samples:
        """Takes [channels, n] samples; gives those that are ready, [channels, m]. They come about 45 ms later."""
        self._taken += samples.shape[1]
        return self._run(samples.astype(np.float64))

    def flush(self) -> Samples:
        """The rest, so that as many samples have come out as went in. Nothing can be fed afterwards."""
        missing = self._taken - self._given
        rest = self._run(np.zeros((len(self._in), self._lead + self._hop)))
        return rest[:, :missing]

    def _run(self, samples: Reals) -> Samples:
        self._in = np.concatenate([self._in, samples], axis=1)
        pieces: list[Reals] = []
        begin = 0
        while begin + self._size <= self._in.shape[1]:
            self._out += self._frame(self._in[:, begin : begin + self._size])
            pieces.append(self._out[:, : self._hop] / 1.5)
            self._out = np.concatenate([self._out[:, self._hop :], np.zeros((len(self._out), self._hop))], axis=1)
            begin += self._hop
        self._in = self._in[:, begin:]
        ready = np.concatenate(pieces, axis=1) if pieces else np.zeros((len(self._in), 0))
        skipped = min(self._skip, ready.shape[1])
        self._skip -= skipped
        self._given += ready.shape[1] - skipped
        return ready[:, skipped:].astype(np.float32)

    def _frame(self, samples: Reals) -> Reals:
        """One window, changed, and windowed again."""
        pitch, formants, bend = self._wander.at(self._centre)
        self._centre += self._hop / self._rate
        # Rolled by half: phases are then those of the window's middle, where moving by a bin turns nothing.
        spectra = np.fft.rfft(np.fft.fftshift(samples * self._window, axes=1))
        reference = (self._weights * spectra).sum(axis=0)
        before, self._before = self._before, reference
        magnitude = np.abs(reference)
        if magnitude.max() < _SILENCE * self._size:
            return np.zeros_like(samples)
        peaks = _peaks(magnitude)
        region = np.searchsorted((peaks[1:] + peaks[:-1] + 1) // 2, np.arange(len(reference)), side="right")
        onset = self._onset(samples)
        step = self._steps(reference, before if onset is None else None, peaks)
        moved = np.rint((pitch - 1) * step * self._size / (2 * np.pi * self._hop)).astype(np.intp)
        # At an onset all pieces start together, or a plosive would be smeared over the window.
        turns = self._turn[peaks] + (pitch - 1) * step if onset is None else (1 - pitch) * step / self._hop * onset
        turns = np.mod(turns, 2 * np.pi)
        self._turn = turns[region]
        goal = np.arange(len(reference)) + moved[region]
        inside = (goal >= 0) & (goal < len(reference))
        source, goal = np.flatnonzero(inside), goal[inside]
        tract = _envelope(magnitude, self._rate)
        # The low formants go farther than the high ones, or less far: no resampling does that.
        ratio = formants + bend * (_BEND_HERTZ - self._frequency) / (_BEND_HERTZ + self._frequency)
        wanted = np.interp(self._frequency / ratio, self._frequency, tract)
        gain = np.exp(np.clip(wanted[goal] - tract[source], -_LARGEST_GAIN, _LARGEST_GAIN) + 1j * self._turn[source])
        changed = np.stack([_gathered(goal, spectrum[source] * gain, len(reference)) for spectrum in spectra])
        loudness = math.sqrt(_energy(spectra) / max(_energy(changed), 1e-30))
        changed *= min(4.0, max(0.25, loudness))
        return np.fft.ifftshift(np.fft.irfft(changed, self._size), axes=1) * self._window

    def _onset(self, samples: Reals) -> float | None:
        """When a sound begins within the window, in samples from its middle; None where none does."""
        power = (samples**2).sum(axis=0).reshape(_HOPS, self._hop)
        hops = power.sum(axis=1)
        for number in sorted(
            range(1, _HOPS), key=lambda k: -hops[k]
        ):  # the loudest: codecs let clicks announce themselves
            if hops[number] > _ONSET * hops[:number].mean():
                return float(number * self._hop + power[number].argmax() - self._size / 2)
        return None

    def _steps(self, reference: Spectrum, before: Spectrum | None, peaks: NDArray[np.intp]) -> Reals:
        """By how much the sinusoid at each peak turns in one hop, radians."""
        even = 2 * np.pi * peaks / _HOPS
        if before is None:
            return even
        turned = np.angle(reference[peaks] * np.conj(before[peaks])) - even
        # Half a turn either way is two bins, as far as a peak can be from its bin.
        return even + np.mod(turned + np.pi, 2 * np.pi) - np.pi


def _between(limits: tuple[float, float], draw: float) -> float:
    return limits[0] + (limits[1] - limits[0]) * (draw + 1) / 2


def _energy(spectra: Spectrum) -> float:
    return float(np.vdot(spectra, spectra).real)


def _gathered(goal: NDArray[np.intp], values: Spectrum, length: int) -> Spectrum:
    """The sum of the values that go to each bin."""
    return np.bincount(goal, values.real, length) + 1j * np.bincount(goal, values.imag, length)


def _peaks(magnitude: Reals) -> NDArray[np.intp]:
    """Bins that are above their two neighbours on either side; at least one."""
    padded = np.pad(magnitude, 2)
    high = magnitude >= padded[1:-3]
    high &= magnitude > padded[3:-1]
    high &= magnitude >= padded[:-4]
    high &= magnitude > padded[4:]
    found = np.flatnonzero(high)
    return found if len(found) else np.array([int(magnitude.argmax())])


def _envelope(magnitude: Reals, rate: int) -> Reals:
    """Logarithm of the vocal tract's response at every bin, by linear prediction of the power spectrum."""
    order = min(_LARGEST_ORDER, rate // 1000 + 2)
    lags = np.arange(order + 1)
    correlation = np.fft.irfft(magnitude**2)[: order + 1]
    # Formants no narrower than this, and a floor 50 dB down: else prediction locks on to single harmonics.
    correlation *= np.exp(-0.5 * (2 * np.pi * _NARROWEST_HERTZ * lags / rate) ** 2)
    correlation[0] *= 1 + 1e-5
    coefficients = solve_toeplitz(correlation[:-1], correlation[1:])
    inverse = np.fft.rfft(np.concatenate([[1.0], -coefficients]), 2 * (len(magnitude) - 1))
    return np.asarray(-np.log(np.abs(inverse)))
