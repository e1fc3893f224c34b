"""The sink with one rule broken: what the negative controls run. Each must turn the oracle red."""

import uuid

from red_stats.store.sink import Sink


def read_back():
    """An insert that raised nothing counts as recorded."""
    Sink._stands = lambda self, rows, refill: True


def token():
    """No token is ever used twice."""
    before = Sink._insert
    Sink._insert = lambda self, rows, token: before(self, rows, f"{token}/{uuid.uuid4()}")


def part():
    """The new part is not looked at before the acknowledgement."""
    Sink._part_is_whole = lambda self, name: True


def bump():
    """One token for ever: the first form of the protocol, wedged by a kill at the wrong moment."""
    before = Sink._insert
    Sink._insert = lambda self, rows, token: before(self, rows, token.partition("#")[0])


def marks():
    """Where to go on is not asked: from the start."""
    Sink.next_offset = lambda self, partition: None


BREAK = {"read-back": read_back, "token": token, "part": part, "bump": bump, "marks": marks}
