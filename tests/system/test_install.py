"""The wheel by itself: installed into an empty virtual environment, it runs from any folder."""

import os
import re
import subprocess
import sys
import zipfile

import pytest

from tests.system.up import ROOT, Up


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, **options)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(
        sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, ROOT
    )  # fmt: skip
    [path] = folder.glob("*.whl")
    return path


def test_the_wheel_holds_every_file_that_the_packages_read(wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    tracked = run("git", "ls-files", "red_common", "red_service", "red_stats", cwd=ROOT).split()
    assert {path for path in tracked if path not in inside} == set()
    assert any(name.endswith("licenses/LICENSE") for name in inside)


def test_installed_into_an_empty_environment_it_runs_from_any_folder(wheel, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    pip = (python, "-m", "pip", "install", "-q", "--no-compile")
    run(*pip, "--require-hashes", "-r", ROOT / "requirements.txt", env=environment)
    run(*pip, "--no-deps", wheel, env=environment)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    up = Up(elsewhere, program=(str(python.with_name("red-stats")),))
    try:
        up.start()
        lines = [one for one in up.out.read_text().splitlines() if re.match("KEY=|POSITION=|curl ", one)]
        answers = run("bash", "-c", "\n".join(lines), cwd=elsewhere, env=up.environment)
        assert '"red":0.4339' in answers
        assert '"over":1' in answers
        doctor = up.command("doctor")
        assert "the C kernel" in doctor.stdout
        assert "the scanner in C" in doctor.stdout
    finally:
        assert up.stop() == 0
