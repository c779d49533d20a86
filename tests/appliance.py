"""A Waybill process on a temporary data folder and free loopback ports, for the tests written in Python."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PASSWORD = "correct horse battery"
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 45


def free_port(*taken):
    """A port that nobody has, below those the system hands out by itself: no data connection takes it meanwhile. `taken`
    are spoken for, though nobody listens there yet."""
    first, count = 30_100, 2_000
    for step in range(count):
        port = first + (os.getpid() + step) % count
        if port in taken:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("0.0.0.0", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port")


class Appliance:
    """Use it as a context: it is stopped and its folder removed at the end."""

    def __init__(self, binary, settings=("require_tls=none",)):
        self.binary = str(Path(binary).resolve())
        self.folder = Path(tempfile.mkdtemp(prefix="waybill-test-"))
        self.data = self.folder / "data"
        self.log = self.folder / "log.txt"
        self.process = None
        self.port = free_port()
        # The same one when it begins anew by itself.
        self.web_port = free_port(self.port)
        self.cli("profile", "set", f"port={self.port}", *settings)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _environment(self):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WAYBILL_")}
        return {**kept, "WAYBILL_DATA": str(self.data)}

    def cli(self, *arguments, typed=""):
        """Runs a verb that must succeed; gives what it printed."""
        done = subprocess.run(
            [self.binary, *arguments], env=self._environment(), input=typed, capture_output=True, text=True, timeout=60
        )
        if done.returncode != 0:
            raise RuntimeError(f"waybill {' '.join(arguments)}: status {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def add_connector(self, name, *pairs):
        self.cli("connector", "add", name, f"password={PASSWORD}", "send_settle_s=0", *pairs)

    def program(self, name, lines):
        """A shell script where Commands find their programs; from the next start on there are Commands."""
        folder = self.folder / "programs"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{lines}\n")
        (folder / name).chmod(0o755)

    def receipts(self, connector):
        text = self.cli("receipts", "--json", "--connector", connector)
        return [json.loads(line) for line in text.splitlines()]

    def events(self, kind):
        return [json.loads(line) for line in self.cli("events", "--json", "--kind", kind).splitlines()]

    def place(self, connector, folder):
        """A connector's Send or Receive on disk."""
        return self.data / "partners" / connector / folder

    def start(self, *under):
        """Starts it, under another command if one is given, and waits until it answers."""
        log = self.log.open("ab")
        commands = ["--commands", self.folder / "programs"] if (self.folder / "programs").is_dir() else []
        self.process = subprocess.Popen(
            [*under, self.binary, "serve", "--web", f"127.0.0.1:{self.web_port}", *commands],
            env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )
        end = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                self.web = re.search(r"web interface answers at (\S+?)\.?\n", self.cli("health") + "\n").group(1)
                return
            except RuntimeError as error:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"it did not start: {error}\n{self.tail()}") from error
                time.sleep(0.1)

    def stop(self):
        """Asks it to stop; it must end by itself with status 0."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=STOP_SECONDS_MAX)
        if status != 0:
            raise RuntimeError(f"it ended with status {status}\n{self.tail()}")

    def tail(self, lines=40):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def setup_code(self):
        """The one-time code that the first start prints."""
        found = re.search(r"set-?up code[^:\n]*:\s*(\S+)", self.log.read_text(errors="replace"), re.IGNORECASE)
        if not found:
            raise RuntimeError(f"no set-up code was printed\n{self.tail()}")
        return found.group(1)
