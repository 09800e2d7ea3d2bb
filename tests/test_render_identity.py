"""Key and name to latent."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from vidanon.errors import UsageError
from vidanon.render.identity import latent, load_or_create_key, person, seed

KEY = bytes(range(32))


def test_a_key_is_made_once_and_then_kept(tmp_path: Path) -> None:
    """The first call makes 32 random bytes that only the owner reads; the second gives the same."""
    path = tmp_path / "new" / "key"
    key = load_or_create_key(path)
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create_key(path) == key
    assert load_or_create_key(tmp_path / "other") != key


@pytest.mark.parametrize("content", [b"", b"secret", b"x" * 5000])
def test_a_key_of_the_wrong_length_is_refused_and_not_printed(tmp_path: Path, content: bytes) -> None:
    """Empty, short and huge files raise UsageError, which shows the path and not the content."""
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(UsageError) as caught:
        load_or_create_key(path)
    assert str(path) in str(caught.value)
    assert "secret" not in str(caught.value)
    assert path.read_bytes() == content


def test_an_unreadable_key_is_refused(tmp_path: Path) -> None:
    """A folder in the key's place, or a file in its folder's place, raises UsageError."""
    with pytest.raises(UsageError, match="cannot be read"):
        load_or_create_key(tmp_path)
    (tmp_path / "file").write_bytes(KEY)
    with pytest.raises(UsageError, match="cannot be made"):
        load_or_create_key(tmp_path / "file" / "key")


@pytest.mark.skipif(os.name != "posix", reason="modes are a POSIX thing")
def test_a_key_others_may_read_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The warning names the file and never the key."""
    path = tmp_path / "key"
    path.write_bytes(b"k" * 32)
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        assert load_or_create_key(path) == b"k" * 32
    assert str(path) in caplog.text
    assert "kkkk" not in caplog.text


def test_the_seed_is_hkdf() -> None:
    """It equals RFC 5869 written out: extract with the salt, then one block of expand."""

    def hmac_sha256(key: bytes, message: bytes) -> bytes:
        block = key.ljust(64, b"\0")
        inner = hashlib.sha256(bytes(b ^ 0x36 for b in block) + message).digest()
        return hashlib.sha256(bytes(b ^ 0x5C for b in block) + inner).digest()

    prk = hmac_sha256(b"vidanon", KEY)
    assert seed(KEY, "track-1") == hmac_sha256(prk, b"vidanon latent 1\0track-1\x01")


def test_a_latent_never_changes_between_versions() -> None:
    """Frozen numbers: a plan rendered again next year gets the same faces."""
    expected = [-0.450089, 0.819135, -0.718273, -2.240246]
    assert np.allclose(latent(KEY, "track-1", 4), expected, atol=1e-6)


def test_latents_differ_by_key_and_by_name() -> None:
    """Neither another key nor another name gives a similar latent; the same pair gives the same bits."""
    base = latent(KEY, "track-1", 256)
    assert np.array_equal(base, latent(KEY, "track-1", 256))
    for other in (latent(KEY, "track-2", 256), latent(bytes(32), "track-1", 256)):
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.25


def test_latents_are_standard_normal_and_truncation_scales_them() -> None:
    """Mean 0 and deviation 1 over many; truncation 0.5 halves each, 0 is the mean face."""
    z = latent(KEY, "crowd", 4000)
    assert z.dtype == np.float32
    assert abs(z.mean()) < 0.05
    assert abs(z.std() - 1) < 0.04
    assert np.array_equal(latent(KEY, "crowd", 4000, truncation=0.5), z * np.float32(0.5))
    assert not latent(KEY, "crowd", 8, truncation=0).any()


def test_a_name_is_one_person_everywhere_and_a_number_only_in_its_clip() -> None:
    """With one key, "anna" has one face in two clips, while the first strangers of both have two."""
    assert person("anna", "clip a") == person("anna", "clip b") == "anna"
    strangers = {person("track-1", "clip a"), person("track-1", "clip b"), person("track-2", "clip a"), "track-1"}
    assert len(strangers) == 4
