"""What a decoding worker allows an image."""

import signal
import subprocess
import sys

BURN = """
import time
from red_service.worker import allow_cpu

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


def test_every_image_has_the_same_processor_time_whatever_those_before_it_took():
    done = subprocess.run(
        [sys.executable, "-c", BURN], stdout=subprocess.PIPE, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.returncode) == ("good\n", -signal.SIGPROF)
