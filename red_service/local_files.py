"""`measure FILES...`: measures local files, without a server, Kafka or image store."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

from red_common.image_files import image_files
from red_common.problems import Problem
from red_service.decoding.pool import DecoderPool, WorkerDied
from red_service.problems import Rejected
from red_service.upload import MAX_IMAGE

INTERRUPTED: Final = 130  # the exit code after Ctrl-C, as of a process that dies of it


async def measurements(paths: Sequence[Path]) -> AsyncIterator[dict[str, Any]]:
    """For each file, in the order given, its amounts as a JSON-ready object, or its problem.

    Shares are in 0..1. At most two files per processor are in memory at a time.
    """
    pool = DecoderPool(min(os.cpu_count() or 1, len(paths)))
    await pool.start()
    slots = asyncio.Semaphore(2 * (os.cpu_count() or 1))

    async def one(path: Path) -> dict[str, Any]:
        async with slots:
            try:
                amounts = await pool.measure(await asyncio.to_thread(_content, path), patient=True)
            except Problem as refused:
                return {"file": str(path), "problem": refused.as_dict()}
            except OSError as error:
                problem = {"code": "file_unreadable", "detail": f"{error.strerror or error}."}
                return {"file": str(path), "problem": problem}
        return {
            "file": str(path),
            "red": amounts.red_bp / 10000,
            "red_pixels": amounts.red_pixels,
            "pixels": amounts.pixels,
            "red_excess": amounts.red_excess_bp / 10000,
            "red_channel": amounts.red_channel_bp / 10000,
            "format": amounts.format,
            "width": amounts.width,
            "height": amounts.height,
            "rule": amounts.rule,
        }

    try:
        for task in [asyncio.create_task(one(path)) for path in paths]:
            yield await task
    finally:
        await pool.stop()


def _content(path: Path) -> bytes:
    if path.stat().st_size > MAX_IMAGE:
        raise Rejected("image_too_large", f"An image may have at most {MAX_IMAGE >> 20} MiB.")
    return path.read_bytes()


async def print_measurements(names: Sequence[str], *, as_json: bool) -> int:
    """Prints one line per file and a sum, or one JSON array.

    What is not measured goes to stderr, with its reason. Ctrl-C ends it with what was done until then.

    Returns:
        The exit code: 0, or 1 if any file could not be measured, 2 if there are no files or no decoders, 130
        after Ctrl-C.
    """
    paths, skipped = image_files([Path(name) for name in names])
    for path, why in skipped:
        print(f"{path}: skipped: {why}", file=sys.stderr)
    if not paths:
        print("red: no image files found", file=sys.stderr)
        return 2
    items: list[dict[str, Any]] = []
    interrupted = False
    try:
        async for item in measurements(paths):
            items.append(item)
            if not as_json:
                _print(item)
    except asyncio.CancelledError:
        interrupted = True
    except (WorkerDied, TimeoutError) as error:
        print(f"red: the decoders do not start: {error}", file=sys.stderr)
        return 2
    if as_json:
        print(json.dumps(items))
    refused = sum("problem" in item for item in items)
    said = f"{len(items) - refused} measured, {refused} refused, {len(skipped)} skipped"
    if interrupted:
        said = f"red: interrupted: {said}, {len(paths) - len(items)} not measured"
    print(said, file=sys.stderr if as_json or interrupted else sys.stdout)
    return INTERRUPTED if interrupted else 1 if refused else 0


def _print(item: dict[str, Any]) -> None:
    if "problem" in item:
        problem = item["problem"]
        print(f"{item['file']}: {problem['code']}: {problem['detail']}", file=sys.stderr, flush=True)
    else:
        size = f"{item['width']}x{item['height']}"
        print(f"{item['red']:7.2%}  {item['format']:<5}{size:>12}  {item['file']}", flush=True)
