#!/usr/bin/python3
"""Real FTP clients against a real server: what they send arrives whole, what they fetch is what was offered.

Each client is one class below; a new one (wget, ncftp, rclone, Net::FTP) is one more class in CLIENTS. A method that a
client does not have is a case that does not exist for it. Files are compared on disk by SHA-256, and every upload with
its receipt.

    tests/clients/run.py [--binary target/debug/waybill] [--client NAME]...
"""

import argparse
import contextlib
import ftplib
import hashlib
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from appliance import PASSWORD, PROJECT, Appliance  # noqa: E402

COMMAND_SECONDS_MAX = 120
BIG_BYTES = 40 * 1024 * 1024
MANY_FILES = 200
UTF8_NAME = "Bestellung Nr 5 – grün ✓.edi"


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def expect(condition, words):
    if not condition:
        raise AssertionError(words)


def run(*command):
    """Runs a client program; its output if it says that all went well."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout


class Curl:
    name = "curl"
    program = "curl"
    # Debian's curl 7.88 sleeps a second before a data connection whenever the reply to EPSV comes at once.
    many = 20

    def __init__(self, port, user):
        self.root = f"ftp://127.0.0.1:{port}"
        self.common = ["curl", "-sS", "--fail", "--max-time", "100", "-u", f"{user}:{PASSWORD}"]

    def url(self, path):
        return self.root + urllib.parse.quote(path)

    def put(self, local, remote):
        run(*self.common, "-T", str(local), self.url(remote))

    def get(self, remote, local):
        run(*self.common, "-o", str(local), self.url(remote))

    def names(self, folder):
        return run(*self.common, "--list-only", self.url(folder + "/")).splitlines()

    def resume_put(self, local, remote):
        run(*self.common, "-C", "-", "-T", str(local), self.url(remote))

    def resume_get(self, remote, local):
        run(*self.common, "-C", "-", "-o", str(local), self.url(remote))

    def rename(self, old, new):
        run(*self.common, "-o", os.devnull, "-Q", f"RNFR {old}", "-Q", f"RNTO {new}", self.url("/Receive/"))

    def delete(self, path):
        run(*self.common, "-o", os.devnull, "-Q", f"DELE {path}", self.url("/Receive/"))

    def make_folder(self, path):
        run(*self.common, "-o", os.devnull, "-Q", f"MKD {path}", self.url("/Receive/"))

    def put_all(self, local_folder, remote_folder):
        names = ",".join(str(path) for path in sorted(local_folder.iterdir()))
        run(*self.common, "--ftp-create-dirs", "-T", "{" + names + "}", self.url(remote_folder + "/"))

    def wrong_password(self):
        command = [*self.common[:-1], self.common[-1] + "x", self.url("/")]
        return subprocess.run(command, capture_output=True, timeout=COMMAND_SECONDS_MAX).returncode == 67


class Lftp:
    name = "lftp"
    program = "lftp"
    many = MANY_FILES

    def __init__(self, port, user):
        self.open = (
            "set cmd:fail-exit yes; set net:max-retries 2; set net:timeout 30; set net:reconnect-interval-base 1; "
            "set ftp:ssl-allow no; set cmd:interactive no; set cmd:trace no; "
            f"open -u {user},'{{}}' -p {port} 127.0.0.1; "
        )

    def script(self, commands, password=PASSWORD):
        return run("lftp", "-c", self.open.format(password) + commands)

    def put(self, local, remote):
        self.script(f'put "{local}" -o "{remote}"')

    def get(self, remote, local):
        self.script(f'get "{remote}" -o "{local}"')

    def names(self, folder):
        return [line.rstrip("/").rsplit("/", 1)[-1] for line in self.script(f'cls -1 "{folder}/"').splitlines()]

    def resume_put(self, local, remote):
        self.script(f'put -c "{local}" -o "{remote}"')

    def resume_get(self, remote, local):
        self.script(f'get -c "{remote}" -o "{local}"')

    def rename(self, old, new):
        self.script(f'mv "{old}" "{new}"')

    def delete(self, path):
        self.script(f'rm "{path}"')

    def make_folder(self, path):
        self.script(f'mkdir "{path}"')

    def put_all(self, local_folder, remote_folder):
        self.script(f'mirror -R --parallel=4 "{local_folder}" "{remote_folder}"')

    def get_all(self, remote_folder, local_folder):
        self.script(f'mirror --parallel=4 "{remote_folder}" "{local_folder}"')

    def wrong_password(self):
        try:
            self.script("set net:max-retries 1; ls", password="not the password")
        except RuntimeError as error:
            return "530" in str(error) or "Login" in str(error)
        return False


class Ftplib:
    name = "ftplib"
    program = None
    many = MANY_FILES

    def __init__(self, port, user):
        self.port, self.user = port, user

    @contextlib.contextmanager
    def session(self, password=PASSWORD):
        ftp = ftplib.FTP(timeout=60, encoding="utf-8")
        ftp.connect("127.0.0.1", self.port)
        try:
            ftp.login(self.user, password)
            yield ftp
            ftp.quit()
        finally:
            ftp.close()

    def put(self, local, remote):
        with self.session() as ftp, open(local, "rb") as file:
            ftp.storbinary(f"STOR {remote}", file)

    def get(self, remote, local):
        with self.session() as ftp, open(local, "wb") as file:
            ftp.retrbinary(f"RETR {remote}", file.write)

    def names(self, folder):
        with self.session() as ftp:
            plain = [name.rsplit("/", 1)[-1] for name in ftp.nlst(folder)]
            facts = [name for name, facts in ftp.mlsd(folder) if facts["type"] in ("file", "dir")]
            expect(sorted(plain) == sorted(facts), f"NLST and MLSD differ: {plain} {facts}")
            return plain

    def resume_put(self, local, remote):
        with self.session() as ftp, open(local, "rb") as file:
            ftp.voidcmd("TYPE I")
            there = ftp.size(remote)
            file.seek(there)
            ftp.storbinary(f"STOR {remote}", file, rest=there)

    def resume_get(self, remote, local):
        with self.session() as ftp, open(local, "ab") as file:
            ftp.retrbinary(f"RETR {remote}", file.write, rest=file.tell())

    def rename(self, old, new):
        with self.session() as ftp:
            ftp.rename(old, new)

    def delete(self, path):
        with self.session() as ftp:
            ftp.delete(path)

    def make_folder(self, path):
        with self.session() as ftp:
            expect(ftp.mkd(path) == path, "257 does not name the folder")

    def put_all(self, local_folder, remote_folder):
        with self.session() as ftp:
            ftp.mkd(remote_folder)
            ftp.cwd(remote_folder)
            for path in sorted(local_folder.iterdir()):
                with path.open("rb") as file:
                    ftp.storbinary(f"STOR {path.name}", file)

    def wrong_password(self):
        try:
            with self.session("not the password"):
                return False
        except ftplib.error_perm as error:
            return str(error).startswith("530")


CLIENTS = [Curl, Lftp, Ftplib]


class Bench:
    """One client with a connector of its own, and the cases it goes through."""

    def __init__(self, appliance, make, folder):
        self.appliance, self.folder = appliance, folder
        self.user = f"with-{make.name}"
        appliance.add_connector(self.user)
        self.client = make(appliance.port, self.user)
        # The folders exist once the partner was there.
        with Ftplib(appliance.port, self.user).session() as ftp:
            ftp.nlst("/Send")

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
        expect(live[0]["size_bytes"] == local.stat().st_size, f"the receipt of {name} has another size")

    def broken_upload(self, local, name, sent):
        """Leaves an unfinished upload: the connection is reset after `sent` bytes."""
        ftp = ftplib.FTP(timeout=60, encoding="utf-8")
        ftp.connect("127.0.0.1", self.appliance.port)
        ftp.login(self.user, PASSWORD)
        ftp.voidcmd("TYPE I")
        data = ftp.transfercmd(f"STOR /Receive/{name}")
        data.sendall(local.read_bytes()[:sent])
        time.sleep(0.5)
        reset = struct.pack("ii", 1, 0)
        for connection in (ftp.sock, data):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            connection.close()
        ftp.sock = None
        with Ftplib(self.appliance.port, self.user).session() as look:
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
        expect(UTF8_NAME in self.client.names("/Receive"), "the name is not listed as it was sent")

    def case_big(self):
        local = self.file("big.bin", BIG_BYTES)
        self.client.put(local, "/Receive/big.bin")
        self.stored(local, "big.bin")
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

    def case_wrong_password(self):
        expect(self.client.wrong_password(), "a wrong password was not told as such")


NEEDS = {
    "put_again": "put", "put_empty": "put", "get_missing": "get", "list": "names", "temporary_name": "rename",
    "folder": "make_folder", "utf8_name": "names", "big": "put",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=PROJECT / "target/debug/waybill", type=Path)
    parser.add_argument("--client", action="append", help="only this client (may be repeated)")
    arguments = parser.parse_args()
    cases = [name.removeprefix("case_") for name in vars(Bench) if name.startswith("case_")]
    passed = failed = 0
    with Appliance(arguments.binary) as appliance:
        appliance.start()
        for make in CLIENTS:
            if arguments.client and make.name not in arguments.client:
                continue
            if make.program and not shutil.which(make.program):
                print(f"skip {make.name}: not installed")
                continue
            with tempfile.TemporaryDirectory(prefix="waybill-client-") as folder:
                bench = Bench(appliance, make, Path(folder))
                for case in cases:
                    if not hasattr(bench.client, NEEDS.get(case, case)):
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
        appliance.stop()
        if failed:
            print(f"The server's last lines:\n{appliance.tail()}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
