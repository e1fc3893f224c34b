"""`red-stats measure` and `send`: for people with image files."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from red_stats.cli.base import Json, app, fail, saved_key

if TYPE_CHECKING:
    from red_stats.local.image_sender import Sent


@app.command
def measure(*files: Path, as_json: Json = False) -> None:
    """Print the redness of image files, or of all images in a folder, without any server.

    Exit code 0: all were measured, 1: some could not be measured, 2: could not run.
    """
    if not files:
        fail("no files given: name image files or folders", 2)
    given = ["--json"] if as_json else []
    command = [sys.executable, "-m", "red_service", "measure", *given, *map(str, files)]
    os.execv(sys.executable, command)  # noqa: S606


@app.command
def send(
    *files: Path,
    client_key: Annotated[
        str | None, Parameter(help="API key; default: the demo client's in RED_DATA.")
    ] = None,
    url: Annotated[str | None, Parameter(help="RED's address; default: from RED_HOST and RED_PORT.")] = None,
    concurrency: Annotated[int, Parameter(help="Files sent at the same time.")] = 4,
    as_json: Json = False,
) -> None:
    """Send image files, or all images in a folder, to a running RED.

    Running it again within a day counts nothing twice. Exit code 0: all were measured, 1: some
    could not be measured, 2: could not run.
    """
    from red_stats.local import image_sender

    paths = image_sender.files_in(files)
    if not paths:
        fail("there are no image files: name files or folders", 2)
    if concurrency < 1:
        fail("--concurrency must be at least 1", 2)
    where, key = _target(url, client_key)
    found = asyncio.run(_sent(paths, where, key, concurrency))
    if as_json:
        print(
            json.dumps([{"file": str(one.path), "item": one.item, "problem": one.problem} for one in found])
        )
    else:
        _show(found)
    raise SystemExit(any(one.problem for one in found))


def _target(url: str | None, client_key: str | None) -> tuple[str, str]:
    from red_stats.settings import load

    settings = load()
    instead = "give --client-key, or run `red-stats up` first"
    key = client_key if client_key is not None else saved_key(settings.data, "demo", instead)
    return (url or settings.red_url).rstrip("/"), key


async def _sent(paths: list[Path], url: str, key: str, concurrency: int) -> "list[Sent]":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from red_stats.local import image_sender

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("sending", total=len(paths))
        return await image_sender.send(
            paths, url=url, key=key, concurrency=concurrency, on_sent=lambda one: progress.advance(task)
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
    failed = sum(one.problem is not None for one in found)
    print(f"{len(found) - failed} measured, {failed} failed")
