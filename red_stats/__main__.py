"""The entry point of `red-stats`; the commands are in `red_stats/cli/`."""

import os
import sys

from red_common.kafka import patches
from red_stats.cli import (
    audit,
    erase,
    export,
    images,
    keys,
    operate,
    rebuild,
    receivers,
    run,
    secrets,
    show,
    sql,
    verify,
)
from red_stats.cli.base import app

__all__ = [
    "audit", "erase", "export", "images", "keys", "operate", "rebuild", "receivers", "run", "secrets", "show",
    "sql", "verify",
]  # fmt: skip


def main() -> None:
    """Run the command line; whoever reads its output may stop before the end."""
    patches.apply()
    try:
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the flush at exit is no error
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
