"""The entry point of `red-stats`; the commands are in `red_stats/cli/`."""

import os
import sys

from red_service import header_keys
from red_stats.cli import checking, images, keys, looking, operating, rebuilding, running
from red_stats.cli.base import app

__all__ = ["checking", "images", "keys", "looking", "operating", "rebuilding", "running"]


def main() -> None:
    """Run the command line; whoever reads its output may stop before the end."""
    header_keys.accept_any()
    try:
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the flush at exit is no error
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
