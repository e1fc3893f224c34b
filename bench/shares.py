"""Where the processor time goes: roles live and record at 3 windows, by step and by thread.

Needs py-spy on the PATH (`pip install py-spy`). Steps are shares of the samples in which a Python
thread was running, start left out; the engine's own threads are seen only in the second list.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from bench import events
from bench.counting import settings_of, subscribe
from bench.runs import ROOT, a_broker
from red_common.kafka.connection import KafkaConnection
from red_stats.kafka.topic_admin import ensure_topics
from red_stats.local.ports import free_port

EVENTS = 600_000
RATE = "250"  # samples a second
RUNS = {"live": ("bench.run_live",), "record": ("bench.run_roles", "record")}
# The first step whose word is in any frame of a stack has the sample.
STEPS = (
    ("start", ("create_process", "_find_and_load", "until_ready")),
    ("unpack records that are read one by one", ("domain/record_batches.py",)),
    ("scan the log into columns", ("kafka/scanner.py", "domain/measurement_columns.py")),
    ("decode and check what is read one by one", ("domain/measurements.py", "domain/column_batch.py")),
    ("encode the block", ("store/native_format.py",)),
    ("insert (engine, caller's thread)", ("Store.insert",)),
    ("read the mark back, check the part", ("Sink._stands",)),
    ("count into windows, find alerts", ("domain/counting.py", "domain/windows.py", "domain/alerts.py")),
    (
        "keep and encode changed windows",
        ("tables/windows.py", "faust/loaded_table.py", "kafka/changelog_loader.py"),
    ),
    ("send in transactions", ("aiokafka/producer", "kafka/transactions.py")),
    ("fetch", ("aiokafka/", "asyncio/streams.py", "patches/zero_copy_receive.py")),
    ("agents and tables", ("red_stats/",)),
)


def main() -> None:
    if not shutil.which("py-spy"):
        raise SystemExit("pip install py-spy, and have it on the PATH")
    with a_broker() as (kafka, folder):
        asyncio.run(ensure_topics(KafkaConnection(kafka.bootstrap), events.PARTITIONS))
        subscribe(kafka.bootstrap, folder)
        span = asyncio.run(events.load(kafka.bootstrap, EVENTS, 3, 1)).to_json()
        for role in RUNS:
            _told(role, *_sampled(role, span, kafka.bootstrap, folder))


def _sampled(role: str, span: str, bootstrap: str, folder: Path) -> tuple[Counter[str], dict[str, float]]:
    """Samples by step, and processor seconds by thread."""
    module, *roles = RUNS[role]
    raw = folder / f"{role}.raw"
    spying = ["py-spy", "record", "-r", RATE, "-f", "raw", "-t", "-o", str(raw), "--"]
    done = subprocess.run(
        [*spying, sys.executable, "-m", module, span, *roles],
        cwd=ROOT,
        env=os.environ | settings_of(bootstrap, folder) | {"RED_STATS_PORT": str(free_port())},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    figures = next((line for line in done.stdout.splitlines() if line.startswith('{"seconds"')), None)
    if figures is None:
        raise SystemExit(f"{module} failed: {done.stderr[-2000:]}")
    found: Counter[str] = Counter()
    for line in raw.read_text().splitlines():
        stack, count = line.rsplit(" ", 1)
        found[_step(stack)] += int(count)
    del found["start"]
    return found, json.loads(figures)["threads"]


# Innermost frames of threads that wait, which py-spy cannot always tell from work.
WAITING = ("_start_thread", "_worker", "execute_from_commandline")


def _step(stack: str) -> str:
    if stack.rsplit(";", 1)[1].split(" ")[0].split(".")[-1] in WAITING or "disk_guard.py" in stack:
        return "start"
    if "execute_from_commandline" not in stack and "_bootstrap" not in stack:
        return "start"
    return next((name for name, words in STEPS if any(word in stack for word in words)), "Faust and the loop")


def _told(role: str, steps: Counter[str], threads: dict[str, float]) -> None:
    print(f"role {role}: {sum(steps.values()):,} samples")
    for name, count in steps.most_common():
        print(f"  {name:<36} {count / sum(steps.values()):6.1%}")
    for name, seconds in threads.items():
        if (cost := seconds / EVENTS * 1e6) >= 0.1:
            print(f"    thread {name:<22} {cost:6.2f} us an event")
