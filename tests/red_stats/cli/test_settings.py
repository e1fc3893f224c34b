"""What `red-stats settings` lists."""

import json
import subprocess
import sys

from red_service.settings import Settings as RedSettings
from red_stats.settings import Settings


def test_every_setting_of_both_services_is_listed_once_with_its_meaning():
    command = [sys.executable, "-m", "red_stats", "settings", "--json"]
    rows = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    names = [row["name"] for row in rows]

    fields = (Settings.model_fields.keys() | RedSettings.model_fields.keys()) - {"crash_at"}
    assert sorted(names) == sorted(f"RED_{field.upper()}" for field in fields)
    assert all(row["help"] for row in rows)
