#!/usr/bin/python3
"""Real FTP clients against a real server: what they send arrives whole, what they fetch is what was offered.

Each client is one class in clients.py. A method that a client does not have is a case that does not exist for it; a
client that is not installed is a failure. Files are compared on disk by SHA-256, and every upload with its receipt.

    tests/clients/run.py [--binary target/debug/waybill] [--client NAME]...
"""

import argparse
import contextlib
import ftplib
import hashlib
import os
import socket
import struct
import sys
import tempfile
import time
import traceback
from pathlib import Path

from clients import CLIENTS, MODES, TLS_MODES, expect, library_session, missing

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from appliance import PROJECT, Appliance  # noqa: E402

BIG_BYTES = 40 * 1024 * 1024
UTF8_NAME = "Bestellung Nr 5 – grün ✓.edi"


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Bench:
    """One client with a connector of its own, and the cases it goes through."""

    def __init__(self, appliance, make, folder):
        self.appliance, self.folder, self.mode = appliance, folder, make.mode
        self.user = f"with-{make.name}"
        appliance.add_connector(self.user, *make.settings())
        self.client = make(appliance.port, self.user)
        # The folders exist once the partner was there.
        with self.library() as ftp:
            ftp.voidcmd("NOOP")

    @contextlib.contextmanager
    def library(self):
        """A session of the partner beside the client's own."""
        ftp = library_session(self.mode, self.appliance.port, self.user)
        try:
            yield ftp
        finally:
            ftp.close()

    def file(self, name, size):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
        return path

    def offer(self, name, size):
        """A file in Send, put there by another program."""
        path = self.appliance.place(self.user, "Send") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
        return path

    def stored(self, local, name):
        """The local file arrived whole as Receive/name: on disk and in exactly one receipt that is not replaced."""
        there = self.appliance.place(self.user, "Receive") / name
        expect(there.is_file(), f"Receive/{name} is not on disk")
        expect(digest(there) == digest(local), f"Receive/{name} differs from what was sent")
        end = time.monotonic() + 1
        while True:
            receipts = [row for row in self.appliance.receipts(self.user) if row["path"] == f"/Receive/{name}"]
            live = [row for row in receipts if row["status"] == "in_receive"]
            # What 226 promised is there at once; that the older file is marked replaced follows with the next commit.
            if len(live) == 1 or time.monotonic() > end:
                break
        expect(len(live) == 1, f"{len(live)} receipts of /Receive/{name}: {receipts}")
        expect(live[0]["sha256"] == digest(local), f"the receipt of {name} has another digest")
        tls = live[0]["tls"] or ""
        expect(tls.startswith(self.client.tls), f"the receipt of {name} says {tls or 'no TLS'}")
        expect(bool(tls) == (self.mode in TLS_MODES), f"the receipt of {name} says {tls or 'no TLS'}")
        expect(live[0]["size_bytes"] == local.stat().st_size, f"the receipt of {name} has another size")

    def broken_upload(self, local, name, sent):
        """Leaves an unfinished upload: the connection is reset after `sent` bytes."""
        ftp = library_session(self.mode, self.appliance.port, self.user)
        ftp.voidcmd("TYPE I")
        data = ftp.transfercmd(f"STOR /Receive/{name}")
        data.sendall(local.read_bytes()[:sent])
        time.sleep(0.5)
        reset = struct.pack("ii", 1, 0)
        for connection in (ftp.sock, data):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            connection.close()
        ftp.sock = None
        with self.library() as look:
            look.voidcmd("TYPE I")
            end = time.monotonic() + 20
            while True:
                with contextlib.suppress(ftplib.error_perm):
                    if look.size(f"/Receive/{name}"):
                        break
                expect(time.monotonic() < end, "the broken upload is not shown as unfinished")
                time.sleep(0.1)
        expect(not (self.appliance.place(self.user, "Receive") / name).exists(), "half a file has its final name")

    def case_put(self):
        local = self.file("small.edi", 20_011)
        self.client.put(local, "/Receive/small.edi")
        self.stored(local, "small.edi")

    def case_put_empty(self):
        local = self.file("empty.edi", 0)
        self.client.put(local, "/Receive/empty.edi")
        self.stored(local, "empty.edi")

    def case_put_again(self):
        local = self.file("again.edi", 5_000)
        self.client.put(local, "/Receive/again.edi")
        local = self.file("again.edi", 3_000)
        self.client.put(local, "/Receive/again.edi")
        self.stored(local, "again.edi")

    def case_get(self):
        offered = self.offer("offer.edi", 70_001)
        got = self.folder / "offer.edi"
        self.client.get("/Send/offer.edi", got)
        expect(digest(got) == digest(offered), "what was fetched differs from what was offered")

    def case_get_missing(self):
        try:
            self.client.get("/Send/missing.edi", self.folder / "missing.edi")
        except Exception:  # noqa: BLE001 - each client has its own way to fail
            return
        raise AssertionError("a missing file was fetched")

    def case_list(self):
        self.offer("one.edi", 1)
        self.offer("two words.edi", 2)
        names = self.client.names("/Send")
        expect({"one.edi", "two words.edi"} <= set(names), f"listed {names}")
        root = {name.strip("/@") for name in self.client.names("")}
        expect(root == {"Send", "Receive"}, f"the root holds {root}")

    def case_resume_get(self):
        offered = self.offer("long.edi", 900_000)
        part = self.folder / "long.edi"
        part.write_bytes(offered.read_bytes()[:333_333])
        self.client.resume_get("/Send/long.edi", part)
        expect(digest(part) == digest(offered), "the resumed download differs")

    def case_resume_put(self):
        local = self.file("resumed.edi", 900_000)
        self.broken_upload(local, "resumed.edi", 400_000)
        self.client.resume_put(local, "/Receive/resumed.edi")
        self.stored(local, "resumed.edi")

    def case_rename(self):
        local = self.file("before.edi", 100)
        self.client.put(local, "/Receive/before.edi")
        self.client.rename("/Receive/before.edi", "/Receive/after.edi")
        self.stored(local, "after.edi")
        expect(not (self.appliance.place(self.user, "Receive") / "before.edi").exists(), "the old name is still there")

    def case_temporary_name(self):
        local = self.file("late.edi", 4_000)
        self.client.put(local, "/Receive/late.edi.part")
        paths = [row["path"] for row in self.appliance.receipts(self.user)]
        expect(not any("late" in path for path in paths), "a temporary name has a receipt")
        self.client.rename("/Receive/late.edi.part", "/Receive/late.edi")
        self.stored(local, "late.edi")

    def case_delete(self):
        local = self.file("gone.edi", 100)
        self.client.put(local, "/Receive/gone.edi")
        self.client.delete("/Receive/gone.edi")
        expect(not (self.appliance.place(self.user, "Receive") / "gone.edi").exists(), "the file is still there")

    def case_folder(self):
        self.client.make_folder("/Receive/folder")
        local = self.file("inside.edi", 100)
        self.client.put(local, "/Receive/folder/inside.edi")
        self.stored(local, "folder/inside.edi")

    def case_utf8_name(self):
        local = self.file("utf8.edi", 1_000)
        self.client.put(local, f"/Receive/{UTF8_NAME}")
        self.stored(local, UTF8_NAME)
        if hasattr(self.client, "names"):
            expect(UTF8_NAME in self.client.names("/Receive"), "the name is not listed as it was sent")

    def case_utf8_get(self):
        offered = self.offer(UTF8_NAME, 1_000)
        got = self.folder / "utf8-fetched.edi"
        self.client.get(f"/Send/{UTF8_NAME}", got)
        expect(digest(got) == digest(offered), "what was fetched differs from what was offered")

    def case_big_put(self):
        local = self.file("big.bin", BIG_BYTES)
        self.client.put(local, "/Receive/big.bin")
        self.stored(local, "big.bin")

    def case_big_get(self):
        offered = self.offer("big-offer.bin", BIG_BYTES)
        got = self.folder / "big-offer.bin"
        self.client.get("/Send/big-offer.bin", got)
        expect(digest(got) == digest(offered), "the big download differs")

    def case_put_all(self):
        paths = [self.file(f"many/{number:03}.edi", 500 + number) for number in range(self.client.many)]
        self.client.put_all(self.folder / "many", "/Receive/many")
        for path in paths:
            there = self.appliance.place(self.user, "Receive") / "many" / path.name
            expect(there.is_file() and digest(there) == digest(path), f"{path.name} did not arrive whole")
        receipts = [row["path"] for row in self.appliance.receipts(self.user) if row["path"].startswith("/Receive/many/")]
        expect(len(receipts) == len(set(receipts)) == len(paths), f"{len(receipts)} receipts for {len(paths)} files")

    def case_get_all(self):
        offered = [self.offer(f"many/{number:03}.edi", 700 + number) for number in range(self.client.many)]
        target = self.folder / "fetched"
        self.client.get_all("/Send/many", target)
        for path in offered:
            expect(digest(target / path.name) == digest(path), f"{path.name} was not fetched whole")

    def case_get_pieces(self):
        offered = self.offer("pieces.bin", 8_000_000)
        got = self.folder / "pieces.bin"
        self.client.get_pieces("/Send/pieces.bin", got)
        expect(digest(got) == digest(offered), "the file fetched in pieces differs")

    def case_wrong_password(self):
        expect(self.client.wrong_password(), "a wrong password was not told as such")


NEEDS = {
    "put_again": "put", "put_empty": "put", "get_missing": "get", "list": "names", "temporary_name": "rename",
    "folder": "make_folder", "utf8_name": "put", "utf8_get": "get", "big_put": "put", "big_get": "get",
}


@contextlib.contextmanager
def server(binary, mode):
    """A running appliance. In active mode its only passive port is taken: what comes, comes over active connections."""
    with Appliance(binary, MODES[mode]) as appliance, contextlib.ExitStack() as held:
        if mode == "active":
            taken = held.enter_context(socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True))
            appliance.cli("profile", "set", f"passive_port_range={taken.getsockname()[1]}")
        appliance.start()
        yield appliance
        appliance.stop()


def go_through(appliance, make):
    """All cases of a client; how many passed and how many failed."""
    cases = [name.removeprefix("case_") for name in vars(Bench) if name.startswith("case_")]
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="waybill-client-") as folder:
        bench = Bench(appliance, make, Path(folder))
        for case in cases:
            if not hasattr(bench.client, NEEDS.get(case, case)) or case in bench.client.left_out:
                continue
            begun = time.monotonic()
            try:
                getattr(bench, f"case_{case}")()
            except Exception as error:  # noqa: BLE001 - every case is told
                failed += 1
                print(f"FAIL {make.name} {case}: {error}")
                if not isinstance(error, (AssertionError, RuntimeError)):
                    traceback.print_exc()
            else:
                passed += 1
                print(f"ok   {make.name} {case} ({time.monotonic() - begun:.1f} s)")
            sys.stdout.flush()
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=PROJECT / "target/debug/waybill", type=Path)
    parser.add_argument("--client", action="append", help="only this client (may be repeated)")
    arguments = parser.parse_args()
    wanted = [make for make in CLIENTS if not arguments.client or make.name in arguments.client]
    unknown = set(arguments.client or ()) - {make.name for make in CLIENTS}
    if unknown:
        parser.error(f"no such client: {', '.join(sorted(unknown))}")
    passed = failed = 0
    for mode in MODES:
        here = []
        for make in (make for make in wanted if make.mode == mode):
            if lacking := missing(make):
                failed += 1
                print(f"FAIL {make.name}: not installed: {', '.join(lacking)}")
            else:
                here.append(make)
        if not here:
            continue
        with server(arguments.binary, mode) as appliance:
            results = [go_through(appliance, make) for make in here]
            passed += sum(result[0] for result in results)
            failures = sum(result[1] for result in results)
            failed += failures
            if failures:
                print(f"The server's last lines ({mode}):\n{appliance.tail()}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
