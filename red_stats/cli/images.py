"""`red-stats measure` and `send`: for people with image files."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from red_stats.cli.base import ClientKey, Json, app, fail, service_of

if TYPE_CHECKING:
    from red_common.web.trust import Trust
    from red_stats.local.image_sender import Sent


@app.command
def measure(*files: Path, as_json: Json = False) -> None:
    """Print the redness of image files, or of all images in a folder, without any server.

    Exit code 0: all were measured, 1: some could not be measured, 2: could not run, 130: interrupted.
    """
    if not files:
        fail("no files given: name image files or folders", 2)
    given = ["--json"] if as_json else []
    command = [sys.executable, "-m", "red_service", "measure", *given, *map(str, files)]
    os.execv(sys.executable, command)  # noqa: S606


@app.command
def send(
    *files: Path,
    client_key: ClientKey = None,
    url: Annotated[str | None, Parameter(help="RED's address; default: from RED_HOST and RED_PORT.")] = None,
    concurrency: Annotated[int, Parameter(help="Files sent at the same time.")] = 4,
    as_json: Json = False,
) -> None:
    """Send image files, or all images in a folder, to a running RED.

    Running it again within a day counts nothing twice. Exit code 0: all were measured, 1: some
    could not be measured, 2: could not run, or the key is refused, 130: interrupted.
    """
    from red_common.image_files import image_files
    from red_stats.local.image_sender import KeyRefused
    from red_stats.settings import load

    paths, skipped = image_files(files)
    for path, why in skipped:
        print(f"{path}: skipped: {why}", file=sys.stderr)
    if not paths:
        fail("there are no image files: name files or folders", 2)
    if concurrency < 1:
        fail("--concurrency must be at least 1", 2)
    settings = load()
    where, key, trusted = service_of(settings, url, settings.red_url, client_key)
    found: list[Sent] = []
    try:
        in_order = asyncio.run(_sent(paths, where, key, trusted, concurrency, found.append))
    except KeyRefused as refused:
        fail(
            f"RED at {where} refuses the key: {refused} {_sum(found)}, {len(paths) - len(found)} not sent", 2
        )
    except KeyboardInterrupt:
        rest = f"{len(paths) - len(found)} not sent; run it again to go on, nothing is counted twice"
        fail(f"interrupted: {_sum(found)}, {rest}", 130)
    if as_json:
        rows = [{"file": str(one.path), "item": one.item, "problem": one.problem} for one in in_order]
        print(json.dumps(rows))
    else:
        _show(in_order)
        print(_sum(found) + (f", {len(skipped)} skipped" if skipped else ""))
    raise SystemExit(any(one.problem for one in found))


async def _sent(
    paths: list[Path],
    url: str,
    key: str,
    trusted: "Trust",
    concurrency: int,
    on_sent: "Callable[[Sent], None]",
) -> "list[Sent]":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from red_stats.local import image_sender

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("sending", total=len(paths))

        def sent(one: "Sent") -> None:
            progress.advance(task)
            on_sent(one)

        return await image_sender.send(
            paths, url=url, key=key, trusted=trusted, concurrency=concurrency, on_sent=sent
        )


def _show(found: "list[Sent]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("red", "file", "image_id", box=None, header_style="bold")
    for one in found:
        if one.item is not None:
            table.add_row(f"{one.item['red']:.2%}", str(one.path), one.item["image_id"])
        elif one.problem is not None:
            table.add_row("-", str(one.path), f"{one.problem['code']}: {one.problem['detail']}")
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _sum(found: "list[Sent]") -> str:
    failed = sum(one.problem is not None for one in found)
    return f"{len(found) - failed} measured, {failed} failed"
