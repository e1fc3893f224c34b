"""`python -m red_service [--settings | --decoders | measure FILES...]`; an error is one line.

What a command needs is loaded inside it, so that Ctrl-C finds somebody who answers from the start.
"""

import os
import sys

USAGE = "usage: python -m red_service [--settings | --decoders | measure [--json] FILES...]"


def main() -> None:
    """Serve, list the settings, name the decoders, or measure files, as the arguments ask."""
    try:
        _run(sys.argv[1:])
    except KeyboardInterrupt:
        print("red: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:  # whoever reads the output may stop before the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the flush at exit is no error
        raise SystemExit(1) from None


def _run(arguments: list[str]) -> None:
    if arguments == ["--settings"]:
        _print_settings()
    elif arguments == ["--decoders"]:
        _print_decoders()
    elif arguments[:1] == ["measure"] and len(arguments) > 1:
        names = [name for name in arguments[1:] if name != "--json"]
        raise SystemExit(_measure(names, as_json="--json" in arguments))
    elif arguments[:1] == ["--server"] and len(arguments) == 2:  # as `servers.py` starts it
        _serve(arguments[1])
    elif arguments:
        print(USAGE, file=sys.stderr)
        raise SystemExit(0 if arguments == ["--help"] else 2)
    else:
        _serve()


def _print_settings() -> None:
    import json

    from red_service.settings import described

    print(json.dumps(described(), indent=2))


def _print_decoders() -> None:
    from red_service.decoding import fast_jpeg, fast_webp, fences, heic, pillow
    from red_service.redness import kernel

    jpeg = fast_jpeg.DECODER or f"{pillow.DECODER}, without simplejpeg"
    webp = fast_webp.DECODER or f"{pillow.DECODER}, without its libwebp"
    others = f"PNG, GIF by {pillow.DECODER}; AVIF by {pillow.AVIF_DECODER}"
    heif = heic.DECODER or "nothing, without the extra red-stats[heic]"
    counted = kernel.build_and_describe()
    print(
        f"JPEG by {jpeg}; WebP by {webp}; {others}; HEIC by {heif}; counted by {counted}; {fences.put_up()}"
    )


def _measure(names: list[str], *, as_json: bool) -> int:
    import asyncio

    from red_service.local_files import print_measurements

    return asyncio.run(print_measurements(names, as_json=as_json))


def _serve(server: str | None = None) -> None:
    """Serves RED's port, alone or as the server of that number."""
    import asyncio
    import logging

    import uvloop

    from red_common import failpoints, open_files, process_log
    from red_common.kafka import patches
    from red_service.app import CannotStart, serve
    from red_service.servers import serve_together
    from red_service.settings import load

    settings = load()
    os.umask(0o077)  # what is written is for this user alone
    open_files.raise_limit()
    process_log.set_up(settings.log_level, settings.log_format)
    if server is not None:
        settings = settings.of_server(server)
    elif settings.servers > 1:
        raise SystemExit(asyncio.run(serve_together(settings.servers)))
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
