"""What a decoding worker allows an image, and loads before the first one."""

import signal
import subprocess
import sys

import pytest
from PIL import Image

pytestmark = pytest.mark.system
BURN = """
import time
from red_service.decoding.worker import allow_cpu

def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass

for _ in range(6):
    allow_cpu(0.3)
    burn(0.15)
print("good", flush=True)
burn(1)
"""


def test_every_image_gets_the_same_processor_time_whatever_earlier_ones_took():
    done = subprocess.run(
        [sys.executable, "-c", BURN], stdout=subprocess.PIPE, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.returncode) == ("good\n", -signal.SIGPROF)


FIRST = """
import io, mmap, sys
from pathlib import Path
from red_service.redness import kernel
from red_service.decoding.worker import verdict_on, serve

contents = [Path(path).read_bytes() for path in sys.argv[1:]]
assert not kernel.load.cache_info().currsize
serve(io.BytesIO(), mmap.mmap(-1, 1), io.BytesIO(), 1.0)
assert kernel.load.cache_info().currsize
loaded = set(sys.modules)
for content in contents:
    verdict_on(content)
print(sorted(set(sys.modules) - loaded))
"""


def test_the_first_image_of_a_format_waits_for_nothing_to_be_loaded(tmp_path):
    paths = [tmp_path / name for name in ("a.jpg", "a.png", "a.gif", "a.webp", "a.avif")]
    for path in paths:
        Image.new("RGB", (8, 8), (200, 1, 1)).save(path)
    done = subprocess.run(
        [sys.executable, "-c", FIRST, *paths], stdout=subprocess.PIPE, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"
