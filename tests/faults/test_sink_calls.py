"""The sink's fault tests in their short form: a sample of call positions, rivals, and that they can turn red.

`python -m tests.faults.sink` stops at every call.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.faults.sink import others, rules
from tests.faults.sink.positions import Workshop
from tests.faults.sink.sweeps import FOLDER, GAP, Sweep

SAMPLE = {
    "kill at the gap": Sweep("", "insert", "kill", only=GAP),
    "kill in the middle of a token": Sweep("", "insert", "half", only=r"deduplication_log"),
    "a swallowed write": Sweep("", "insert", "once", only=r"^write .*count.txt"),
    "a swallowed write of data": Sweep("", "insert", "once", only=r"^write .*data.bin"),
    "a failed rename, more on top": Sweep("", "insert", "once", only=GAP, extra=(("more", True),)),
    "an error after the rename": Sweep("", "insert", "once", only=FOLDER),
    "an error after the rename, others read": Sweep(
        "", "insert", "once", only=FOLDER, extra=(("readers", 3),)
    ),
    "no room from the first call on": Sweep("", "insert", "on", only=r"^mkdir"),
    "first insert, kill at the gap": Sweep("", "insert", "kill", upto=0, only=GAP),
    "merge, kill at the rename": Sweep("", "merge", "kill", only=GAP),
    "merge, a swallowed write": Sweep("", "merge", "once", only=r"^write .*count.txt", may_fall=True),
}
CONTROLS = {
    "no read-back": Sweep("", "insert", "kill", broken="read-back", only=GAP),
    "no token": Sweep("", "insert", "once", broken="token", only=FOLDER),
    "no look at the part": Sweep("", "insert", "once", broken="part", only=r"^write .*count.txt"),
}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    return Workshop(tmp_path_factory.mktemp("sink"))


@pytest.fixture(scope="module")
def played(workshop):
    """All of them at once, on as many cores as there are for tests: name -> what comes of it."""
    workshop.base("30", upto=30)
    workshop.base("0", upto=0)
    calls = {}
    for sweep in (SAMPLE["kill at the gap"], SAMPLE["first insert, kill at the gap"],
                  SAMPLE["merge, kill at the rename"]):  # fmt: skip
        calls[sweep.do, sweep.upto] = workshop.census(sweep.base(workshop), do=sweep.do)
    with ThreadPoolExecutor(2) as pool:
        futures = {
            name: pool.submit(played_first, workshop, sweep, calls[sweep.do, sweep.upto])
            for name, sweep in (SAMPLE | CONTROLS).items()
        }
        futures |= {name: pool.submit(play) for name, play in the_others(workshop).items()}
        yield futures


def played_first(workshop, sweep, calls):
    """Stop it at the first call that it names; its findings."""
    at = next(at for at, call in enumerate(calls, 1) if re.search(sweep.only, call))
    position = workshop.position(sweep.base(workshop), sweep.mode, at, **sweep.asked)
    assert re.search(sweep.only, position.call or ""), position
    return sweep.judged(position)


def the_others(workshop):
    return {
        "rivals": partial(others.race, workshop, "", 1.5),
        "months": partial(others.race, workshop, "", 1.5, step=others.HOUR_MS),
        "rivals without a token": partial(others.race, workshop, "", 1.5, broken="token"),
        "hole": partial(others.hole, workshop, ""),
        "zombie": partial(others.zombie, workshop, ""),
    }


@pytest.mark.parametrize("name", SAMPLE)
def test_what_is_stopped_ends_exact(played, name):
    assert played[name].result() == []


@pytest.mark.parametrize("name", CONTROLS)
def test_a_broken_rule_turns_it_red(played, name):
    assert played[name].result() != []


@pytest.mark.parametrize("name", ["rivals", "months"])
def test_rivals_record_each_offset_once(played, name):
    line = played[name].result()
    assert line.exact, line.notes


def test_rivals_without_a_token_turn_it_red(played):
    assert played["rivals without a token"].result().doubled > 0


def test_a_mark_that_fell_hides_no_hole(played):
    line = played["hole"].result()
    assert line.exact, line.notes


def test_a_zombie_past_the_window_adds_nothing(played):
    line = played["zombie"].result()
    assert line.exact, line.notes


def a_table(*batches):
    """Rows as they are read: good ones and the marker of each batch."""
    table = []
    for first, last, offsets in batches:
        table += [(offset, "a", offset, first, len(offsets)) for offset in offsets]
        table.append((last, "", 0, first, len(offsets)))
    return table


WANTED = {offset: ("a", offset) for offset in range(6)}
WHOLE = [(0, 2, [0, 1, 2]), (3, 5, [3, 4, 5])]


def test_the_oracle_is_content_with_a_whole_table():
    assert rules.judged(a_table(*WHOLE), WANTED).findings == []


@pytest.mark.parametrize(
    ("table", "finding"),
    [
        (a_table(WHOLE[0]), "lost"),
        (a_table(*WHOLE, WHOLE[1]), "doubled"),
        (a_table(WHOLE[0], (4, 5, [3, 4, 5])), "hole"),
        (a_table(WHOLE[0], (2, 5, [3, 4, 5])), "overlap"),
        (a_table(WHOLE[0], (3, 5, [3, 4])), "lost [5]"),
        ([(offset, "b", bp, *more) for offset, _, bp, *more in a_table(*WHOLE)][:3], "other amounts"),
        (a_table(*WHOLE)[:2] + a_table(*WHOLE)[3:], "says 3 rows, has 2"),
        (a_table(*WHOLE, (6, 6, [6])), "never in the log"),
    ],
)  # fmt: skip
def test_the_oracle_sees(table, finding):
    assert finding in " ".join(rules.judged(table, WANTED).findings)
