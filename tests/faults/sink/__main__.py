"""`python -m tests.faults.sink`: the sink stopped at every state-changing call of its store.

Writes its table to docs/reliability.md when the page has a place for it. Exit code 1 when a line is
red that must not be, or a control is not.
"""

import argparse
import shlex
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.faults.sink import report
from tests.faults.sink.others import others
from tests.faults.sink.positions import Workshop
from tests.faults.sink.sweeps import CONTROLS, PLAIN, swept

MEMORY = Path("/dev/shm")


def arguments():
    """What was asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.sink", description=__doc__)
    parser.add_argument("names", nargs="*", help="only scenarios with one of these words in their name")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long rivals compete")
    parser.add_argument("--rounds", type=int, default=40, help="how often the small disk is filled")
    parser.add_argument("--folder", type=Path, help="where stores go (default: in memory); kept")
    return parser.parse_args()


def main():
    asked = arguments()
    parent = MEMORY if MEMORY.is_dir() else None
    with (
        tempfile.TemporaryDirectory(prefix="red-sink-", dir=parent, ignore_cleanup_errors=True) as folder,
        ThreadPoolExecutor(2) as pool,
    ):
        workshop = Workshop(asked.folder or Path(folder))
        plays = [(sweep.name, partial(swept, workshop, sweep, pool)) for sweep in (*PLAIN, *CONTROLS)]
        plays += [(play.args[1], play) for play in others(workshop, asked.seconds, asked.rounds)]
        lines = []
        for name, play in plays:
            if not asked.names or any(word in name for word in asked.names):
                lines.append(play())
                print(report.row(lines[-1]), file=sys.stderr, flush=True)
    command = "python -m tests.faults.sink " + shlex.join(sys.argv[1:])
    text = report.table(lines, command.strip())
    print(text)
    if not asked.names:
        report.written(text)
    return 0 if all(line.passed for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
