"""Opening the embedded store: each in a process of its own, since chDB serves one folder per process."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.system  # every test starts processes that open chDB

OPEN = """
import sys
from pathlib import Path
from red_stats.store.clickhouse import Store, StoreError, StoreUnusable
store = Store.in_folder(Path(sys.argv[1]), min_free_bytes=int(sys.argv[2]))
try:
    store.open()
    print("open", flush=True)
    {then}
except (StoreError, StoreUnusable) as error:
    print(type(error).__name__, error)
"""
MUCH = 1 << 60  # bytes; no disk has them


def a_store(folder, min_free, then="pass"):
    return subprocess.Popen(
        [sys.executable, "-c", OPEN.format(then=then), str(folder), str(min_free)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def told(folder, min_free=0, then="pass"):
    out, _ = a_store(folder, min_free, then).communicate(timeout=60)
    return out


def test_no_table_is_made_where_there_is_no_room_and_an_old_store_is_opened_all_the_same(tmp_path):
    new = tmp_path / "new"
    assert "RED_MIN_FREE_BYTES" in told(new, MUCH)
    assert not new.exists()
    assert told(new) == "open\n"
    assert told(new, MUCH) == "open\n"


def test_inserts_keep_the_room_that_the_settings_of_today_ask_for(tmp_path):
    insert = "store.insert('migrations', ('name', 'sha256'), [[['a'], ['b']]], 'token'); print('kept')"
    assert told(tmp_path / "s", 0, insert) == "open\nkept\n"
    assert "enough free space" in told(tmp_path / "s", MUCH, insert)


def test_a_store_that_another_process_has_open_is_told_from_a_damaged_one(tmp_path):
    folder = tmp_path / "s"
    first = a_store(folder, 0, "sys.stdin.read()")
    assert first.stdout.readline() == "open\n"
    assert f"open in another process ({folder})" in told(folder)
    first.communicate()

    [definition] = folder.rglob("alerts.sql")
    definition.write_bytes(b"")
    assert "move the folder away" in told(folder)


MANY_PARTS_REMOVED = """
    import os, time
    def parts():
        [(count,)] = store.query("SELECT count() FROM system.parts WHERE table = 'measurements'")
        return count
    soon = "old_parts_lifetime = 1, cleanup_delay_period = 4, cleanup_delay_period_random_add = 0"
    store.command("ALTER TABLE red.measurements MODIFY SETTING " + soon)
    for word in ("DETACH", "ATTACH"):  # or it would sleep its 30 s first
        store.command(word + " TABLE red.measurements")
    store.command("SYSTEM STOP MERGES red.measurements")  # or some would be removed before there are many
    for number in range(150):
        store.command(f"INSERT INTO red.measurements (client_id) VALUES ('client-{number}')")
    many = parts()
    store.command("SYSTEM START MERGES red.measurements")
    store.command("OPTIMIZE TABLE red.measurements FINAL")
    while parts() > 1:
        time.sleep(0.1)
    threads = len(os.listdir("/proc/self/task"))  # the engine keeps those that it made
    print(many > 120, threads < 60, threads)
"""


def test_removing_hundreds_of_parts_takes_no_thread_for_each(tmp_path):
    assert told(tmp_path / "s", 0, MANY_PARTS_REMOVED).startswith("open\nTrue True")


def test_an_insert_makes_no_file_that_a_kill_would_leave_behind(tmp_path):
    without = "import tempfile; tempfile.NamedTemporaryFile = None"
    insert = "store.insert('migrations', ('name', 'sha256'), [[['a'], ['b']]], 'token'); print('kept')"
    assert told(tmp_path / "s", 0, f"{without}; {insert}") == "open\nkept\n"
