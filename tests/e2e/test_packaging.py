"""The wheel holds what the installed commands need, and nothing of the tests."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *("--disable-pip-version-check", "--wheel-dir", str(folder), str(ROOT)),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [made] = folder.glob("*.whl")
    return made


def test_skills_and_template_travel_in_the_wheel(wheel: Path) -> None:
    """Every skill's SKILL.md and every file of the vault's seed, dot-files included."""
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("agent_skills", "vault_template"):
        files = [f for f in (ROOT / folder).rglob("*") if f.is_file()]
        assert files
        for file in files:
            assert f"nightdesk/_data/{file.relative_to(ROOT)}" in names
    assert not [name for name in names if "test" in name.split("/")[0]]


def test_the_installed_commands_find_them(wheel: Path, tmp_path: Path) -> None:
    """Run from the unpacked wheel, away from the checkout."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "import nightdesk, sys; assert nightdesk.__file__.startswith(sys.argv[1]);"
        "from nightdesk.skills.manifest import load_skills, skills_root, data_root;"
        "assert str(skills_root()).startswith(sys.argv[1]);"
        "assert 'cloud-draft-email' in load_skills(skills_root());"
        "assert (data_root('vault_template') / '.gitignore').is_file()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "site")],
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin:/bin"},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
