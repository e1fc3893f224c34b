"""`red-stats settings`, `topics`, `doctor`: show and check the configuration."""

import json
import subprocess
import sys
from typing import Any

from red_stats.cli.base import Json, app, fail, run


@app.command
def settings(*, as_json: Json = False) -> None:
    """List all settings (RED_* environment variables) of both services, with defaults and meanings."""
    from red_stats.settings import described

    rows = described()
    shared = {row["name"] for row in rows}
    rows += [row for row in _of_red() if row["name"] not in shared]
    if as_json:
        print(json.dumps(rows, default=str))
        return
    for row in rows:
        default = "unset" if row["default"] is None else row["default"]
        print(f"{row['name']:<34} {default!s:<28.28} {row['help']}")


@app.command
def topics(*, as_json: Json = False) -> None:
    """Create the missing topics and check the existing ones."""
    from red_stats.kafka.topic_admin import TopicMismatch, ensure_topics
    from red_stats.settings import load

    chosen = load()
    work = ensure_topics(
        chosen.connection, chosen.partitions, chosen.replication, chosen.measurements_retention_days
    )
    try:
        done = run(work, chosen.connection)
    except TopicMismatch as error:
        fail(str(error))
    if as_json:
        print(json.dumps([topic._asdict() for topic in done]))
        return
    for topic in done:
        cleanup = "compact" if topic.compact else "delete"
        print(f"{topic.name:<44} {topic.partitions} partitions  {cleanup}")


@app.command
def doctor(*, as_json: Json = False) -> None:
    """Check this machine: Python, Java, Kafka's jars, decoders, reader, store, room, open files, ports."""
    from red_stats.local.doctor import examine
    from red_stats.settings import load

    findings = examine(load())
    if as_json:
        print(json.dumps([finding._asdict() for finding in findings]))
    else:
        for finding in findings:
            print(f"{'ok' if finding.good else 'BAD':<4} {finding.what:<12} {finding.found}")
    if not all(finding.good for finding in findings):
        raise SystemExit(1)


def _of_red() -> list[dict[str, Any]]:
    """RED's own settings, asked of RED in a process, since neither service imports the other."""
    command = [sys.executable, "-m", "red_service", "--settings"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows: list[dict[str, Any]] = json.loads(output)
    return rows
