"""Changed sound: another voice or none, never a packet of the old one, and not a sample out of step."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Tone, audio_packets, make_clip
from companions import FORMS, Sound, add_sound, complaints, heard, remux

from vidanon.errors import InputError, OutputError
from vidanon.media.probe import probe
from vidanon.media.reader import Reader
from vidanon.media.sound_encoders import choose_sound
from vidanon.media.voice import Change, VoiceChanger
from vidanon.media.writer import Writer
from vidanon.settings import OutputSettings

RATE = 48000
SECRET = b"k" * 32
CLICKS = [4800 + 11117 * k for k in range(6)]
SAMPLES = int(1.5 * RATE) + 137
LAYOUTS = {".mxf", ".avi"}
"""containers that number their channels only, of which ffmpeg says what it takes them for"""


def clicks(channels: int = 1) -> Sound:
    """Clicks at known samples, in all channels, over a hiss that makes every packet one of a kind."""
    sound = np.random.default_rng(4).normal(0, 0.001, (channels, SAMPLES)).astype(np.float32)
    sound[:, CLICKS] = 0.8
    return sound


def pictures(folder: Path, suffix: str) -> Path:
    """A clip without sound in the container of that suffix."""
    start = 2 if suffix in (".ts", ".mpg") else 0
    base = {".ts": Fraction(1, 90000), ".mpg": Fraction(1, 90000), ".mkv": Fraction(1, 1000)}.get(suffix)
    base = base or Fraction(1, 15360)
    pts = [round((start + Fraction(i, 25)) / base) for i in range(25)]
    codec = "mpeg2video" if suffix in (".mxf", ".mpg", ".avi") else "libx264"
    if suffix == ".webm":
        return make_clip(
            folder / f"pictures{suffix}",
            pts=[40 * i for i in range(25)],
            time_base=Fraction(1, 1000),
            codec="libvpx",
            options={"deadline": "realtime"},
        ).path
    if codec == "mpeg2video":
        base, pts = Fraction(1, 25), list(range(25)) if suffix != ".mpg" else [50 + i for i in range(25)]
    return make_clip(
        folder / f"pictures{suffix}",
        pts=pts,
        time_base=base,
        codec=codec,
        options={"bf": "0"} if codec == "libx264" else {},
        size=(160, 120),
    ).path


def changed(source: Path, target: Path, change: Change, *, secret: bytes = SECRET, keep: str = "language") -> Path:
    form = FORMS[target.suffix]
    remux(
        source,
        target,
        lambda out: VoiceChanger(source, out, target=target, form=form, keep=keep, change=change, secret=secret),
    )
    return target


def codec_of(path: Path) -> str:
    with av.open(str(path)) as container:
        return container.streams.audio[0].codec_context.codec.canonical_name


def packets_of(path: Path) -> set[bytes]:
    return {data for stream in audio_packets(path) for _, data in stream}


def peaks(sound: Sound, count: int) -> list[int]:
    """Samples of the loudest clicks, in order."""
    loud, found = np.abs(sound[0]).copy(), []
    for _ in range(count):
        at = int(loud.argmax())
        found.append(at)
        loud[max(0, at - 2000) : at + 2000] = 0
    return sorted(found)


CASES = [
    ("aac", ".mp4", "aac", "0"),
    ("aac", ".mp4", "aac", "0.31"),
    ("libmp3lame", ".mp4", "mp3", "0"),
    ("eac3", ".mp4", "eac3", "0"),
    ("pcm_s24le", ".mov", "pcm_s24le", "0"),
    ("pcm_s16le", ".mov", "pcm_s16le", "0.31"),
    ("alac", ".mov", "alac", "0"),
    ("libopus", ".mkv", "opus", "0"),
    ("aac", ".mkv", "aac", "0"),
    ("ac3", ".mkv", "ac3", "0"),
    ("flac", ".mkv", "flac", "0"),
    ("libopus", ".webm", "opus", "0"),
    ("aac", ".ts", "aac", "2"),
    ("mp2", ".ts", "mp2", "2"),
    ("mp2", ".mpg", "mp2", "2"),
    ("pcm_s16le", ".avi", "pcm_s16le", "0"),
    ("pcm_s24le", ".mxf", "pcm_s24le", "0"),
]


@pytest.mark.parametrize(("encoder", "suffix", "codec", "late"), CASES)
def test_a_disguised_voice_keeps_codec_start_length_and_every_onset(
    tmp_path: Path, encoder: str, suffix: str, codec: str, late: str
) -> None:
    """Clicks lie where they lay, whatever the encoder puts before the first one; no packet is the old one."""
    video = pictures(tmp_path, suffix)
    rate = RATE
    source = add_sound(video, tmp_path / f"a{suffix}", [clicks()], codec=encoder, late_seconds=Fraction(late))
    out = changed(source, tmp_path / f"b{suffix}", "disguise")
    assert codec_of(out) == codec
    (start, before), (begin, after) = heard(source), heard(out)
    shift = round((begin - start) * rate)
    # A transport or program stream cannot cut off what such an encoder puts first: it is silent and comes before.
    assert -481 <= shift <= 0 if codec == "mp2" else shift == 0
    assert -1152 <= before.shape[1] - after.shape[1] - shift <= 1152 if codec == "mp2" else before.shape == after.shape
    count = sum(at < before.shape[1] for at in CLICKS)  # an MXF ends with its pictures
    assert count >= 4
    np.testing.assert_allclose(np.add(peaks(after, count), shift), peaks(before, count), atol=1)
    assert not packets_of(source) & packets_of(out)
    assert all("Guessed Channel Layout" in line for line in complaints(out).splitlines() if suffix in LAYOUTS)
    assert suffix in LAYOUTS or not complaints(out)


@pytest.mark.parametrize(("encoder", "suffix", "codec", "late"), CASES)
def test_a_muted_voice_is_silence_of_the_same_length(
    tmp_path: Path, encoder: str, suffix: str, codec: str, late: str
) -> None:
    """The stream is there, and nothing is to be heard in it."""
    video = pictures(tmp_path, suffix)
    source = add_sound(video, tmp_path / f"a{suffix}", [clicks()], codec=encoder, late_seconds=Fraction(late))
    out = changed(source, tmp_path / f"b{suffix}", "mute")
    assert codec_of(out) == codec
    (start, before), (begin, after) = heard(source), heard(out)
    assert np.abs(after).max() < 2e-5
    assert abs(float(begin - start)) < 0.011
    assert abs(before.shape[1] - after.shape[1]) <= (1152 if codec == "mp2" else 0)


def test_both_tracks_are_changed_and_keep_language_and_disposition(tmp_path: Path) -> None:
    """An interview and its interpreter."""
    video = pictures(tmp_path, ".mp4")
    tracks = [clicks(2), clicks()]
    source = add_sound(video, tmp_path / "a.mp4", tracks, codec="aac", languages=("deu", "fra"))
    out = changed(source, tmp_path / "b.mp4", "disguise")
    with av.open(str(source)) as one, av.open(str(out)) as two:
        assert [s.language for s in two.streams.audio] == ["deu", "fra"]
        assert [s.disposition for s in two.streams.audio] == [s.disposition for s in one.streams.audio]
        assert [s.codec_context.layout.name for s in two.streams.audio] == ["stereo", "mono"]
    for track in (0, 1):
        here, there = (peaks(heard(path, track)[1], len(CLICKS)) for path in (out, source))
        np.testing.assert_allclose(here, there, atol=1)
    silent = changed(source, tmp_path / "c.mp4", "mute", keep="")
    with av.open(str(silent)) as three:
        assert [s.language for s in three.streams.audio] in ([None, None], ["und", "und"])
    assert max(float(np.abs(heard(silent, track)[1]).max()) for track in (0, 1)) < 2e-5


def test_surround_sound_stays_surround_sound(tmp_path: Path) -> None:
    """Six channels in, six out."""
    source = add_sound(pictures(tmp_path, ".mkv"), tmp_path / "a.mkv", [clicks(6)], codec="flac")
    out = changed(source, tmp_path / "b.mkv", "disguise")
    assert heard(out)[1].shape == heard(source)[1].shape


def test_a_damaged_packet_is_silent_and_moves_nothing(tmp_path: Path) -> None:
    """What cannot be decoded is not copied either; after the hole every click lies where it lay."""
    source = add_sound(pictures(tmp_path, ".mkv"), tmp_path / "a.mkv", [clicks()], codec="flac")
    packets = audio_packets(source)[0]
    number = next(i for i, (time, _) in enumerate(packets) if time > Fraction(1, 2))
    out = changed(damaged(source, tmp_path / "damaged.mkv", slice(number, number + 1)), tmp_path / "b.mkv", "disguise")
    begin, end = round(packets[number][0] * RATE), round(packets[number + 1][0] * RATE)
    kept = [at for at in CLICKS if not begin <= at < end]
    sound = heard(out)[1]
    assert sound.shape == (1, SAMPLES)
    assert peaks(sound, len(kept)) == kept
    assert np.std(sound[0, begin + 1500 : end - 1500]) < 0.2 * np.std(sound[0, :4000])


def damaged(source: Path, path: Path, numbers: slice) -> Path:
    """A FLAC track with some of its packets overwritten."""
    data = source.read_bytes()
    for _, packet in audio_packets(source)[0][numbers]:
        data = data.replace(packet, b"\0" * len(packet))
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("change", ["mute", "disguise"])
def test_damage_at_the_end_does_not_shorten_the_sound(tmp_path: Path, change: Change) -> None:
    """The last three packets are silent, and as long as their container says."""
    source = add_sound(pictures(tmp_path, ".mkv"), tmp_path / "a.mkv", [clicks()], codec="flac")
    out = changed(damaged(source, tmp_path / "damaged.mkv", slice(-3, None)), tmp_path / "b.mkv", change)
    sound = heard(out)[1]
    assert 0 <= sound.shape[1] - SAMPLES < 4608
    assert not sound[0, -4000:].any()


def test_sound_of_which_nothing_can_be_decoded_is_an_error_not_a_silence(tmp_path: Path) -> None:
    """Who asked for a voice has to know that there is none."""
    source = add_sound(pictures(tmp_path, ".mkv"), tmp_path / "a.mkv", [clicks()], codec="flac")
    with pytest.raises(InputError, match="sound cannot be decoded"):
        changed(damaged(source, tmp_path / "damaged.mkv", slice(None)), tmp_path / "b.mkv", "disguise")


def test_a_broadcast_that_changes_from_stereo_to_mono_goes_on(tmp_path: Path) -> None:
    """One stream, two layouts: as many samples as there were, in the layout the file is taken to have."""
    source = tmp_path / "a.ts"
    with av.open(str(pictures(tmp_path, ".ts"))) as container, av.open(str(source), "w", format="mpegts") as out:
        video = container.streams.video[0]
        copy = out.add_stream_from_template(video)
        stream = out.add_stream("ac3", rate=RATE, layout="stereo")
        out.container_options["mpegts_copyts"] = "1"
        for packet in container.demux(video):
            if packet.size:
                packet.stream = copy
                out.mux(packet)
        mono = av.CodecContext.create("ac3", "w")
        mono.sample_rate, mono.layout, mono.format, mono.time_base = RATE, "mono", "fltp", Fraction(1, RATE)
        for number, (encoder, channels) in enumerate([(stream.codec_context, 2), (mono, 1)]):
            for step in range(12):
                wave = clicks(channels)[:, 1536 * step : 1536 * (step + 1)]
                frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout=["mono", "stereo"][channels - 1])
                frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
                frame.pts = 2 * RATE + 1536 * (12 * number + step)
                for packet in encoder.encode(frame):
                    packet.stream = stream
                    out.mux(packet)
    out_path = changed(source, tmp_path / "b.ts", "disguise")
    sound = heard(out_path)[1]
    assert abs(sound.shape[1] - 24 * 1536) <= 1536
    with av.open(str(source)) as container:
        assert len(sound) == container.streams.audio[0].codec_context.layout.nb_channels
        assert {frame.layout.name for frame in container.decode(audio=0)} == {"stereo", "mono"}


def test_the_secret_and_the_file_decide_on_the_voice(tmp_path: Path) -> None:
    """The same of both gives the same bytes; another secret, or another file, another voice."""
    tone = (0.2 * np.sin(np.arange(RATE) * 2 * np.pi * 200 / RATE)).astype(np.float32)[None]
    video = pictures(tmp_path, ".mkv")
    source = add_sound(video, tmp_path / "a.mkv", [tone], codec="flac")
    other = add_sound(video, tmp_path / "other.mkv", [0.99 * tone], codec="flac")
    first = changed(source, tmp_path / "1.mkv", "disguise").read_bytes()
    assert changed(source, tmp_path / "2.mkv", "disguise").read_bytes() == first
    heard_as = [heard(tmp_path / "1.mkv")[1]]
    heard_as.append(heard(changed(source, tmp_path / "3.mkv", "disguise", secret=b"l" * 32))[1])
    heard_as.append(heard(changed(other, tmp_path / "4.mkv", "disguise"))[1])
    tops = [int(np.abs(np.fft.rfft(sound[0])).argmax()) for sound in heard_as]
    assert len(set(tops)) == 3


def test_a_codec_we_cannot_encode_becomes_one_the_container_holds() -> None:
    """Or None, where nothing does."""
    stereo = av.AudioLayout("stereo")
    chosen = {
        ("vorbis", "matroska"): "aac",
        ("vorbis", "webm"): "libopus",
        ("dts", "mpegts"): "aac",
        ("aac", "avi"): "pcm_s16le",
        ("pcm_s32le", "mxf"): "pcm_s24le",
        ("pcm_s16le", "mp4"): "pcm_s16le",
        ("pcm_dvd", "vob"): "mp2",
    }
    for (codec, form), encoder in chosen.items():
        choice = choose_sound(codec, rate=RATE, layout=stereo, form=form)
        assert choice is not None
        assert (choice.encoder, choice.rate, choice.channels) == (encoder, RATE, 2)
    assert choose_sound("aac", rate=RATE, layout=av.AudioLayout("7.1"), form="vob") is None


def test_a_rate_the_encoder_does_not_know_becomes_the_next_higher_one() -> None:
    """Speech at 11 kHz does not lose its consonants."""
    choice = choose_sound("opus", rate=11025, layout=av.AudioLayout("mono"), form="webm")
    assert choice is not None
    assert choice.rate == 12000


def test_sound_that_fits_nowhere_is_refused_with_a_way_out(tmp_path: Path) -> None:
    """Before anything is written: a program stream holds no eight channels."""
    source = tmp_path / "a.wav"
    with av.open(str(source), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=RATE, layout="7.1")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8 * 960), np.int16), format="s16", layout="7.1")
        frame.sample_rate = RATE
        out.mux([*stream.encode(frame), *stream.encode(None)])
    target = tmp_path / "b.mpg"
    with av.open(str(target), "w", format="vob") as out, pytest.raises(OutputError, match="no encoder for 8 channels"):
        VoiceChanger(source, out, target=target, form="vob", keep="", change="mute", secret=SECRET)


@pytest.mark.parametrize("change", ["mute", "disguise"])
def test_the_writer_changes_the_voice_as_the_settings_say(tmp_path: Path, change: Change) -> None:
    """From the setting to the file: pictures in, changed sound beside them, nothing of the old one."""
    clip = make_clip(tmp_path / "a.mp4", frames=20, tones=[Tone(language="deu"), Tone(880.0, codec="ac3")])
    out = tmp_path / "b.mp4"
    settings = OutputSettings(encoder_preset="ultrafast", voice=change)
    with Reader(clip.path) as reader, Writer(out, reader.info, settings=settings, secret=SECRET) as writer:
        for frame in reader:
            writer.write(frame)
    assert [audio.codec for audio in probe(out).audio] == ["aac", "ac3"]
    assert probe(out).audio[0].language == "deu"
    assert not packets_of(clip.path) & packets_of(out)
    for track in (0, 1):
        (start, before), (begin, after) = heard(clip.path, track), heard(out, track)
        assert start == begin
        assert abs(before.shape[1] - after.shape[1]) <= RATE // 1000
        assert (np.abs(after).max() < 2e-5) == (change == "mute")
    assert not complaints(out)
