"""How well red-1 agrees with what people call red: the 949 names of the xkcd colour survey (CC0).

A name that ends in a word for red must count, one that ends in a word for another colour must not;
names in between (brick, wine, salmon) are free.
"""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from red_service.redness.rule import red_mask

REDS = frozenset(
    ("red", "scarlet", "crimson", "vermillion", "ruby", "carmine", "cherry", "tomato", "blood", "lipstick")
)
OTHERS = frozenset((
    "green", "blue", "pink", "purple", "brown", "yellow", "grey", "orange", "teal", "lime", "violet", "tan",
    "turquoise", "lavender", "magenta", "aqua", "lilac", "cyan", "olive", "beige", "gold", "indigo", "navy",
    "black", "white",
))  # fmt: skip


class Agreement(NamedTuple):
    """Names of red and of other colours, and those that red-1 takes for red."""

    reds: int
    found: int
    others: int
    mistaken: int
    missed: tuple[str, ...]
    wrong: tuple[str, ...]

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        precision, recall = self.found / (self.found + self.mistaken), self.found / self.reds
        return 2 * precision * recall / (precision + recall)


def agreement() -> Agreement:
    """Goes through the names."""
    rows = list(csv.DictReader(Path(__file__).with_name("xkcd.csv").open()))
    red = {row["name"]: _is_red(row["colour"]) for row in rows}
    reds = {name: found for name, found in red.items() if _last(name) in REDS}
    others = {name: found for name, found in red.items() if _last(name) in OTHERS}
    missed = tuple(name for name, found in reds.items() if not found)
    wrong = tuple(name for name, found in others.items() if found)
    return Agreement(len(reds), len(reds) - len(missed), len(others), len(wrong), missed, wrong)


def _last(name: str) -> str:
    return name.replace("/", " ").split()[-1]


def _is_red(colour: str) -> bool:
    planes = (np.array([value], dtype=np.uint8) for value in bytes.fromhex(colour[1:]))
    return bool(red_mask(*planes)[0])


if __name__ == "__main__":
    print(agreement())
