"""Counting in timecode: `later`.

Source: SMPTE ST 12-1 (drop frame: at 30000/1001 and 60000/1001 pictures a second the first two or four numbers of a
minute are left out, but for every tenth minute, so that the code keeps up with the clock).
"""

from __future__ import annotations

from fractions import Fraction

_MINUTES_A_DAY = 24 * 60


def later(code: str, frames: int, rate: Fraction) -> str:
    """The timecode `frames` pictures after `code` ("10:00:00:00", or "10:00:00;00" for drop frame) at `rate` a second.

    It begins anew after a day. Raises ValueError for a code that is none.
    """
    drop = code[8:9] in (";", ".", ",")
    hours, minutes, seconds, number = (int(part) for part in (code[:2], code[3:5], code[6:8], code[9:]))
    nominal = round(rate)
    left_out = round(nominal / 15) if drop else 0
    minute = hours * 60 + minutes
    count = (minute * 60 + seconds) * nominal + number - left_out * (minute - minute // 10)
    ten_minutes = 600 * nominal - 9 * left_out
    count = (count + frames) % (_MINUTES_A_DAY // 10 * ten_minutes)
    tens, rest = divmod(count, ten_minutes)
    # The first minute of ten is the only whole one.
    short = max(0, rest - left_out) // (60 * nominal - left_out)
    count += left_out * (9 * tens + short)
    seconds, number = divmod(count, nominal)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{';' if drop else ':'}{number:02}"
