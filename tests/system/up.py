"""`red-stats up` in a folder of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.conftest import free_port
from tests.services import a_lower_soft_limit_of_files

ROOT = Path(__file__).resolve().parents[2]


class Up:
    """A supervisor with its output in files; `program` is how the command line is started."""

    def __init__(self, folder, *, program=(sys.executable, "-m", "red_stats"), **settings):
        self.folder, self._program, self._settings = folder, program, settings
        self.ports = {name: free_port() for name in ("RED_PORT", "RED_STATS_PORT", "RED_KAFKA_PORT")}
        scheme = "https" if "RED_TLS_CERT" in settings else "http"
        self.red = f"{scheme}://127.0.0.1:{self.ports['RED_PORT']}"
        self.stats = f"{scheme}://127.0.0.1:{self.ports['RED_STATS_PORT']}"
        self.out, self.err = folder / "out", folder / "err"

    @property
    def environment(self):
        given = {name: str(port) for name, port in self.ports.items()}
        return os.environ | given | {"RED_DATA": str(self.folder / "data")} | self._settings

    @property
    def _cwd(self):
        """Another folder than the repository, where what is installed must do without it."""
        return None if self._program[0] == sys.executable else self.folder

    def start(self, seconds=90):
        with a_lower_soft_limit_of_files(), self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [*self._program, "up"],
                cwd=self._cwd,
                env=self.environment,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        started = time.monotonic()
        while not self.out.read_text().startswith("ready "):
            assert self.process.poll() is None, self.err.read_text()[-2000:]
            assert time.monotonic() - started < seconds, self.err.read_text()[-2000:]
            time.sleep(0.1)
        self.children = self.family()
        return time.monotonic() - started

    def family(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, word):
        mine = psutil.Process(self.process.pid).children()
        return next(one for one in mine if word in " ".join(one.cmdline()))

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(15)

    def command(self, *arguments):
        return subprocess.run(
            [*self._program, *arguments],
            cwd=self._cwd, env=self.environment, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    @property
    def keys(self):
        return json.loads((self.folder / "data" / "keys.json").read_text())
