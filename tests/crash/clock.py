#!/usr/bin/python3
"""The clock is set while the real server runs: an hour ahead, a year ahead, and back. Nothing waits for as long as it was
ahead, and nothing is lost.

    tests/crash/clock.py [--binary target/debug/waybill]

The system's clock stays: a library that is loaded into the server adds to what it is told, as many seconds as stand in a file
(`clock.c`). Times of files are the system's; so a server whose clock is behind finds files from a time that is yet to come,
as it does after its clock was set back.
"""

import argparse
import ftplib
import http.server
import io
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from appliance import PASSWORD, PROJECT, Appliance  # noqa: E402

HOUR = 3_600
YEAR = 365 * 24 * HOUR
SETTLE_S, RETRY_S = 2, 4
# A pause of the server's own, and a slow machine.
SOON_S = 25


class Clocked(Appliance):
    """One whose clock can be set."""

    def __init__(self, *arguments):
        self.shift = self.shim = None
        super().__init__(*arguments)
        self.shim, self.shift = self.folder / "clock.so", self.folder / "shift"
        source = Path(__file__).resolve().with_name("clock.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", self.shim, source], check=True)
        self.shift.write_bytes(struct.pack("q", 0))

    def set_clock(self, ahead_s):
        with self.shift.open("r+b") as file:
            file.write(struct.pack("q", ahead_s))

    def _environment(self):
        shim = {"LD_PRELOAD": str(self.shim), "CLOCK_SHIFT": str(self.shift)} if self.shift else {}
        return {**super()._environment(), **shim}


class Webhook(http.server.BaseHTTPRequestHandler):
    """Takes what is posted, or not, as `says` has it."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.asked += 1
        self.send_response(self.server.says)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def within(seconds, what, is_so):
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.1)


class Run:
    def __init__(self, appliance, hook):
        self.appliance, self.hook = appliance, hook

    def partner(self, name):
        ftp = ftplib.FTP(encoding="utf-8", timeout=SOON_S)
        ftp.connect("127.0.0.1", self.appliance.port)
        ftp.login(name, PASSWORD)
        ftp.voidcmd("TYPE I")
        return ftp

    def set_up(self):
        self.appliance.cli("settings", "set", "webhook_networks=127.0.0.0/8", f"delivery_retry_first_s={RETRY_S}")
        self.appliance.start()
        self.appliance.add_connector("acme", f"settle_s={SETTLE_S}")
        self.appliance.cli("connector", "set", "acme", f"send_settle_s={SETTLE_S}")
        self.appliance.add_connector("named", "local_file_scheme=stored-%Filename%")
        url = f"url=http://127.0.0.1:{self.hook.server_port}/"
        self.appliance.cli("connector", "add", "hook", "type=webhook", url)
        self.appliance.cli("flow", "connect", "acme", "hook")

    def asked(self, what, says):
        """Waits until the webhook was asked once more; gives how often it was in all."""
        self.hook.says, before = says, self.hook.asked
        within(SOON_S, what, lambda: self.hook.asked > before)

    def deliveries(self, ahead_s):
        acme = self.partner("acme")
        self.appliance.set_clock(ahead_s)
        acme.storbinary("STOR /Receive/made.edi", io.BytesIO(b"made while it was ahead"))
        # The server looks at its clock each second.
        time.sleep(1.5)
        self.appliance.set_clock(0)
        self.asked("a file of when the clock was ahead is passed along", 200)
        self.appliance.set_clock(ahead_s)
        acme.storbinary("STOR /Receive/tried.edi", io.BytesIO(b"tried while it was ahead"))
        self.asked("a file is passed along while the clock is ahead", 500)
        time.sleep(1.5)
        self.appliance.set_clock(0)
        self.asked("what failed while the clock was ahead is tried again", 200)
        passed = lambda: all(one["status"] == "passed_along" for one in self.appliance.receipts("acme"))  # noqa: E731
        within(SOON_S, "both are passed along", passed)

    def upload_over_it(self, back_s):
        named, name = self.partner("named"), f"/Receive/over-{back_s}.edi"
        data = named.transfercmd(f"STOR {name}")
        data.sendall(b"before ")
        time.sleep(0.3)
        self.appliance.set_clock(-back_s)
        data.sendall(b"after")
        data.close()
        named.voidresp()
        size = named.size(name)
        assert size == 12, f"the partner is shown {size} bytes of {name}"
        self.appliance.set_clock(0)

    def put_into_send(self):
        acme = self.partner("acme")
        self.appliance.place("acme", "Send").joinpath("price.csv").write_text("1")
        self.appliance.set_clock(-HOUR)
        served = lambda: acme.nlst("/Send") == ["/Send/price.csv"]  # noqa: E731
        assert not served(), "it may still be written"
        within(SOON_S, "a file in Send from a time to come is served", served)
        acme.retrbinary("RETR /Send/price.csv", lambda _: None)
        self.appliance.set_clock(0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default=PROJECT / "target/debug/waybill")
    arguments = parser.parse_args()
    settings = ("listen_address=127.0.0.1", "require_tls=none", "ftp_over_tls=none")
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as hook,
        Clocked(arguments.binary, settings) as appliance,
    ):
        hook.asked, hook.says = 0, 200
        threading.Thread(target=hook.serve_forever, daemon=True).start()
        run = Run(appliance, hook)
        run.set_up()
        for ahead_s in (HOUR, YEAR):
            run.deliveries(ahead_s)
            run.upload_over_it(ahead_s)
        run.put_into_send()
        appliance.stop()
        hook.shutdown()
    print("Nothing waited for the clock, nothing was lost")


if __name__ == "__main__":
    main()
