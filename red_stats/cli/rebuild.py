"""`red-stats rebuild`: replays a fold from the log."""

import asyncio
import json
from typing import Any, Literal

from red_stats.cli.base import AdminKey, Json, StatsUrl, app, done_now, fail, run, service_of

Fold = Literal["live", "record", "all"]


@app.command
def rebuild(
    fold: Fold,
    /,
    *,
    key: AdminKey = None,
    url: StatsUrl = None,
    as_json: Json = False,
) -> None:
    """Replay FOLD from the log in the running workers.

    live are counts, alert sequences, subscriptions and answers; record is the statistics store. Everything
    else goes on; views answer from the old state until the new one replaces it.
    """
    from red_common.kafka.audit_log import write
    from red_stats.local.rebuild_client import NotRebuilt
    from red_stats.settings import load

    connection = load().connection
    run(write(connection, [done_now("rebuild", fold)]), connection)
    try:
        found = asyncio.run(_rebuilt(fold, url, key))
    except NotRebuilt as error:
        fail(f"could not rebuild: {error}")
    if as_json:
        print(json.dumps(found))
        return
    for one in found.get("live", {}).get("partitions", ()):
        rows = ", ".join(f"{count} {table}" for table, count in one["rows"].items())
        print(f"live/{one['partition']}  {rows}; {one['changed']} rows were different")
    for table, one in found.get("record", {}).items():
        print(f"{table:<13} {one['rows']} rows replayed, {one['copied']} copied (no longer in Kafka)")


async def _rebuilt(fold: Fold, url: str | None, key: str | None) -> dict[str, Any]:
    from rich.console import Console
    from rich.progress import Progress

    from red_stats.local.rebuild_client import rebuild_live, rebuild_record
    from red_stats.settings import load

    settings = load()
    found: dict[str, Any] = {}
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        tasks: dict[str, Any] = {}

        def on_progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what)
            progress.update(tasks[what], completed=done, total=max(total, 1))

        if fold in ("live", "all"):
            first = service_of(settings, url, settings.stats_url, key, "operator")
            found["live"] = await rebuild_live(settings, *first, on_progress)
        if fold in ("record", "all"):
            found["record"] = await rebuild_record(settings, on_progress)
    return found
