"""`python -m red_service [--settings | --decoders | measure FILES...]`; an error is one line."""

import asyncio
import json
import logging
import sys

import uvloop

from red_common import failpoints, process_log
from red_common.kafka import patches
from red_service.app import CannotStart, serve
from red_service.decoding import fast_jpeg, fast_webp, pillow
from red_service.local_files import print_measurements
from red_service.redness import kernel
from red_service.servers import serve_together
from red_service.settings import Settings, described, load

USAGE = "usage: python -m red_service [--settings | --decoders | measure [--json] FILES...]"


def main() -> None:
    """Serve, list the settings, name the decoders, or measure files, as the arguments ask."""
    arguments = sys.argv[1:]
    if arguments == ["--settings"]:
        print(json.dumps(described(), indent=2))
    elif arguments == ["--decoders"]:
        jpeg = fast_jpeg.DECODER or f"{pillow.DECODER}, without simplejpeg"
        webp = fast_webp.DECODER or f"{pillow.DECODER}, without its libwebp"
        others = f"PNG, GIF by {pillow.DECODER}"
        print(f"JPEG by {jpeg}; WebP by {webp}; {others}; counted by {kernel.build_and_describe()}")
    elif arguments[:1] == ["measure"] and len(arguments) > 1:
        names = [name for name in arguments[1:] if name != "--json"]
        raise SystemExit(asyncio.run(print_measurements(names, as_json="--json" in arguments)))
    elif arguments[:1] == ["--server"] and len(arguments) == 2:  # as `servers.py` starts it
        settings = load()
        process_log.set_up(settings.log_level, settings.log_format)
        _serve(settings.of_server(arguments[1]))
    elif arguments:
        print(USAGE, file=sys.stderr)
        raise SystemExit(0 if arguments == ["--help"] else 2)
    else:
        settings = load()
        process_log.set_up(settings.log_level, settings.log_format)
        if settings.servers > 1:
            raise SystemExit(asyncio.run(serve_together(settings.servers)))
        _serve(settings)


def _serve(settings: Settings) -> None:
    patches.apply()
    failpoints.arm(settings.crash_at)
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except CannotStart as error:
        print(f"red: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
