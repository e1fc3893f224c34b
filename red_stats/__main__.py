"""The command line `red-stats`: one line and a non-zero exit code for every error."""

import asyncio
import json
import sys
from typing import Annotated, Literal, NoReturn

from cyclopts import App, Parameter

app = App(name="red-stats", help="RED_STATS: counts, thresholds and alerts of the red in images.")
Json = Annotated[bool, Parameter(name="--json", help="Machine-readable output.")]


def fail(text: str, code: int = 1) -> NoReturn:
    """One line on stderr, and out."""
    print(f"red-stats: {text}", file=sys.stderr)
    raise SystemExit(code)


@app.command
def settings(*, as_json: Json = False) -> None:
    """List every setting (RED_* environment variables) with its default and meaning."""
    from red_stats.settings import described

    rows = described()
    if as_json:
        print(json.dumps(rows, default=str))
        return
    for row in rows:
        default = "unset" if row["default"] is None else row["default"]
        print(f"{row['name']:<34} {default!s:<28.28} {row['help']}")


@app.command
def topics(*, as_json: Json = False) -> None:
    """Create the missing topics and check the existing ones."""
    from aiokafka.errors import KafkaError

    from red_stats import topics as catalogue
    from red_stats.settings import load

    chosen = load()
    try:
        done = asyncio.run(
            catalogue.ensure_topics(
                chosen.bootstrap,
                chosen.partitions,
                chosen.replication,
                chosen.measurements_retention_days,
            )
        )
    except catalogue.TopicMismatch as error:
        fail(str(error))
    except (KafkaError, OSError) as error:
        fail(f"Kafka at {chosen.bootstrap} cannot be reached (set RED_KAFKA): {error}", 2)
    if as_json:
        print(json.dumps([topic._asdict() for topic in done]))
        return
    for topic in done:
        cleanup = "compact" if topic.compact else "delete"
        print(f"{topic.name:<44} {topic.partitions} partitions  {cleanup}")


@app.command
def worker(*, role: Literal["live", "deliver", "record", "all"] = "all") -> None:
    """Run a role, or all three, until told to stop (SIGTERM or Ctrl-C)."""
    from red_stats.adapters.secret_box import SecretKeyError, load_key
    from red_stats.app import ROLES
    from red_stats.settings import load
    from red_stats.worker import run_worker

    chosen = load()
    try:
        load_key(chosen.data, chosen.secret_key, create=True)
        run_worker(chosen, ROLES if role == "all" else (role,))
    except SecretKeyError as error:
        fail(str(error), 2)


def main() -> None:
    """The entry point of `red-stats`."""
    app()


if __name__ == "__main__":
    main()
