"""`vidanon clean`: finds what killed runs leave, removes it when told to, and nothing else ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest
from test_cli_journey import call

from vidanon.cli.cleaning import age_in_words, size_in_words
from vidanon.errors import InputError, OutputError
from vidanon.media.journal import CodedPacket, Journal
from vidanon.media.work import WorkFolder
from vidanon.pipeline import leftovers
from vidanon.pipeline.leftovers import find, remove
from vidanon.plan.store import Plan
from vidanon.types import ScannedFrame


def killed_work(target: Path, *, frames: int = 3) -> Path:
    """The work folder of a run that was killed after one segment."""
    work = WorkFolder(target, source=Path("/clips/in.mp4"), overwrite=False)
    journal = Journal(work.path / "video.journal", identity="x", target=target)
    for number in range(frames):
        journal.add(CodedPacket(number, number == 0, bytes(1000)))
    journal.commit([(i, 1) for i in range(frames)], tally={})
    journal.close()
    work.file("output.mp4").write_bytes(bytes(500))
    work.close(keep=True)
    return work.path


def plan_at(path: Path, *, frames: int = 2) -> Path:
    with Plan.create(
        path,
        source_name="in.mp4",
        fingerprint="f",
        width=64,
        height=48,
        time_base=Fraction(1, 25),
        settings_json="{}",
    ) as plan:
        plan.append([ScannedFrame(i, i, (), 0.0, 0.0, (0.0, 0.0)) for i in range(frames)])
    return path


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """An output folder after a crash: work, an old part with its plan, a key; and things that are none of ours."""
    deep = tmp_path / "out" / "deep"
    deep.mkdir(parents=True)
    killed_work(deep / "a.mp4")
    plan_at(deep / "a.mp4.vidanon")
    plan_at(deep / "b.mov.vidanon")
    (deep / "b.mov.part").write_bytes(bytes(2048))
    (deep / "b.mov.vidanon.key").write_bytes(bytes(32))
    (deep / "download.mp4.part").write_bytes(b"a browser's")
    (deep / "model.part").write_bytes(b"somebody's")
    (deep / "other.vidanon").write_bytes(b"no plan" * 30)
    (deep / "other.vidanon.key").write_bytes(b"no key of ours")
    (deep / "done.mp4").write_bytes(b"an output")
    (deep / ".x.vidanon-work.txt").write_bytes(b"a file")
    (tmp_path / "elsewhere").mkdir()
    killed_work(tmp_path / "elsewhere" / "c.mp4")
    (deep / ".link.mp4.vidanon-work").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    return tmp_path / "out"


def names(folder: Path) -> set[str]:
    return {path.name for path in (folder / "deep").iterdir()}


STAYS = {
    "download.mp4.part",
    "model.part",
    "other.vidanon",
    "other.vidanon.key",
    "done.mp4",
    ".x.vidanon-work.txt",
    ".link.mp4.vidanon-work",
}
PLANS = {"a.mp4.vidanon", "b.mov.vidanon", "b.mov.vidanon.key"}


def test_what_is_left_is_listed_and_stays(street: Path) -> None:
    """Kind, size, source and frames of each; looking changes nothing."""
    before = names(street)
    work, part = json.loads(call("clean", street, "--json").stdout)
    assert (work["kind"], work["source"], work["frames"], work["live"]) == ("work", "/clips/in.mp4", 3, False)
    assert work["size"] > 3500
    assert time.time() - work["modified"] < 600
    assert (part["kind"], part["source"], part["size"], part["removed"]) == ("part", "in.mp4", 2048, False)
    said = call("clean", street)
    assert "unfinished work" in said.stdout
    assert "2.0 KiB" in said.stdout
    assert said.stderr.startswith("2 items, ")
    assert "--yes" in said.stderr
    assert names(street) == before


def test_yes_removes_it_and_nothing_else(street: Path) -> None:
    """Plans, keys, other people's parts and folders behind links are as they were."""
    said = call("clean", street, "--yes")
    assert "removed 2 items" in said.stderr
    assert names(street) == STAYS | PLANS
    assert (street.parent / "elsewhere" / ".c.mp4.vidanon-work").is_dir()
    assert "nothing is left over" in call("clean", street, "--yes").stderr


def test_plans_and_keys_go_only_when_named(street: Path) -> None:
    """--plans lists them, with --yes they go too."""
    kinds = [left["kind"] for left in json.loads(call("clean", street, "--plans", "--json").stdout)]
    assert sorted(kinds) == ["key", "part", "plan", "plan", "work"]
    call("clean", street, "--plans", "--yes")
    assert names(street) == STAYS


HOLD = """
import sys, time
from pathlib import Path
from vidanon.media.work import WorkFolder
from vidanon.plan.store import Plan
folder = Path(sys.argv[1])
work = WorkFolder(folder / "a.mp4", source=None, overwrite=False)
plan = Plan.open(folder / "a.mp4.vidanon")
print("there", flush=True)
sys.stdin.read()
"""


def test_what_a_running_job_uses_is_left_alone(street: Path) -> None:
    """Its work folder is locked, its plan is open."""
    program = [sys.executable, "-c", HOLD, str(street / "deep")]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "there\n"
        listed = {
            Path(left["path"]).name: left for left in json.loads(call("clean", street, "--plans", "--json").stdout)
        }
        assert {name for name, left in listed.items() if left["live"]} == {".a.mp4.vidanon-work", "a.mp4.vidanon"}
        assert "2 items in use" in call("clean", street, "--plans", "--yes").stderr
        assert names(street) == STAYS | {".a.mp4.vidanon-work", "a.mp4.vidanon"}
        job.communicate()
    call("clean", street, "--plans", "--yes")
    assert names(street) == STAYS


def test_work_taken_up_between_looking_and_removing_is_left_alone(tmp_path: Path) -> None:
    """The lock is asked again at the last moment."""
    path = killed_work(tmp_path / "a.mp4")
    (left,) = find([tmp_path])
    assert not left.live
    with WorkFolder(tmp_path / "a.mp4", source=None, overwrite=False) as work:
        assert not remove(left)
        assert (path / "video.journal").exists()
        work.close(keep=True)
    assert remove(left)
    assert not path.exists()


def test_a_work_folder_without_its_note_is_dead(tmp_path: Path) -> None:
    """A run killed while it made the folder."""
    (tmp_path / ".a.mp4.vidanon-work").mkdir()
    (left,) = find([tmp_path])
    assert (left.source, left.frames, left.live) == (None, 0, False)
    assert remove(left)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from vidanon.media.journal import CodedPacket, Journal
from vidanon.media.work import WorkFolder
target = Path(sys.argv[1])
work = WorkFolder(target, source=None, overwrite=False)
journal = Journal(work.path / "video.journal", identity="x", target=target)
journal.add(CodedPacket(0, True, bytes(1000)))
journal.commit([(0, 1)], tally={})
for i in range(400):
    journal.add(CodedPacket(i, i == 0, os.urandom(20000)))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_frames_of_a_run_killed_inside_a_segment_are_counted(tmp_path: Path) -> None:
    """A transaction half written to the disk counts for nothing, those before it for all of theirs."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a.mp4")], check=False)
    assert done.returncode == -9
    assert list(tmp_path.glob("*/*-journal")), "the kill should have come in the middle of a transaction"
    (left,) = find([tmp_path])
    assert (left.kind, left.frames, left.live) == ("work", 1, False)


def test_folders_are_named_once_and_must_be_there(tmp_path: Path) -> None:
    """Overlapping folders give one line; a missing one is an error and nothing is removed."""
    killed_work(tmp_path / "a.mp4")
    assert len(find([tmp_path, tmp_path, tmp_path / "."])) == 1
    with pytest.raises(InputError, match="no such folder"):
        find([tmp_path, tmp_path / "none"])
    assert "no such folder" in call("clean", tmp_path / "none", "--yes", code=3).stderr
    assert len(find([tmp_path])) == 1


def test_what_cannot_be_removed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that names it."""
    killed_work(tmp_path / "a.mp4")
    (left,) = find([tmp_path])

    def refused(path: Path) -> None:
        raise PermissionError(13, os.strerror(13), str(path))

    monkeypatch.setattr(leftovers.Path, "unlink", refused)
    with pytest.raises(OutputError, match="cannot be removed: Permission denied"):
        remove(left)


def test_here_is_where_it_looks_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a folder, the working folder."""
    killed_work(tmp_path / "a.mp4")
    monkeypatch.chdir(tmp_path)
    assert ".a.mp4.vidanon-work" in call("clean").stdout


def test_sizes_and_ages_in_words() -> None:
    """The largest unit that fits."""
    assert [size_in_words(n) for n in (0, 1023, 1536, 5 << 20, 3 << 30)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "5.0 MiB",
        "3.0 GiB",
    ]
    assert [age_in_words(s) for s in (-1, 59, 3599, 3600, 47 * 3600, 72 * 3600)] == [
        "0 min",
        "0 min",
        "59 min",
        "1 h",
        "47 h",
        "3 d",
    ]
