"""The entry point of `red-stats`; the commands are in `red_stats/cli/`."""

from red_stats.cli import checking, keys, looking, running
from red_stats.cli.base import app

__all__ = ["checking", "keys", "looking", "running"]


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
