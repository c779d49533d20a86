#!/usr/bin/python3
"""Random partners against the real server, which is killed, fails and is set up anew all the while; then, what must
hold.

forgetful.py lets the disk forget, behind few and plain uploads. Here the disk forgets nothing, but everything happens
at once: sessions of six partners upload, resume, append, rename, delete, collect and break off under names that
collide; what they upload is passed along by arrows, into Folders, to each other and to a webhook; an administrator
changes settings, turns connectors off, removes them and takes arrows away; the process is killed, or a step of it
fails. It finds what comes of combinations that nobody has thought of. Partners note what they were told; when nothing
is under way any more, each invariant of invariants.py is looked at, and once more after another start.

    tests/crash/partners.py [--binary target/debug/waybill] [--seed 1] [--seconds 20] [--no-kills] [--keep]

The binary is one with fault points (feature `faults`); without them the process is killed from outside only.

A seed says what each partner does in which order, and what happens around it; threads and the machine say when. So
the same seed makes nearly the same run, and never quite. A failure that does not come again may do so after some
tries, or in more seconds. Its folder is kept: data, the server's log, and said.txt, which has everything said over
FTP (time, number of the session, direction), every change of settings and every fault.
"""

import argparse
import contextlib
import hashlib
import http.server
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from flows import ALL, ARROWS, COLLECTORS, LIVE_SETTINGS, PARTNERS, REMOVED, to_add, to_let_through
from invariants import Found, broken, waiting
from partner import SESSIONS_EACH, Ledger, Partner

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from appliance import PROJECT, Appliance  # noqa: E402

PROFILE = (
    "listen_address=127.0.0.1", "require_tls=none", "ftp_over_tls=none", "disk_reserve=1 MiB",
    "block_after_failures=10000", "sessions_per_address_max=1000",
)
SETTINGS = (
    "delivery_retries=2", "delivery_retry_first_s=1", "delivery_retry_longest_s=2", "webhook_networks=127.0.0.0/8",
)
POINTS = (
    "part_made", "sync_part", "part_synced", "committed", "held", "renamed", "sync_folder", "folder_synced",
    "collected", "sent_copied", "sent_named", "sent_removed", "pass_staged", "pass_recorded", "pass_named",
    "pass_synced", "pass_tried", "pass_ended", "pass_left",
)
FAULTS = ("kill", "kill", "eio", "enospc")
FAULT_SHARE = 0.6
# Of what the webhook is posted. Each costs its lane a second or two.
REFUSED_SHARE = 0.2
# What happens around the partners, and how often beside the others.
UNREST = {
    "kill": 12, "change_a_setting": 18, "turn_off_and_on": 8, "remove_and_add": 5, "take_an_arrow_away": 10,
    "nothing": 47,
}
DELIVERED_SECONDS_MAX = 120
SETTLED_SECONDS_MAX = 10


class Webhook(http.server.BaseHTTPRequestHandler):
    """Takes what is posted, and says no at times all the same, as long as it `refuses`."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.got.append(hashlib.sha256(body).hexdigest())
        self.send_response(500 if self.server.refuses and self.server.die.random() < REFUSED_SHARE else 200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def diary(path):
    """Gives what writes a line, and when, to a file; for all threads."""
    lock = threading.Lock()

    def said(line):
        with lock:
            file.write(f"{time.time():.3f} {line}\n")

    with path.open("w") as file:
        yield said


@contextlib.contextmanager
def webhook(seed):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
        server.got, server.die, server.refuses = [], random.Random(seed), True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


class Server:
    """The process, one life after the other. `said` takes a line of what happens."""

    def __init__(self, appliance, said):
        self.appliance, self.port, self.said = appliance, appliance.port, said
        self.up = threading.Event()
        self.is_over = False
        self.life = 0
        # When it was killed, by the number of the life.
        self.deaths = {}

    def start(self, fault=None):
        """Gives whether it lives: an armed fault may end it before it answers."""
        self.life += 1
        try:
            self.appliance.start(*(("env", f"WAYBILL_FAULT={fault}") if fault else ()))
        except RuntimeError:
            if fault and self.has_ended():
                return False
            raise
        threading.Thread(target=self.note_end, args=(self.appliance.process, self.life), daemon=True).start()
        self.up.set()
        return True

    def note_end(self, process, life):
        if process.wait() == -signal.SIGKILL:
            self.deaths[life] = time.monotonic()

    def has_ended(self):
        return self.appliance.process.poll() is not None

    def kill(self):
        self.up.clear()
        self.appliance.process.kill()
        self.appliance.process.wait()

    def stop(self):
        self.up.clear()
        self.appliance.stop()


class Run:
    """One seed."""

    def __init__(self, arguments, appliance, hook, said):
        self.arguments, self.appliance, self.hook, self.said = arguments, appliance, hook, said
        self.die = random.Random(arguments.seed)
        self.ledger = Ledger(arguments.seed)
        self.server = Server(appliance, said)

    def cli(self, *arguments):
        """What is refused now is so because of what happened before; gives whether it was not."""
        try:
            self.appliance.cli(*arguments)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            self.said(f"refused: {error}")
            return False
        self.said(f"waybill {' '.join(arguments)}")
        return True

    def to_add(self, name):
        return ["connector", "add", *to_add(name, self.hook.server_address[1])]

    def fault(self):
        if self.arguments.no_kills or self.die.random() >= FAULT_SHARE:
            return None
        self.ledger.count("faults")
        fault = f"{self.die.choice(POINTS)}:{self.die.choice(FAULTS)}:{self.die.choice([1, 2, 3, 5, 9, 20])}"
        self.said(f"starts with {fault}")
        return fault

    def start_somehow(self):
        while not self.server.start(self.fault()):
            self.ledger.count("killed by a fault")

    # What happens around the partners.

    def kill(self):
        if not self.arguments.no_kills:
            self.server.kill()
            self.ledger.count("kills")
            self.start_somehow()

    def change_a_setting(self):
        key = self.die.choice(list(LIVE_SETTINGS))
        # To others nothing is passed along.
        names = COLLECTORS if key == "allowed_files_filter" else list(PARTNERS)
        self.cli("connector", "set", self.die.choice(names), f"{key}={self.die.choice(LIVE_SETTINGS[key])}")

    def turn_off_and_on(self):
        name = self.die.choice(ALL)
        self.cli("connector", "set", name, "enabled=off", "--anyway")
        time.sleep(self.die.random())
        self.cli("connector", "set", name, "enabled=on")

    def remove_and_add(self):
        name = self.die.choice(REMOVED)
        if self.cli("connector", "remove", name, "--anyway"):
            time.sleep(self.die.random())
        self.cli(*self.to_add(name))
        for arrow in (arrow for arrow in ARROWS if name in arrow):
            self.cli("flow", "connect", *arrow)

    def take_an_arrow_away(self):
        arrow = self.die.choice(ARROWS)
        self.cli("flow", "disconnect", *arrow[:2])
        time.sleep(self.die.random() / 2)
        self.cli("flow", "connect", *arrow)

    def nothing(self):
        pass

    def unrest(self):
        end = time.monotonic() + self.arguments.seconds
        while time.monotonic() < end:
            time.sleep(self.die.uniform(0.05, 0.8))
            if self.server.has_ended():
                self.server.up.clear()
                self.ledger.count("killed by a fault")
                self.start_somehow()
                continue
            what = self.die.choices(list(UNREST), list(UNREST.values()))[0]
            getattr(self, what)()

    def operate(self):
        """Partners and unrest, until the seconds are over."""
        self.start_somehow()
        sessions = [(name, number) for name in PARTNERS for number in range(SESSIONS_EACH)]
        partners = [Partner(self.server, self.ledger, *session, self.arguments.seed) for session in sessions]
        for partner in partners:
            partner.start()
        try:
            self.unrest()
        finally:
            self.server.is_over = True
            for partner in partners:
                partner.join()

    # What must hold.

    def look(self):
        end = time.monotonic() + DELIVERED_SECONDS_MAX
        while waiting(self.appliance.data) and time.monotonic() < end:
            time.sleep(0.5)
        end = time.monotonic() + SETTLED_SECONDS_MAX
        while True:
            wrong = broken(Found(self.appliance, self.ledger, self.server.deaths, self.hook.got))
            if not wrong or time.monotonic() > end:
                return wrong
            time.sleep(0.5)

    def judge(self):
        """Ends the last process that partners had, and looks at what the next two make of it."""
        if self.server.has_ended():
            self.ledger.count("killed by a fault")
        elif self.arguments.no_kills:
            self.server.stop()
        else:
            self.server.kill()
            self.ledger.count("kills")
        self.hook.refuses = False
        for name in ALL:
            self.cli("connector", "set", *to_let_through(name))
        self.server.start()
        wrong = self.look()
        self.server.stop()
        self.server.start()
        time.sleep(1)
        wrong += [f"after another start: {words}" for words in self.look() if words not in wrong]
        self.server.stop()
        return wrong

    def go(self):
        """Gives what is wrong."""
        self.appliance.cli("settings", "set", *SETTINGS)
        for name in ALL:
            self.appliance.cli(*self.to_add(name))
        for arrow in ARROWS:
            self.appliance.cli("flow", "connect", *arrow)
        try:
            self.operate()
            wrong = self.judge()
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            # It did not start or did not stop; the rest cannot be looked at.
            wrong = [str(error)]
        return [*wrong, *(f"a partner of this test failed: {failure}" for failure in self.ledger.failures)]

    def summary(self):
        counts = self.ledger.counts
        return (
            f"seed {self.arguments.seed}: {len(self.ledger.acknowledged)} uploads acknowledged, "
            f"{counts['kills']} kills, {counts['faults']} faults armed ({counts['killed by a fault']} killed it), "
            f"{counts['operations']} operations ({counts['refused operations']} more refused), "
            f"{counts['collected']} files collected"
        )


def keep(appliance):
    """The folder gets a name under which it is not removed."""
    if appliance.process and appliance.process.poll() is None:
        appliance.process.kill()
        appliance.process.wait()
    kept = Path(tempfile.mkdtemp(prefix="waybill-partners-"))
    return appliance.folder.rename(kept)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=PROJECT / "target/debug/waybill", type=Path)
    parser.add_argument("--seed", default=1, type=int)
    parser.add_argument("--seconds", default=20, type=float)
    parser.add_argument("--no-kills", action="store_true", help="no kills and no faults")
    parser.add_argument("--keep", action="store_true", help="keep the folder though nothing is wrong")
    arguments = parser.parse_args()
    with Appliance(arguments.binary, PROFILE) as appliance, webhook(arguments.seed) as hook:
        with diary(appliance.folder / "said.txt") as said:
            run = Run(arguments, appliance, hook, said)
            wrong = run.go()
        print(f"{run.summary()}; {len(wrong)} wrong")
        for words in wrong:
            print(f"WRONG {words}")
        if wrong or arguments.keep:
            print(f"All of it is in {keep(appliance)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
