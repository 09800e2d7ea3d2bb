"""The disguise itself: moved in pitch and formants, wandering, on time to the sample, and nobody's without the key."""

from __future__ import annotations

import numpy as np
import pytest
from companions import Sound
from numpy.typing import NDArray
from scipy import signal

from vidanon.media.disguise import (
    BEND_WANDER,
    FORMANT_PARTS,
    FORMANT_WANDER,
    KNOT_SECONDS,
    PITCH_SEMITONES,
    PITCH_WANDER,
    Disguise,
    Wander,
)

RATE = 16000
SECRETS = [b"a" * 32, b"b" * 32, b"c" * 32, b"d" * 32]


def disguised(sound: Sound, secret: bytes, *, rate: int = RATE, piece: int = 1000, start: float = 0.0) -> Sound:
    changer = Disguise(rate=rate, channels=len(sound), wander=Wander(secret), start_seconds=start)
    pieces = [changer.feed(sound[:, i : i + piece]) for i in range(0, sound.shape[1], piece)]
    return np.concatenate([*pieces, changer.flush()], axis=1)


def hummed(hertz: float, seconds: float) -> Sound:
    """A steady voice: harmonics that fall off."""
    time = np.arange(int(seconds * RATE)) / RATE
    wave = sum(np.cos(2 * np.pi * k * hertz * time) / k for k in range(1, int(6000 / hertz)))
    return (0.15 * wave).astype(np.float32)[None]


def whispered(formants: list[float], seconds: float) -> Sound:
    """Noise through the resonances of a mouth."""
    wave = np.random.default_rng(1).normal(size=int(seconds * RATE))
    for hertz in formants:
        radius = np.exp(-np.pi * 90 / RATE)
        wave = signal.lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * hertz / RATE), radius**2], wave)
    return (0.3 * wave / np.abs(wave).max()).astype(np.float32)[None]


def pitch_of(wave: NDArray[np.float32]) -> float:
    """Fundamental frequency in Hz, by autocorrelation."""
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 4 * len(wave))) ** 2
    match = np.fft.irfft(power)
    low, high = RATE // 400, RATE // 60
    k = low + int(match[low:high].argmax())
    before, here, after = match[k - 1 : k + 2]
    return float(RATE / (k + 0.5 * (before - after) / (before - 2 * here + after)))


def semitones(ratio: float) -> float:
    return float(12 * np.log2(ratio))


@pytest.mark.parametrize("secret", SECRETS)
def test_the_pitch_is_moved_as_the_secret_says(secret: bytes) -> None:
    """Measured by autocorrelation, every second: within a tenth of a semitone of what was drawn."""
    out = disguised(hummed(120, 6), secret)[0]
    for second in (1.0, 2.0, 3.0, 4.0, 5.0):
        middle = int(second * RATE)
        found = pitch_of(out[middle - RATE // 10 : middle + RATE // 10]) / 120
        assert abs(semitones(found / Wander(secret).at(second)[0])) < 0.1


@pytest.mark.parametrize("secret", SECRETS)
def test_no_constant_shift_brings_the_voice_back(secret: bytes) -> None:
    """After the best one, the pitch of a steady voice is still off by more than a quarter of a semitone somewhere."""
    out = disguised(hummed(120, 12), secret)[0]
    track = [
        semitones(pitch_of(out[i : i + RATE // 5]) / 120) for i in range(RATE // 2, len(out) - RATE // 2, RATE // 2)
    ]
    assert max(track) - min(track) > 0.5


@pytest.mark.parametrize("secret", SECRETS)
def test_formants_move_by_another_amount_than_the_pitch(secret: bytes) -> None:
    """The peaks of a whispered vowel, before and after: whoever resamples the sound gets one of the two wrong."""
    sound = whispered([900], 3.5)
    before, after = (signal.welch(x[0, RATE:], RATE, nperseg=512)[1] for x in (sound, disguised(sound, secret)))
    low, high = 512 * 500 // RATE, 512 * 1500 // RATE
    centre = [float((np.arange(low, high) * p[low:high]).sum() / p[low:high].sum()) for p in (before, after)]
    wanted = Wander(secret).at(2.2)[1]
    assert abs(centre[1] / centre[0] / wanted - 1) < 0.06
    assert abs(centre[1] / centre[0] - 1) > 0.06


@pytest.mark.parametrize("secret", SECRETS)
def test_an_onset_stays_where_it_was_to_the_sample(secret: bytes) -> None:
    """Clicks at all places of a hop, each at its own sample afterwards."""
    at = [int(RATE * (0.2 + 0.231 * k)) for k in range(16)]
    sound = np.zeros((1, 4 * RATE), np.float32)
    sound[0, at] = 0.9
    out = np.abs(disguised(sound, secret)[0])
    assert [int(out[i - 900 : i + 900].argmax()) - 900 for i in at] == [0] * len(at)


@pytest.mark.parametrize("secret", SECRETS)
def test_syllables_do_not_drift(secret: bytes) -> None:
    """Bursts of noise at uneven times: the loudness fits best where it was, to a third of a millisecond."""
    rng = np.random.default_rng(5)
    sound = np.zeros((1, 6 * RATE), np.float32)
    for k in range(22):
        begin = int(RATE * (0.2 + k * 0.25 + rng.uniform(0, 0.1)))
        sound[0, begin : begin + 640] += 0.3 * rng.normal(size=640) * np.exp(-np.arange(640) / 120)
    out = disguised(sound, secret)
    loud, still = (np.convolve(x[0].astype(np.float64) ** 2, np.hanning(65), "same") for x in (sound, out))
    match = signal.correlate(still, loud, "same", "fft")
    assert abs(int(match.argmax()) - len(loud) // 2) <= RATE // 3000
    assert np.corrcoef(loud, still)[0, 1] > 0.95


@pytest.mark.parametrize("length", [0, 1, 7, 240, 959, 960, 961, 5000])
def test_as_many_samples_come_out_as_went_in(length: int) -> None:
    """However few."""
    sound = np.random.default_rng(2).normal(0, 0.1, (2, length)).astype(np.float32)
    assert disguised(sound, SECRETS[0], piece=37).shape == (2, length)


def test_how_the_sound_is_cut_into_pieces_changes_nothing() -> None:
    """Packets of any size: the same samples to the last bit."""
    sound = hummed(150, 1.5)
    whole = disguised(sound, SECRETS[1], piece=10**6)
    for piece in (1, 160, 1023):
        if piece == 1:
            np.testing.assert_array_equal(disguised(sound[:, :3000], SECRETS[1], piece=1)[:, :1500], whole[:, :1500])
        else:
            np.testing.assert_array_equal(disguised(sound, SECRETS[1], piece=piece), whole)


def test_channels_keep_their_places() -> None:
    """A voice at the left stays at the left by the same amount, and the two do not drift apart."""
    mono = hummed(130, 2)[0]
    out = disguised(np.stack([mono, 0.5 * mono]), SECRETS[2])
    np.testing.assert_allclose(out[1], 0.5 * out[0], atol=1e-4)
    opposite = disguised(np.stack([mono, -mono]), SECRETS[2])
    np.testing.assert_allclose(opposite[1], -opposite[0], atol=1e-4)
    assert np.std(opposite) > 0.5 * np.std(mono)


def test_silence_stays_silence_and_speech_as_loud_as_it_was() -> None:
    """Pauses are not filled with noise."""
    sound = hummed(140, 3)
    sound[:, RATE : 2 * RATE] = 0
    out = disguised(sound, SECRETS[3])
    assert not out[:, RATE + 1000 : 2 * RATE - 1000].any()
    assert 0.8 < np.std(out[:, 2000 : RATE - 2000]) / np.std(sound[:, 2000 : RATE - 2000]) < 1.2


def test_another_secret_is_another_voice_and_the_same_one_the_same() -> None:
    """On every machine, at every time of a long file."""
    times = [0.0, 1.3, 77.7, 7201.0]
    draws = {secret: [Wander(secret).at(t) for t in times] for secret in SECRETS}
    assert len({str(draw) for draw in draws.values()}) == len(SECRETS)
    assert draws[SECRETS[0]] == [Wander(SECRETS[0]).at(t) for t in times]


def test_the_shift_stays_within_what_can_be_understood_and_never_comes_near_none() -> None:
    """Of two hundred secrets over an hour; and it moves slowly."""
    for number in range(200):
        wander = Wander(number.to_bytes(32, "little"))
        before = None
        for seconds in np.arange(0, 3600, 97.0):
            pitch, formants, bend = wander.at(float(seconds))
            assert PITCH_SEMITONES[0] - PITCH_WANDER <= abs(semitones(pitch)) <= PITCH_SEMITONES[1] + PITCH_WANDER
            assert FORMANT_PARTS[0] - FORMANT_WANDER <= abs(formants - 1) <= FORMANT_PARTS[1] + FORMANT_WANDER
            assert abs(bend) <= BEND_WANDER
            assert (pitch > 1) == (formants > 1)
        before = wander.at(10.0)[0]
        assert abs(semitones(wander.at(10.0 + KNOT_SECONDS / 50)[0] / before)) < 0.15


def test_streams_that_begin_at_different_times_are_moved_alike_at_the_same_time() -> None:
    """Two microphones of one scene: what one says at second four is what the other does."""
    early = disguised(hummed(120, 5), SECRETS[0])[0]
    late = disguised(hummed(120, 3), SECRETS[0], start=2.0)[0]
    here = slice(2 * RATE, 2 * RATE + RATE // 4)
    there = slice(4 * RATE, 4 * RATE + RATE // 4)
    assert abs(semitones(pitch_of(late[here]) / pitch_of(early[there]))) < 0.05
