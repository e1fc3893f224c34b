"""`red-stats verify`: checks that everything folded from the log agrees with the log."""

import json
import sys
from collections.abc import Callable

from red_stats.cli.base import Json, app, fail, run, time_from


@app.command
def verify(
    *,
    client: str | None = None,
    from_: str | None = None,
    to: str | None = None,
    as_json: Json = False,
) -> None:
    """Compare the log with ClickHouse, live counts, alerts and deliveries.

    Exit code 0: equal, 1: different, 2: could not run.
    """
    from red_stats.local.store import store_opened
    from red_stats.replay.verify import verify as compare
    from red_stats.replay.verify_scope import CouldNotRun, Scope
    from red_stats.settings import load
    from red_stats.store.clickhouse import StoreError, StoreUnusable

    settings = load()
    scope = Scope(client, time_from("--from", from_), time_from("--to", to))
    try:
        with store_opened(settings) as store:
            report = run(compare(settings, store, scope, say=_progress()), settings.connection)
    except (CouldNotRun, StoreError, StoreUnusable) as error:
        fail(f"could not verify: {error}", 2)
    if as_json:
        print(json.dumps(report))
    else:
        _show(report)
    raise SystemExit(0 if report["equal"] else 1)


def _progress() -> Callable[[str], None]:
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        return lambda text: None
    status = console.status("verifying")
    status.start()
    return status.update


def _show(report: dict[str, object]) -> None:
    print(f"log         {report['log']} measurements\nclickhouse  {report['clickhouse']}")
    print(f"live        {report['live']} in its windows, {report['log_in_windows']} in the log for them")
    for one in report["subscriptions"]:  # type: ignore[attr-defined]
        print("subscription " + "  ".join(f"{name} {value}" for name, value in one.items()))
    for one in report["differences"]:  # type: ignore[attr-defined]
        print(f"DIFFERENT {json.dumps(one)}", file=sys.stderr)
    print("equal" if report["equal"] else "DIFFERENT")
