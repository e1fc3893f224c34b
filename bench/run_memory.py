"""How much more memory a process takes at its peak for one image of 12 million pixels."""

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from bench.pictures import SIZES, photo
from red_service.decoding import image

_LOSSLESS = {"format": "WEBP", "lossless": True, "method": 0, "quality": 20, "noise": 2}  # below 20 MiB
KINDS: dict[str, dict[str, Any]] = {
    "JPEG": {"format": "JPEG"},
    "PNG": {"format": "PNG"},
    "WebP": {"format": "WEBP"},
    "WebP with alpha": {"format": "WEBP", "alpha": True},
    "lossless WebP": _LOSSLESS,
    "lossless WebP with alpha": {**_LOSSLESS, "alpha": True},
}


def main(kind: str) -> None:
    width, height = SIZES["12 MP"]
    with ProcessPoolExecutor(1) as elsewhere:  # an encoder leaves memory behind, which would be taken again
        content = elsewhere.submit(photo, width, height, **KINDS[kind]).result()
        small = elsewhere.submit(photo, 64, 64, **KINDS[kind]).result()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts anew here
    before = _status("VmRSS")
    image.measure(small)
    before = max(before, _status("VmRSS"))
    image.measure(content)
    print(json.dumps({"bytes": (_status("VmHWM") - before) * 1024, "pixels": width * height}))


def _status(name: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main(sys.argv[1])
