#!/usr/bin/python3
"""A power cut on a disk that forgets: what the server really did is cut off at many places, unsynced steps are lost in
any mixture, and the server is started on what is left.

Three partners' sessions upload at once under strace, which records every step on the data folder and every 226. For each
cut a folder is made that holds what was synced by then, and of the rest whatever a seeded die says: single writes, names
that were given, names that were taken away. On it the real recovery runs. Then, for each cut: every file that 226 was
said for is there, whole, with exactly one receipt; and no file lies under a final name that is not whole and recorded.

    tests/crash/forgetful.py [--binary target/debug/waybill] [--cuts 60] [--seed 1]
"""

import argparse
import collections
import contextlib
import ftplib
import hashlib
import io
import json
import os
import random
import re
import shutil
import sqlite3
import sys
import threading
import time
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from appliance import PASSWORD, PROJECT, Appliance  # noqa: E402

PARTNER = "acme"
SESSIONS = 3
# The third upload of a session replaces its first.
UPLOADS = [("a", 5_000), ("b", 0), ("a", 70_000), ("c", 17), ("d", 300_000)]
TRACED = (
    "openat,creat,mkdir,mkdirat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,fallocate,copy_file_range,fsync,fdatasync,"
    "syncfs,rename,renameat,renameat2,link,linkat,unlink,unlinkat,fsetxattr,setxattr,sendto"
)
SHOWN_WITHIN_S = 30
# SQLite makes it anew from the log; it is written through memory, which no trace shows.
REBUILT = ("waybill.db-shm",)
STRING = r'"((?:\\x[0-9a-f]{2})*)"'
HANDLE = r"(?:AT_FDCWD|\d+)<((?:\\x[0-9a-f]{2})*)>"


def unhex(text):
    return bytes.fromhex(text.replace("\\x", ""))


class Step:
    """One thing that happened: `on` is the inode or folder that a sync makes it last for."""

    def __init__(self, kind, on, *what):
        self.kind, self.on, self.what, self.begun, self.ended = kind, on, what, 0, 0


class Recording:
    """The data folder as the server saw it, and every step that changed it."""

    def __init__(self, top, data):
        self.top = os.fsencode(str(data))
        self.names, self.first, self.steps, self.acknowledged = {}, {}, [], []
        self.count = 0
        self.folder_of = {}
        self._load(top, self.top)

    def _new(self):
        self.count += 1
        return self.count

    def _load(self, path, name):
        """What lay there, on disk, before the recording."""
        node = self._new()
        self.names[name] = node
        if path.is_dir():
            self.first[node] = {}
            for child in sorted(path.iterdir()):
                if child.name not in REBUILT:
                    self.first[node][os.fsencode(child.name)] = self._load(child, name + b"/" + os.fsencode(child.name))
        else:
            self.first[node] = path.read_bytes()
        return node

    def ours(self, path):
        return path == self.top or path.startswith(self.top + b"/")

    def read(self, lines):
        """Calls that others interrupt in the listing are put together again."""
        open_calls = {}
        for at, line in enumerate(lines):
            pid, rest = line.rstrip("\n").split(None, 1)
            if rest.endswith("<unfinished ...>"):
                open_calls[pid] = (at, rest[: -len("<unfinished ...>")].rstrip())
                continue
            begun = at
            if resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", rest):
                begun, head = open_calls.pop(pid, (at, None))
                if head is None:
                    continue
                rest = head + resumed.group(1)
            call = re.match(r"(\w+)\((.*)\)\s*= (-?\d+)(.*)", rest)
            if call and int(call.group(3)) >= 0:
                self.call(call.group(1), call.group(2), int(call.group(3)), (begun, at))

    def step(self, when, kind, on, *what):
        step = Step(kind, on, *what)
        step.begun, step.ended = when
        self.steps.append(step)

    def split(self, path):
        above, _, name = path.rpartition(b"/")
        return self.names[above], name

    def paths(self, arguments):
        """The paths of a call that names a folder's handle and a name beneath it, or a path, once or twice."""
        found = re.findall(rf"(?:{HANDLE}, )?{STRING}", arguments)
        return [os.path.normpath(os.path.join(unhex(folder), unhex(name))) for folder, name in found]

    def call(self, name, arguments, result, when):
        if name == "sendto":
            if sent := re.search(STRING, arguments):
                said = re.match(rb"226 .*receipt ([0-9a-f-]{36})", unhex(sent.group(1)))
                if said:
                    self.acknowledged.append((when[0], said.group(1).decode()))
            return
        if name in ("openat", "creat", "mkdir", "mkdirat", "rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat"):
            paths = self.paths(arguments)
            if paths and all(map(self.ours, paths)):
                self.name_step(name, arguments, paths, when)
            return
        handle = re.match(rf"{HANDLE}", arguments)
        path = unhex(handle.group(1)) if handle else b""
        if not self.ours(path) or path.endswith(tuple(map(os.fsencode, REBUILT))):
            return
        node = self.names.get(path)
        if node is None:
            # It has lost its name: nothing of it can be found after a cut.
            return
        data = re.search(STRING, arguments)
        numbers = [int(one) for one in re.findall(r", (-?\d+)", arguments)]
        match name:
            case "pwrite64":
                self.step(when, "write", node, numbers[-1], unhex(data.group(1))[:result])
            case "ftruncate":
                self.step(when, "size", node, numbers[-1])
            case "fsync" | "fdatasync" | "syncfs":
                self.step(when, "sync", node)
            case "fsetxattr" | "fallocate":
                pass
            case _:
                raise RuntimeError(f"{name} of {path} is a step that this recording does not know")

    def name_step(self, name, arguments, paths, when):
        if any(path.endswith(tuple(map(os.fsencode, REBUILT))) for path in paths):
            return
        if name in ("openat", "creat", "mkdir", "mkdirat"):
            (path,) = paths
            if path not in self.names and ("O_CREAT" in arguments or name != "openat"):
                self.names[path] = node = self._new()
                self.first[node] = {} if name.startswith("mkdir") else b""
                folder, last = self.split(path)
                self.step(when, "name", folder, last, node)
            elif "O_TRUNC" in arguments:
                self.step(when, "size", self.names[path], 0)
        elif name.startswith("unlink"):
            (path,) = paths
            folder, last = self.split(path)
            self.step(when, "drop", folder, last, self.names.pop(path))
        else:
            old, new = paths
            node = self.names[old]
            folder, last = self.split(new)
            self.names[new] = node
            self.step(when, "name", folder, last, node)
            if name.startswith("rename"):
                del self.names[old]
                folder, last = self.split(old)
                self.step(when, "drop", folder, last, node)

    def cut(self, at, die, keep, deaf=False):
        """The disk after a power cut at that line: what was synced, and of the rest what the die leaves. A `deaf` disk hears
        no sync of a folder."""
        happened = [step for step in self.steps if step.begun < at]
        synced = {}
        for step in happened:
            if step.kind == "sync" and step.ended < at and not (deaf and isinstance(self.first[step.on], dict)):
                synced.setdefault(step.on, []).append(step.begun)
        nodes = {node: dict(what) if isinstance(what, dict) else bytearray(what) for node, what in self.first.items()}
        for step in happened:
            if step.kind == "sync":
                continue
            lasts = any(begun > step.ended for begun in synced.get(step.on, ()))
            if not lasts and die.random() >= keep:
                continue
            self.apply(step, nodes[step.on])
        return nodes

    @staticmethod
    def apply(step, node):
        match step.kind:
            case "write":
                offset, data = step.what
                if len(node) < offset:
                    node.extend(bytes(offset - len(node)))
                node[offset : offset + len(data)] = data
            case "size":
                (size,) = step.what
                del node[size:]
                node.extend(bytes(size - len(node)))
            case "name":
                name, what = step.what
                node[name] = what
            case "drop":
                name, what = step.what
                if node.get(name) == what:
                    del node[name]

    def lay_out(self, nodes, folder):
        """Puts that disk into a folder; two names of one file are links. Gives the new inode of each file."""
        placed = {}

        def place(node, path):
            if isinstance(nodes[node], dict):
                path.mkdir(mode=0o700)
                for name, child in nodes[node].items():
                    place(child, path / os.fsdecode(name))
            elif node in placed:
                os.link(placed[node], path)
            else:
                path.write_bytes(nodes[node])
                path.chmod(0o600)
                placed[node] = path

        place(1, folder)
        return {node: path.stat().st_ino for node, path in placed.items()}

    def parts(self):
        """The file of each receipt, by the name that its part had in staging."""
        named = (step.what for step in self.steps if step.kind == "name")
        return {os.fsdecode(name): node for name, node in named if re.fullmatch(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", name)}


def renumber(data, parts, inodes):
    """A disk keeps a file's number over a power cut, which a folder laid out anew cannot: the receipts get the new ones.
    Without it the folder is what a copy to another disk is."""
    known = {receipt: inodes[node] for receipt, node in parts.items() if node in inodes}
    with contextlib.closing(sqlite3.connect(data / "waybill.db")) as db, db:
        db.executemany("UPDATE receipts SET inode = ? WHERE id = ?", [(inode, receipt) for receipt, inode in known.items()])
    journal = data / "receipts.journal"
    bytes_before = journal.read_bytes()
    lines = b"".join(journaled(bytes_before, known))
    journal.write_bytes(lines + bytes(len(bytes_before) - len(lines)))


def journaled(text, known):
    """The whole lines of a journal, with the numbers that are known."""
    for line in text.split(b"\n"):
        checksum, _, rest = line.partition(b" ")
        number, _, cells = rest.partition(b" ")
        if checksum != b"%08x" % zlib.crc32(rest) or not cells:
            return
        cells = json.loads(cells)
        cells["inode"] = known.get(cells["id"], cells["inode"])
        rest = number + b" " + json.dumps(cells, separators=(",", ":")).encode()
        yield b"%08x %s\n" % (zlib.crc32(rest), rest)


def upload_all(appliance, number):
    ftp = ftplib.FTP()
    ftp.connect("127.0.0.1", appliance.port, timeout=60)
    ftp.login(PARTNER, PASSWORD)
    for name, size in UPLOADS:
        ftp.storbinary(f"STOR /Receive/{number}-{name}", io.BytesIO(os.urandom(size)))
    ftp.quit()


def record(appliance, trace):
    """Runs the server under strace, uploads, and kills it; gives the receipts of all uploads."""
    appliance.start("strace", "-f", "-y", "-xx", "-s", "1000000", "-e", f"trace={TRACED}", "-o", str(trace))
    try:
        sessions = [threading.Thread(target=upload_all, args=(appliance, number)) for number in range(SESSIONS)]
        for session in sessions:
            session.start()
        for session in sessions:
            session.join()
        # A receipt is shown once the writer has got to it, some milliseconds after 226 and more under strace.
        deadline = time.monotonic() + SHOWN_WITHIN_S
        while len(receipts := appliance.receipts(PARTNER)) < SESSIONS * len(UPLOADS) and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        strace = appliance.process.pid
        for child in Path(f"/proc/{strace}/task/{strace}/children").read_text().split():
            os.kill(int(child), 9)
        appliance.process.wait()
    if len(receipts) != SESSIONS * len(UPLOADS):
        raise RuntimeError(f"{len(receipts)} receipts of {SESSIONS * len(UPLOADS)} uploads")
    return receipts


def check(appliance, uploads, acknowledged):
    """The promises, from the outside; gives what is broken."""
    wrong = []
    there = {}
    for row in appliance.receipts(PARTNER):
        there.setdefault(row["id"], []).append(row)
    told = collections.Counter(row["receipt_id"] for row in appliance.events("after_receive"))
    for receipt, rows in there.items():
        if told[receipt] != (0 if rows[0]["status"] == "lost" else 1):
            wrong.append(f"{rows[0]['path']} is {rows[0]['status']}, and {told[receipt]} events tell of it")
    files = {f"/Receive/{path.name}": path for path in appliance.place(PARTNER, "Receive").glob("[0-9]*")}
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    for name, digest in digests.items():
        owners = [row for rows in there.values() for row in rows if row["path"] == name and row["status"] == "in_receive"]
        if len(owners) != 1 or owners[0]["sha256"] != digest:
            rows = [(row["id"], row["status"], row["sha256"][:8]) for rows in there.values() for row in rows if row["path"] == name]
            wrong.append(f"{name} ({digest[:8]}) is not whole and recorded once: {rows}")
    for receipt in acknowledged:
        upload = next(row for row in uploads if row["id"] == receipt)
        rows = there.get(receipt, [])
        if len(rows) != 1 or rows[0]["sha256"] != upload["sha256"]:
            wrong.append(f"226 was said for {upload['path']}, and its receipts are {rows}")
        # It, or one that came later under its name.
        later = [row["sha256"] for row in uploads if row["path"] == upload["path"] and row["completed_at"] >= upload["completed_at"]]
        if digests.get(upload["path"]) not in later:
            wrong.append(f"226 was said for {upload['path']}, and the file is {digests.get(upload['path'], 'gone')}")
    return wrong


def go_on(appliance, recording, uploads, at, disk, copied=False):
    """Starts the server on what the cut left; gives what is broken then."""
    shutil.rmtree(appliance.data)
    inodes = recording.lay_out(disk, appliance.data)
    if not copied:
        renumber(appliance.data, recording.parts(), inodes)
    acknowledged = [receipt for when, receipt in recording.acknowledged if when < at]
    try:
        appliance.start()
        wrong = check(appliance, uploads, acknowledged)
        appliance.stop()
    except (RuntimeError, OSError, json.JSONDecodeError) as error:
        wrong = [str(error)]
    if appliance.process.poll() is None:
        appliance.process.kill()
        appliance.process.wait()
    return [f"{words} ({len(acknowledged)} acknowledged)" for words in wrong]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=PROJECT / "target/debug/waybill", type=Path)
    parser.add_argument("--cuts", default=60, type=int)
    parser.add_argument("--seed", default=1, type=int)
    arguments = parser.parse_args()
    die = random.Random(arguments.seed)
    with Appliance(arguments.binary) as appliance:
        appliance.add_connector(PARTNER)
        # Keys and the first certificate are made at the first start.
        appliance.start()
        appliance.stop()
        before = appliance.folder / "before"
        shutil.copytree(appliance.data, before)
        trace = appliance.folder / "trace"
        uploads = record(appliance, trace)
        recording = Recording(before, appliance.data)
        with trace.open(errors="replace") as lines:
            recording.read(lines)
        if len(recording.acknowledged) != len(uploads):
            raise RuntimeError(f"{len(recording.acknowledged)} of {len(uploads)} replies are in the recording")
        # From before the first upload's first byte to after its last 226, at steps rather than at lines.
        first = next(step.begun for step in recording.steps if b"Receive" in b"".join(w for w in step.what if isinstance(w, bytes)))
        places = sorted({step.begun + 1 for step in recording.steps if step.begun >= first})
        last = max(at for at, _ in recording.acknowledged) + 1
        failed = 0
        if not go_on(appliance, recording, uploads, last, recording.cut(last, die, 0, deaf=True)):
            print("FAIL a disk that hears no sync of a folder lost nothing: the check is blind")
            failed += 1
        for number in range(arguments.cuts):
            at = last if number == 0 else die.choice(places)
            keep = die.choice([0, 0.1, 0.5, 0.9, 1])
            copied = die.random() < 0.3
            wrong = go_on(appliance, recording, uploads, at, recording.cut(at, die, keep), copied)
            for words in wrong:
                print(f"FAIL cut {number} at {at}, keeping {keep} of the rest, {copied=}: {words}")
            failed += bool(wrong)
        print(f"{arguments.cuts} cuts, {failed} failed (seed {arguments.seed}, {len(places)} places)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
