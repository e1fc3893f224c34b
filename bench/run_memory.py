"""How much more memory a process takes at its peak for one image of 12 million pixels."""

import json
import sys

from bench.pictures import SIZES, photo
from red_service import images


def main(kind: str) -> None:
    width, height = SIZES["12 MP"]
    content = photo(width, height, format=kind)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts anew here
    before = _status("VmRSS")
    images.measure(photo(64, 64, format=kind))
    before = max(before, _status("VmRSS"))
    images.measure(content)
    print(json.dumps({"bytes": (_status("VmHWM") - before) * 1024, "pixels": width * height}))


def _status(name: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main(sys.argv[1])
