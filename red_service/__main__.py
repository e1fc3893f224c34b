"""`python -m red_service [--settings]`: one line and a non-zero exit code for every error."""

import asyncio
import json
import logging
import sys

import uvloop

from red_service.app import CannotStart, serve
from red_service.settings import described, load


def main() -> None:
    """Serve, or list the settings."""
    arguments = sys.argv[1:]
    if arguments == ["--settings"]:
        print(json.dumps(described(), indent=2))
        return
    if arguments:
        print("usage: python -m red_service [--settings]", file=sys.stderr)
        raise SystemExit(0 if arguments == ["--help"] else 2)
    settings = load()
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except CannotStart as error:
        print(f"red: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
