"""What `red-stats settings` lists."""

import json
import os
import subprocess
import sys

from red_common.secret_keys import load_keys
from red_service.settings import Settings as RedSettings
from red_stats.settings import Settings


def test_every_setting_of_both_services_is_listed_once_with_its_meaning():
    command = [sys.executable, "-m", "red_stats", "settings", "--json"]
    rows = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    names = [row["name"] for row in rows]

    fields = (Settings.model_fields.keys() | RedSettings.model_fields.keys()) - {"crash_at"}
    assert sorted(names) == sorted(f"RED_{field.upper()}" for field in fields)
    assert all(row["help"] for row in rows)


def settings(**environment):
    command = [sys.executable, "-m", "red_stats", "secrets", "rotate"]
    given = os.environ | {name: str(value) for name, value in environment.items()}
    return subprocess.run(command, env=given, capture_output=True, text=True, check=False)


def test_secrets_are_read_from_files_and_what_cannot_be_is_one_line(tmp_path):
    file = tmp_path / "mounted"
    file.write_text("ab" * 32 + "\n")
    read = settings(RED_SECRET_KEY_FILE=file, RED_DATA=tmp_path)
    assert (read.returncode, read.stderr.count("RED_SECRET_KEY is set")) == (2, 1)
    missing = settings(RED_SECRET_KEY_FILE=tmp_path / "nothing", RED_DATA=tmp_path)
    assert missing.returncode == 2
    assert len(missing.stderr.splitlines()) == 1
    assert "RED_SECRET_KEY_FILE" in missing.stderr


def test_a_rotation_says_what_is_in_use_and_needs_a_key_to_begin_with(tmp_path):
    done = settings(RED_DATA=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    load_keys(tmp_path, None, create=True)
    done = settings(RED_DATA=tmp_path)
    assert done.returncode == 0
    assert load_keys(tmp_path, None).current_id in done.stdout


def test_a_role_that_does_not_exist_is_one_line():
    command = [sys.executable, "-m", "red_stats", "worker", "--role", "live,sink"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "'sink'" in done.stderr
