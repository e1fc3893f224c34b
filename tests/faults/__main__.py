"""`python -m tests.faults`: every scenario, or those named; the long form writes docs/reliability.md."""

import argparse
import asyncio
import json
import logging
import re
import shlex
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from tests.faults.harness import report
from tests.faults.harness.disks import CannotMount
from tests.faults.harness.scenario import Result, all_scenarios, played
from tests.faults.harness.systems import a_system


def arguments(known):
    """What was asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="; ".join(known))
    parser.add_argument("--long", action="store_true", help="every scenario as often as the issue asks")
    parser.add_argument("--times", type=int, help="how often each fault occurs")
    parser.add_argument("--share", type=float, default=1.0, help="of the long form's times, at least once")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--write", action="store_true", help="put single rows into docs/reliability.md")
    parser.add_argument("--folder", type=Path, help="where data and logs go; kept")
    parser.add_argument("--list", action="store_true")
    return parser.parse_args()


def how_often(scenario, asked):
    """The times of the form that was asked for."""
    return max(1, round(scenario.times * asked.share)) if asked.long else max(1, scenario.short)


async def one(scenario, times, seed, folder, *, long):
    """A scenario on a system of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        async with a_system(scenario, folder) as system:
            result, run = await played(scenario, system, times, seed, long=long)
            result.notes.append(f"deaths {system.deaths()}")
    except CannotMount as error:
        return Result(scenario.name, skipped=f"no mounts here ({error})", control=scenario.control)
    except Exception as error:  # a broken scenario is a line of the report too
        verdict = type("Broken", (), {"findings": [repr(error)], "events": 0, "lost": "?", "doubled": "?"})
        verdict.alerts = verdict.again = 0
        return Result(scenario.name, verdict=verdict, known=scenario.known, notes=[repr(error)])
    if not result.passed:
        (folder / "evidence.json").write_text(json.dumps(asdict(run.evidence), default=list))
    return result


async def main():
    """Exit code 1 when anything is red that must not be, or not red that must be."""
    for number in (signal.SIGINT, signal.SIGTERM):  # what was started is stopped
        asyncio.get_running_loop().add_signal_handler(number, asyncio.current_task().cancel)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # that Kafka is away is no news here
    known = all_scenarios()
    asked = arguments(known)
    if asked.list:
        print("\n".join(known))
        return 0
    strangers = [name for name in asked.names if name not in known]
    if strangers:
        print(f"no scenario {strangers[0]!r}: --list tells them", file=sys.stderr)
        return 2
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="red-faults-"))
    results = []
    for number, name in enumerate(asked.names or known):
        times = asked.times or how_often(known[name], asked)
        print(f"{name} x {times} ...", file=sys.stderr, flush=True)
        place = folder / f"{number:02d}-{re.sub('[^a-zA-Z0-9]+', '-', name)}"
        result = await one(known[name], times, asked.seed, place, long=asked.long)
        results.append(result)
        print(report.line(result), flush=True)
        for told in [*result.notes, *(result.verdict.findings if result.verdict else ())]:
            print(f"    {told}"[:600], file=sys.stderr, flush=True)
    command = "python -m tests.faults " + shlex.join(sys.argv[1:])
    text = report.table(results, command.strip(), asked.seed)
    print(text)
    if asked.long and not asked.names:
        report.written(text)
    elif asked.write:
        report.replaced(results, command.strip(), asked.seed)
    return 0 if all(result.passed for result in results) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
