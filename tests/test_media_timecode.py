"""Timecode arithmetic, against counting one picture at a time."""

from __future__ import annotations

from fractions import Fraction

import pytest

from vidanon.media.timecode import later

NTSC = Fraction(30000, 1001)


def counted(frames: int, nominal: int, left_out: int) -> list[str]:
    """All codes from midnight on, by the rule itself."""
    codes: list[str] = []
    minute = 0
    while len(codes) < frames:
        for second in range(60):
            for number in range(nominal):
                if left_out and second == 0 and number < left_out and minute % 10:
                    continue
                mark = ";" if left_out else ":"
                codes.append(f"{minute // 60:02}:{minute % 60:02}:{second:02}{mark}{number:02}")
        minute += 1
    return codes[:frames]


@pytest.mark.parametrize(
    ("rate", "left_out"),
    [(Fraction(25), 0), (Fraction(24000, 1001), 0), (NTSC, 0), (NTSC, 2), (2 * NTSC, 4)],
)
def test_counting_on_gives_what_counting_one_by_one_gives(rate: Fraction, left_out: int) -> None:
    """Over twenty-two minutes, from the start and from the middle."""
    nominal = round(rate)
    codes = counted(22 * 60 * nominal, nominal, left_out)
    for start in (0, 1, 61 * nominal):
        steps = [*range(0, len(codes) - start, 97), *(60 * nominal * m + k for m in (1, 9, 10) for k in range(-5, 6))]
        assert [later(codes[start], n, rate) for n in steps] == [codes[start + n] for n in steps]


def test_a_day_ends_at_midnight() -> None:
    """After the last code of a day comes the first one."""
    assert later("23:59:59:24", 1, Fraction(25)) == "00:00:00:00"
    assert later("23:59:59;29", 1, NTSC) == "00:00:00;00"
    assert later("10:00:00;00", 24 * 6 * 17982, NTSC) == "10:00:00;00"


def test_what_is_no_timecode_is_refused() -> None:
    """No number is guessed."""
    with pytest.raises(ValueError, match="invalid literal"):
        later("noon", 1, Fraction(25))
