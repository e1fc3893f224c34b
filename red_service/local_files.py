"""`measure FILES...`: the redness of files, without any server."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

from red_common.problems import Problem
from red_service.decoding.pool import DecoderPool
from red_service.problems import Rejected
from red_service.upload import MAX_IMAGE

SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".gif", ".webp")


def found_in(names: Sequence[str]) -> list[Path]:
    """The files named, and the images in the folders named, in order."""
    found: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        else:
            found.append(path)
    return found


async def measured(paths: Sequence[Path]) -> AsyncIterator[dict[str, Any]]:
    """For each file its amounts, or its problem; in the order given."""
    pool = DecoderPool(min(os.cpu_count() or 1, len(paths)))
    await pool.start()
    turn = asyncio.Semaphore(2 * (os.cpu_count() or 1))

    async def one(path: Path) -> dict[str, Any]:
        async with turn:
            try:
                amounts = await pool.measure(await asyncio.to_thread(_content, path))
            except Problem as problem:
                return {"file": str(path), "problem": problem.as_dict()}
            except OSError as error:
                told = {"code": "file_unreadable", "detail": f"{error.strerror or error}."}
                return {"file": str(path), "problem": told}
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
        raise Rejected("image_too_large", f"An image has at most {MAX_IMAGE >> 20} MiB.")
    return path.read_bytes()


async def tell(names: Sequence[str], *, as_json: bool) -> int:
    """Print what was measured, a line a file; 1 if any could not be, 2 if there was none."""
    paths = found_in(names)
    if not paths:
        print("red: no image files there", file=sys.stderr)
        return 2
    failed = 0
    items = []
    async for item in measured(paths):
        failed += "problem" in item
        if as_json:
            items.append(item)
        elif "problem" in item:
            problem = item["problem"]
            print(f"{item['file']}: {problem['code']}: {problem['detail']}", file=sys.stderr, flush=True)
        else:
            size = f"{item['width']}x{item['height']}"
            print(f"{item['red']:7.2%}  {item['format']:<5}{size:>12}  {item['file']}", flush=True)
    if as_json:
        print(json.dumps(items))
    return 1 if failed else 0
