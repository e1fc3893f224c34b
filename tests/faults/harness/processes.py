"""Programs under test that are started again when they die, as a supervisor would."""

import os
import signal
import subprocess
import threading

RESTART_SECONDS = 0.2
STOP_SECONDS = 6  # as a supervisor, which then kills


class Kept:
    """One program, kept running by a thread until `stop`; `deaths` are the exit codes so far."""

    def __init__(self, name, command, environment, log, url=None):
        self.name = name
        self.url = url
        self.log = log
        self.deaths = []
        self.keep = True  # False: a death is noted, and nothing is started
        self._command, self._environment = command, environment
        self._ending = threading.Event()
        self.start()
        self._thread = threading.Thread(target=self._watch, name=f"keep {name}", daemon=True)
        self._thread.start()

    def start(self, **changes):
        """Start it, once with other settings."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                env=os.environ | self._environment | changes,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def signal(self, number):
        """Send a signal to the process as it is now."""
        self.process.send_signal(number)

    def restart(self, **changes):
        """End it in order and start it, once with other settings."""
        keep, self.keep = self.keep, False
        self._end()
        self.start(**changes)
        self.keep = keep

    def stop(self, seconds=STOP_SECONDS):
        """End it in order, for good."""
        self._ending.set()
        self._end(seconds)
        self._thread.join(5)

    @property
    def is_running(self):
        """Whether there is a process."""
        return self.process.poll() is None

    @property
    def is_paused(self):
        """Whether SIGSTOP holds it."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "T"

    def _end(self, seconds=STOP_SECONDS):
        if not self.is_running:
            return
        self.signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _watch(self):
        seen = None
        while not self._ending.wait(0.05):
            process = self.process
            code = process.poll()
            if code is None or process is seen:
                continue
            if not self.keep:
                continue
            seen = process
            self.deaths.append(code)
            if not self._ending.wait(RESTART_SECONDS) and self.process is process:
                self.start()
