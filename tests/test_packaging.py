"""What is shipped: the wheel holds the presets and the weights, the script and the types marker."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import vidanon

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this tree, built without network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.mark.parametrize("folder", ["presets", "weights"])
def test_the_wheel_carries_what_lies_beside_the_package(wheel: zipfile.ZipFile, folder: str) -> None:
    """Every preset and every weight file of the tree is inside the installed package."""
    start = f"vidanon/{folder}/"
    inside = {name.removeprefix(start) for name in wheel.namelist() if name.startswith(start)}
    shipped = {path.name for path in (ROOT / folder).iterdir() if path.is_file()}
    assert shipped
    assert inside == shipped


def test_the_wheel_carries_no_tests_and_no_demo(wheel: zipfile.ZipFile) -> None:
    """Only the package and its metadata."""
    assert {name.split("/")[0] for name in wheel.namelist()} == {"vidanon", f"vidanon-{vidanon.__version__}.dist-info"}


def test_the_wheel_has_the_script_the_licence_and_the_types_marker(wheel: zipfile.ZipFile) -> None:
    """`vidanon` on the path, Apache-2.0 in the box, types for who imports it."""
    info = f"vidanon-{vidanon.__version__}.dist-info"
    assert "vidanon = vidanon.cli:main" in wheel.read(f"{info}/entry_points.txt").decode()
    assert f"{info}/licenses/LICENSE" in wheel.namelist()
    assert "vidanon/py.typed" in wheel.namelist()


def test_every_ignored_lint_rule_has_a_reason() -> None:
    """A rule is only left out with a comment that says why."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lint = tomllib.loads(text)["tool"]["ruff"]["lint"]
    ignored = [*lint["ignore"], *(rule for rules in lint["per-file-ignores"].values() for rule in rules)]
    explained = [line for line in text.splitlines() if line.startswith('  "') and '",' in line and "# " in line]
    for rule in ignored:
        assert any(f'"{rule}",' in line for line in explained), rule
