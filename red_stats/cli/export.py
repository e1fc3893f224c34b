"""`red-stats export`: all images of a client in a range of time, as a file."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final, Literal, NotRequired, TypedDict

from cyclopts import Parameter

from red_stats.cli.base import ClientKey, StatsUrl, app, fail, service_of

if TYPE_CHECKING:
    from aiohttp import ClientResponse

    from red_common.web.trust import Trust

CONTENT_TYPES: Final = {"csv": "text/csv", "jsonl": "application/jsonl"}  # of the images
SILENT_SECONDS: Final = 120  # after which the connection is given up


class _Counted(TypedDict):
    images: int
    over: NotRequired[int]


@app.command
def export(
    *,
    since: Annotated[str, Parameter(name="--from", help="The first moment.")] = "1970-01-01T00:00:00Z",
    until: Annotated[
        str, Parameter(name="--to", help="The moment behind the last.")
    ] = "9999-12-31T23:59:59Z",
    over: Annotated[float | None, Parameter(help="Only images with more red than this, 0 to 1.")] = None,
    order: Annotated[Literal["oldest", "newest"], Parameter(help="What comes first.")] = "oldest",
    form: Annotated[Literal["csv", "jsonl"], Parameter(name="--format")] = "csv",
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="A file; default: stdout.")
    ] = None,
    client: Annotated[str | None, Parameter(help="Another client, with a key of the scope admin.")] = None,
    client_key: ClientKey = None,
    url: StatsUrl = None,
) -> None:
    """Write all images of a client, one a line, as they are recorded when it begins.

    A file appears under its name when it is whole. Exit code 0: it is whole, 1: it is not, 2: could not run,
    130: interrupted.
    """
    from aiohttp import ClientError

    from red_stats.local.answers import OddAnswer
    from red_stats.settings import load

    settings = load()
    where, key, trusted = service_of(settings, url, settings.stats_url, client_key)
    range_ = {"from": since, "to": until} | ({} if client is None else {"client": client})
    more = {} if over is None else {"over": str(over)}
    given = range_ | more | {"order": order, "format": form}
    counted = range_ | ({} if over is None else {"threshold": str(over)})
    partial = None if output is None else output.with_name(f"{output.name}.part")
    try:
        with _opened(partial) as file:
            asyncio.run(_export(file, where, key, trusted, counted, given))
        if partial is not None and output is not None:
            partial.replace(output)
    except OddAnswer as refused:
        fail(f"RED_STATS at {where} refuses: {refused}", 2)
    except (ClientError, TimeoutError) as error:
        fail(f"not all came from {where}: {error or 'it is silent'}; run it again")
    except BrokenPipeError:
        raise
    except OSError as error:
        fail(f"it cannot be written: {error}")
    except KeyboardInterrupt:
        fail("interrupted: not all was written", 130)
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def _opened(path: Path | None) -> AbstractContextManager[BinaryIO]:
    return nullcontext(sys.stdout.buffer) if path is None else path.open("wb")


async def _export(
    file: BinaryIO,
    url: str,
    key: str,
    trusted: "Trust",
    counted: Mapping[str, str],
    given: Mapping[str, str],
) -> None:
    from aiohttp import ClientSession, ClientTimeout
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from red_stats.local.answers import OddAnswer, content, reason

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    timeout = ClientTimeout(sock_connect=5, sock_read=SILENT_SECONDS)
    headers = {"Authorization": f"Bearer {key}"}
    async with ClientSession(headers=headers, timeout=timeout, trust_env=False) as session:

        @asynccontextmanager
        async def got(path: str, parameters: Mapping[str, str]) -> "AsyncIterator[ClientResponse]":
            async with session.get(f"{url}{path}", params=parameters, ssl=trusted) as answer:
                if answer.status != 200:
                    raise OddAnswer(reason(answer.status, await answer.read()))
                yield answer

        async with got("/v1/statistics", counted) as answer:
            found = content(answer.status, await answer.read(), _Counted)
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task("images", total=found.get("over", found["images"]))
            async with got("/v1/measurements", given) as answer:
                if answer.content_type != CONTENT_TYPES[given["format"]]:
                    raise OddAnswer(reason(answer.status, b""))
                async for piece in answer.content.iter_any():
                    file.write(piece)
                    progress.advance(task, piece.count(b"\n"))
        file.flush()
