"""Measuring an image beside the limit: libjpeg-turbo that only decodes it, into memory it has."""

import os
import time
from collections.abc import Callable

import simplejpeg

from bench.pictures import SIZES, photo
from bench.run_memory import KINDS
from bench.runs import Rounds, measured, repeated, told
from red_common import c_library
from red_service.decoding import fast_jpeg, fast_webp, image
from red_service.redness import kernel

ROUNDS = 15
SECONDS_A_ROUND = 0.15


def main() -> None:
    c_library.build(kernel.SOURCE)
    os.sched_setaffinity(0, {0})
    for name, size in SIZES.items():
        _speed(name, photo(*size), size)
    for kind in [kind for kind in KINDS if "WebP" in kind]:
        _beside_pillow(kind)
    for kind in KINDS:
        figures = measured("bench.run_memory", kind)
        pixels = figures["pixels"]
        print(f"memory of one {kind} of 12 MP: {figures['bytes'] / pixels:.1f} bytes a pixel", flush=True)
        share = figures["bytes"] / (5 * pixels + (10 << 20))
        told("  memory / (5 B a pixel + 10 MiB)", share, 1, at_least=False)


def _speed(name: str, content: bytes, size: tuple[int, int]) -> None:
    buffer, rounds = bytearray(size[0] * size[1] * 3), Rounds()
    fast = fast_jpeg.simplejpeg

    def one(number: int) -> None:
        for who, work, decoder in (
            ("limit", lambda: simplejpeg.decode_jpeg(content, "RGB", buffer=buffer), fast),
            ("red", lambda: image.measure(content), fast),
            ("fallback", lambda: image.measure(content), None),
        ):
            fast_jpeg.simplejpeg = decoder
            rounds.add(who, _a_second(work))
        fast_jpeg.simplejpeg = fast

    repeated(ROUNDS, one)
    print(f"{name} JPEG, images a second on one core, medians of {ROUNDS} rounds")
    for who in ("limit", "red", "fallback"):
        print(f"  {who:<9} {rounds.median(who):7.1f}")
    told("  red / libjpeg-turbo that only decodes", rounds.ratio("red", "limit"), 0.85)
    told("  without simplejpeg (Pillow, C kernel) / the same", rounds.ratio("fallback", "limit"))


def _beside_pillow(kind: str) -> None:
    """In processor time: Pillow decodes lossy WebP in two threads."""
    content, rounds = photo(*SIZES["2 MP"], **KINDS[kind]), Rounds()
    library = fast_webp.library

    def one(number: int) -> None:
        for who, decoder in (("red", library), ("pillow", None)):
            fast_webp.library = decoder
            rounds.add(who, _a_second(lambda: image.measure(content), time.process_time))
        fast_webp.library = library

    repeated(ROUNDS, one)
    print(f"{kind} of 2 MP: {rounds.median('red'):.1f} images a processor second")
    told("  red / the same decoded by Pillow", rounds.ratio("red", "pillow"), 1)


def _a_second(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """How often it can be done in a second."""
    done, start = 0, clock()
    while (spent := clock() - start) < SECONDS_A_ROUND or not done:
        work()
        done += 1
    return done / spent
