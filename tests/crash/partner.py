"""What a random partner does over FTP, and what is noted of it: what it was told, and what may come of the rest."""

import collections
import contextlib
import ftplib
import hashlib
import itertools
import random
import re
import socket
import struct
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import NamedTuple

from flows import DELETES, PARTNERS

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from appliance import PASSWORD  # noqa: E402

SESSIONS_EACH = 2
TEMPORARY = ".tmp"
FOLDERS = ("d0", "d1", "d2")
RENAMED_FOLDERS = (*FOLDERS, "e0", "e1")
RECEIPT = re.compile(r"receipt ([0-9a-f-]{36})")
# How often each is done, beside the others.
WEIGHTS = {
    "upload": 30, "upload_temporary": 10, "rename": 18, "delete": 8, "collect": 10, "make_folder": 3, "abort": 6,
    "resume": 6, "append": 4, "fetch": 3, "remove_folder": 1, "upload_slowly": 6,
}
DURING_AN_UPLOAD = ("rename", "delete", "upload", "upload_temporary", "fetch")


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Acknowledged(NamedTuple):
    """An upload that was told to be received. `receipt` is None where a rename received it, whose reply names none."""

    connector: str
    path: str
    sha256: str
    receipt: str | None


class Risk:
    """A command that takes the file away that lay at a path, to whose receipt that is told afterwards."""

    def __init__(self, connector, path, life):
        self.connector, self.name, self.life = connector, path.rpartition("/")[2], life
        self.answered_at = None


class Ledger:
    """What all partners did. Lists are appended to by all of them, which needs no lock; numbers are counted under
    one."""

    def __init__(self, seed):
        self.acknowledged, self.risks, self.failures = [], [], []
        # How often bytes may have become a whole file, by their digest.
        self.tries = collections.Counter()
        self.counts = collections.Counter()
        # The names that each session has used lately, by connector and number.
        self.names = {(name, number): [] for name in PARTNERS for number in range(SESSIONS_EACH)}
        # Several files have the same bytes.
        self.same = [random.Random(seed).randbytes(777), random.Random(seed).randbytes(12)]
        self.lock = threading.Lock()

    def tried(self, data):
        with self.lock:
            self.tries[digest(data)] += 1

    def count(self, what):
        with self.lock:
            self.counts[what] += 1


class Session(ftplib.FTP):
    """All that is said is noted: a failure is understood by it."""

    NUMBERS = itertools.count(1)

    def __init__(self, server, connector):
        super().__init__(timeout=20)
        self.said, self.number = server.said, next(self.NUMBERS)
        self.connect("127.0.0.1", server.port)
        self.login(connector, PASSWORD)
        self.voidcmd("TYPE I")
        # Which process it speaks with.
        self.life = server.life

    def putline(self, line):
        self.said(f"{self.number} > {line}")
        super().putline(line)

    def getmultiline(self):
        line = super().getmultiline()
        self.said(f"{self.number} < {line}")
        return line


class Left(Exception):
    """The partner has left the session without a word."""


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Partner(threading.Thread):
    """One session after the other, until the server says that it is over."""

    def __init__(self, server, ledger, connector, number, seed):
        super().__init__(name=f"{connector}-{number}")
        self.server, self.ledger, self.connector, self.number = server, ledger, connector, number
        self.die = random.Random(f"{seed}-{connector}-{number}")

    def run(self):
        while not self.server.is_over:
            if not self.server.up.wait(0.5):
                continue
            try:
                self.session()
            except (OSError, EOFError, ftplib.Error, Left):
                self.ledger.count("sessions cut off")
                time.sleep(0.05)
            except Exception:  # noqa: BLE001 - a mistake of the test is told with what the server did wrong
                self.ledger.failures.append(traceback.format_exc())
                return

    def session(self):
        with contextlib.closing(Session(self.server, self.connector)) as ftp:
            for _ in range(self.die.randint(1, 30)):
                if self.server.is_over or not self.server.up.is_set():
                    break
                self.operate(ftp, self.die.choices(list(WEIGHTS), list(WEIGHTS.values()))[0])
                # So that what was uploaded is passed along while more comes, rather than all of it later.
                if self.chance(0.3):
                    time.sleep(self.die.uniform(0, 0.4))
            ftp.quit()

    def operate(self, ftp, operation):
        """What is refused is no mistake, and the session goes on; with 421 it cannot."""
        try:
            getattr(self, operation)(ftp)
            self.ledger.count("operations")
        except (ftplib.error_temp, ftplib.error_perm) as error:
            self.ledger.count("refused operations")
            if str(error).startswith("421"):
                raise
            if str(error).startswith("451"):
                time.sleep(0.02)

    # Names and bytes.

    def chance(self, share):
        return self.die.random() < share

    def path(self, temporary=False):
        """Some names of each session are another's too, and most come again."""
        folder = self.die.choice(["", "", *(f"{name}/" for name in FOLDERS)])
        whose = self.number if self.chance(0.6) else "shared"
        number = self.die.randint(0, 12) if self.chance(0.7) else self.die.randint(100, 100_000)
        ending = self.die.choice([".x", ".x", ".y"]) if self.chance(0.97) else ".bad"
        return f"/Receive/{folder}{whose}-{number}{ending}{TEMPORARY if temporary else ''}"

    def new_path(self, temporary=False):
        path = self.path(temporary)
        names = self.ledger.names[self.connector, self.number]
        names.append(path)
        del names[:-12]
        return path

    def used_path(self):
        """One that may be there, of this session or another of the partner."""
        number = self.number if self.chance(0.8) else self.die.randrange(SESSIONS_EACH)
        names = self.ledger.names[self.connector, number][:]
        if not names or self.chance(0.25):
            return self.path(self.chance(0.3))
        path = self.die.choice(names)
        if self.chance(0.8):
            return path
        return path.removesuffix(TEMPORARY) if path.endswith(TEMPORARY) else path + TEMPORARY

    def own_path(self, ending):
        """One that no other session uses."""
        return f"/Receive/{self.number}-{self.die.randint(10**6, 10**9)}{ending}"

    def bytes(self):
        if self.chance(0.06):
            return self.die.choice(self.ledger.same)
        size = self.die.choice([0, 17, 1_000, 5_000, 70_000, 300_000]) if self.chance(0.97) else 2_000_000
        return self.die.randbytes(16 + size)

    # How it is done.

    def risk(self, ftp, path):
        risk = Risk(self.connector, path, ftp.life)
        self.ledger.risks.append(risk)
        return risk

    @contextlib.contextmanager
    def at_risk(self, ftp, path):
        """Until it is answered."""
        risk = self.risk(ftp, path)
        try:
            yield
        except ftplib.Error:
            risk.answered_at = time.monotonic()
            raise
        risk.answered_at = time.monotonic()

    def acknowledge(self, path, data, receipt):
        self.ledger.acknowledged.append(Acknowledged(self.connector, path, digest(data), receipt))

    def finish(self, ftp, path, data):
        """The reply to an upload whose bytes are all sent."""
        # Under a temporary name it has no receipt whose commit tells of the one it takes the place of.
        with self.at_risk(ftp, path) if path.endswith(TEMPORARY) else contextlib.nullcontext():
            found = RECEIPT.search(ftp.voidresp())
        if found:
            self.acknowledge(path, data, found.group(1))

    def store(self, ftp, path, data, whole=None, verb="STOR", rest=None):
        """`whole`: what the file is then, where it is not what is sent."""
        whole = data if whole is None else whole
        self.ledger.tried(whole)
        with ftp.transfercmd(f"{verb} {path}", rest) as connection:
            connection.sendall(data)
        self.finish(ftp, path, whole)

    def move(self, ftp, old, new):
        with self.at_risk(ftp, new):
            ftp.sendcmd(f"RNFR {old}")
            ftp.sendcmd(f"RNTO {new}")

    # What is done.

    def upload(self, ftp):
        self.store(ftp, self.new_path(), self.bytes())

    def upload_temporary(self, ftp):
        path, data = self.new_path(temporary=True), self.bytes()
        self.store(ftp, path, data)
        if self.chance(0.2):
            return
        if self.chance(0.2):
            time.sleep(self.die.random())
        new = path.removesuffix(TEMPORARY) if self.chance(0.7) else self.new_path()
        self.move(ftp, path, new)
        # The other session may have put another file under a shared name.
        if "/shared-" not in path:
            self.acknowledge(new, data, None)

    def rename(self, ftp):
        if self.chance(0.15):
            self.rename_folder(ftp, self.die.choice(RENAMED_FOLDERS))
        else:
            self.move(ftp, self.used_path(), self.new_path(self.chance(0.3)))

    def rename_folder(self, ftp, name):
        self.move(ftp, f"/Receive/{name}", f"/Receive/{self.die.choice([*RENAMED_FOLDERS, 'd1/sub'])}")

    def delete(self, ftp):
        path = self.used_path()
        with self.at_risk(ftp, path):
            ftp.delete(path)

    def make_folder(self, ftp):
        ftp.mkd(f"/Receive/{self.die.choice(FOLDERS)}")

    def remove_folder(self, ftp):
        ftp.rmd(f"/Receive/{self.die.choice(RENAMED_FOLDERS)}")

    def collect(self, ftp):
        names = ftp.nlst("/Send")
        # Lists are asked for in TYPE A.
        ftp.voidcmd("TYPE I")
        self.die.shuffle(names)
        for name in names[:8]:
            with contextlib.suppress(ftplib.error_temp, ftplib.error_perm):
                self.collect_one(ftp, name if name.startswith("/") else f"/Send/{name}")

    def collect_one(self, ftp, path):
        if self.chance(0.15):
            with ftp.transfercmd(f"RETR {path}") as connection:
                connection.recv(100)
            ftp.voidresp()
            return
        ftp.retrbinary(f"RETR {path}", lambda _: None)
        self.ledger.count("collected")
        if self.connector == DELETES:
            ftp.delete(path)

    def fetch(self, ftp):
        ftp.retrbinary(f"RETR {self.used_path()}", lambda _: None)

    def abort(self, ftp):
        """Broken off in one of three ways."""
        data, path = self.bytes(), self.new_path(self.chance(0.3))
        data = data[: self.die.randint(0, len(data))]
        with ftp.transfercmd(f"STOR {path}") as connection:
            connection.sendall(data)
            # Where its end is seen before that of the control connection, it is a whole file.
            self.ledger.tried(data)
            way = self.die.choice(["reset", "reset", "abor", "abor", "leave"])
            if way == "reset":
                reset(connection)
                with contextlib.suppress(ftplib.Error):
                    ftp.voidresp()
                return
            if way == "abor":
                ftp.putcmd("ABOR")
                ftp.getmultiline()
            else:
                if path.endswith(TEMPORARY):
                    self.risk(ftp, path)
                ftp.close()
        if way == "abor":
            # The second of its two replies, if it was not too late for two.
            ftp.sock.settimeout(3)
            with contextlib.suppress(OSError, EOFError):
                ftp.getmultiline()
        raise Left

    def resume(self, ftp):
        """Reset somewhere, and gone on with; a rename may come between."""
        data, path = self.bytes(), self.own_path(self.die.choice([".x", ".x" + TEMPORARY]))
        with ftp.transfercmd(f"STOR {path}") as connection:
            connection.sendall(data[: self.die.randint(0, len(data))])
            time.sleep(0.05)
            reset(connection)
        with contextlib.suppress(ftplib.Error):
            ftp.voidresp()
        if self.chance(0.3):
            with contextlib.suppress(ftplib.error_temp, ftplib.error_perm):
                self.rename(ftp)
        try:
            size = min(ftp.size(path) or 0, len(data))
        except ftplib.error_perm:
            size = 0
        self.store(ftp, path, data[size:], whole=data, rest=size or None)

    def append(self, ftp):
        first, then = self.bytes(), self.die.randbytes(900)
        path = self.own_path(".y")
        self.store(ftp, path, first)
        self.store(ftp, path, then, whole=first + then, verb="APPE")

    def upload_slowly(self, ftp):
        """Its other session does something meanwhile, and renames the folder at times."""
        data, path = self.bytes(), self.new_path(self.chance(0.2))
        middle = len(data) // 2
        self.ledger.tried(data)
        with ftp.transfercmd(f"STOR {path}") as connection:
            connection.sendall(data[:middle])
            with contextlib.closing(Session(self.server, self.connector)) as other:
                for _ in range(self.die.randint(1, 4)):
                    with contextlib.suppress(ftplib.error_temp, ftplib.error_perm):
                        getattr(self, self.die.choice(DURING_AN_UPLOAD))(other)
                folder = path.split("/")[2]
                if folder in FOLDERS and self.chance(0.5):
                    with contextlib.suppress(ftplib.error_temp, ftplib.error_perm):
                        self.rename_folder(other, folder)
            connection.sendall(data[middle:])
        self.finish(ftp, path, data)
