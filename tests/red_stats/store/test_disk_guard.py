"""Merges stop well before the disk is full, once, and go on by themselves."""

import os
from types import SimpleNamespace

import pytest

from red_stats.store.disk_guard import DiskGuard

MIN = 100 << 20


class Store:
    def __init__(self):
        self.epoch = 0
        self.commands = []

    def command(self, sql):
        self.commands.append(sql)


@pytest.fixture
def guarded(monkeypatch, tmp_path):
    """`look(free MiB)` gives the commands so far."""
    store = Store()
    guard = DiskGuard(store, tmp_path, MIN)

    def look(mib):
        told = SimpleNamespace(f_bavail=mib, f_frsize=1 << 20)
        monkeypatch.setattr(os, "statvfs", lambda path: told)
        guard.look()
        return store.commands

    return store, look


def test_merges_stop_before_inserts_do_and_go_on_when_there_is_clearly_room(guarded):
    _, look = guarded
    assert look(200) == []
    assert look(149) == ["SYSTEM STOP MERGES"]
    assert look(110) == ["SYSTEM STOP MERGES"]
    assert look(180) == ["SYSTEM STOP MERGES"]
    assert look(201) == ["SYSTEM STOP MERGES", "SYSTEM START MERGES"]


def test_a_store_that_was_opened_again_is_stopped_again(guarded):
    store, look = guarded
    look(120)
    store.epoch += 1
    assert look(120) == ["SYSTEM STOP MERGES"] * 2
