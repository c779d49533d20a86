#!/usr/bin/python3
"""Fills a database with receipts, events, transfers and refusals, and measures how long the pages take.

    tests/pages/measure.py [--receipts 1000000] [--binary target/release/waybill] [--limit-ms 50] [--keep FOLDER]

Each page is asked for many times over one connection; the 95th of a hundred must stay below the limit. The export must not
need more memory the more rows there are. The figures of a debug build say nothing about those of a release.
"""

import argparse
import http.client
import http.cookies
import random
import re
import shutil
import sqlite3
import sys
import time
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from appliance import PROJECT, Appliance  # noqa: E402

DAY_US = 24 * 3600 * 1_000_000
CONNECTORS = 40
STEP = 20_000
REPEATS = 40
ADMINISTRATOR = "mira"
ADMINISTRATOR_PASSWORD = "a long enough secret"
EXPORT_GROWTH_KB_MAX = 24 * 1024
SEED = 20_260_317


def made_id(at_us, number):
    """A UUID of version 7 for that moment; equal numbers give equal ids."""
    text = f"{at_us // 1000:012x}7{number % 4096:03x}8{number:015x}"
    return "-".join([text[:8], text[8:12], text[12:16], text[16:20], text[20:]])


def rows(count, chance, until_us):
    """Receipts over the last 90 days, evenly; a few connectors have most of them."""
    span = 90 * DAY_US
    for number in range(count):
        at = until_us - span + span * (number + 1) // (count + 1)
        connector = f"partner-{min(int(chance.expovariate(0.2)), CONNECTORS - 1):02d}"
        name = f"{chance.choice(['orders', 'invoice', 'asn', 'stock', 'pod'])}-{number:07d}.{chance.choice(['x12', 'edi', 'xml'])}"
        status = chance.choices(["in_receive", "passed_along", "removed", "replaced", "lost"], [70, 20, 7, 3, 0.01])[0]
        yield number, at, connector, name, status, chance.randrange(100, 5_000_000)


def insert(db, table, filled):
    """Rows of the first columns of a table; what was added to it later has its default."""
    if filled:
        names = [name for _, name, *_ in db.execute(f"PRAGMA table_info({table})")][:len(filled[0])]
        db.executemany(f"INSERT INTO {table} ({','.join(names)}) VALUES ({','.join('?' * len(names))})", filled)


def fill(database, count):
    chance = random.Random(SEED)
    now_us = int(time.time() * 1_000_000)
    db = sqlite3.connect(database)
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA cache_size = -400000")
    receipts, events, transfers, refusals = [], [], [], []

    tables = {"receipts": receipts, "events": events, "transfers": transfers, "refusals": refusals}

    def flush():
        with db:
            for table, filled in tables.items():
                insert(db, table, filled)
                filled.clear()

    for number, at, connector, name, status, size in rows(count, chance, now_us):
        receipt, session = made_id(at, number), made_id(at, number // 7)
        path, digest = f"/Receive/{name}", f"{chance.getrandbits(256):064x}"
        receipts.append((
            receipt, connector, connector, name, path, path, size, digest, "[]", at - 900_000, at, "198.51.100.7",
            "TLS 1.3", session, "closed", 0, 0, "B", None, status, 0, number, "",
        ))
        events.append((made_id(at, number), "after_receive", at, connector, session, receipt, "198.51.100.7",
                       f"Received {path} from {connector}", 0))
        broken = number % 50 == 0
        transfers.append((made_id(at, number), "receive" if number % 5 else "send", connector, path, size, 0, at - 900_000, at,
                          "cut" if broken else "closed", 0 if broken else 1, "198.51.100.7", "TLS 1.3", session, receipt, "226"))
        if number % 10 == 0:
            refusals.append((made_id(at, number), chance.choice(["name_filter", "wrong_password", "no_write", "idle"]),
                             connector, f"203.0.113.{number % 250}", f"STOR {name}", "553 No", "", "C: STOR", session, at, at, 1, "/Receive"))
        if len(receipts) == STEP:
            flush()
    flush()
    with db:
        db.execute("DELETE FROM traffic")
        db.execute("INSERT INTO traffic SELECT ended_at_us / 60000000, direction, SUM(bytes_moved), SUM(complete) "
                   "FROM transfers GROUP BY 1, 2")
        # As a running appliance keeps them: minutes of two days, then hours.
        old = now_us // 60_000_000 // 60 * 60 - 48 * 60
        db.execute("CREATE TEMP TABLE hours AS SELECT minute - minute % 60 AS minute, direction, SUM(bytes), SUM(files) "
                   "FROM traffic WHERE minute < ? GROUP BY 1, 2", (old,))
        db.execute("DELETE FROM traffic WHERE minute < ?", (old,))
        db.execute("INSERT INTO traffic SELECT * FROM hours")
        # A running appliance looked at each event when it came.
        db.execute("UPDATE alert_cursor SET event_rowid = (SELECT MAX(rowid) FROM events)")
    db.close()


class Site:
    """One signed-in browser with one connection."""

    def __init__(self, appliance):
        self.connection = http.client.HTTPConnection(appliance.web.removeprefix("http://").rstrip("/"), timeout=60)
        self.cookies = {}

    def ask(self, path, form=None):
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        body = None
        if form is not None:
            body = urllib.parse.urlencode(form)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self.connection.request("GET" if form is None else "POST", path, body, headers)
        answer = self.connection.getresponse()
        for line in answer.headers.get_all("Set-Cookie") or []:
            for name, morsel in http.cookies.SimpleCookie(line).items():
                self.cookies[name] = morsel.value
        return answer

    def text(self, path, form=None):
        answer = self.ask(path, form)
        return answer.status, answer.read().decode()

    def token(self, path):
        return re.search('name="csrf" value="([^"]+)"', self.text(path)[1]).group(1)

    def set_up(self, code):
        form = {"csrf": self.token("/setup"), "code": code, "name": ADMINISTRATOR, "password": ADMINISTRATOR_PASSWORD}
        status, text = self.text("/setup", form)
        if status != 303:
            raise RuntimeError(f"no administrator could be made: {status}\n{text}")


def addresses(site, database):
    db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    middle = db.execute("SELECT completed_at_us, id, sha256 FROM receipts ORDER BY completed_at_us LIMIT 1 "
                        "OFFSET (SELECT COUNT(*) / 2 FROM receipts)").fetchone()
    refusal = db.execute("SELECT id FROM refusals LIMIT 1").fetchone()[0]
    db.close()
    place = urllib.parse.quote(f"{middle[0]},{middle[1]}")
    paths = ["/", "/?span=24h", "/?span=7d", "/flows"]
    receive = ["", f"before={place}", f"after={place}", "size=250", "connector=partner-00", "connector=partner-30", "status=lost",
               "status=in_receive", "status=lost&connector=partner-00", "since=7d", "q=orders", "q=nothing-like-it",
               f"q={middle[1]}", f"q={middle[2]}", "q=invoice-00&connector=partner-07", f"open={middle[1]}&before={place}"]
    receive += [f"sort={sort}&dir={way}" for sort in ("file", "size", "connector", "received") for way in ("asc", "desc")]
    receive += [f"sort={sort}&dir=asc&before={middle[1]}" for sort in ("file", "size", "connector", "received")]
    paths += [f"/activity/receive?{query}" for query in receive]
    paths += ["/activity/transfers", "/activity/transfers?result=broken", "/activity/transfers?way=send",
              "/activity/transfers?connector=partner-30", "/activity/transfers?connector=partner-30&result=broken",
              "/activity/events", "/activity/events?kind=after_receive&connector=partner-30", "/activity/events?kind=recovered",
              "/activity/refusals", "/activity/refusals?rule=idle", "/activity/refusals?connector=partner-30&rule=idle",
              "/activity/sessions", "/activity/blocked", "/connectors/partner-00/receive", "/connectors/partner-30/settings",
              "/connectors/partner-00/advanced", f"/refusals/{refusal}", "/settings/export"]
    return paths


def measure(site, path):
    times = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        status, text = site.text(path)
        times.append((time.perf_counter() - begun) * 1000)
        if status != 200:
            raise RuntimeError(f"{path}: {status}\n{text}")
    times.sort()
    return times[len(times) // 2], times[len(times) * 95 // 100]


def resident_kb(process):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text()).group(1))


def export(site, process, path):
    """Reads an export to its end; gives its lines, its seconds and by how much the process grew meanwhile."""
    before, most, lines, begun = resident_kb(process), 0, 0, time.perf_counter()
    answer = site.ask(path)
    while chunk := answer.read(1 << 20):
        lines += chunk.count(b"\n")
        most = max(most, resident_kb(process))
    return lines, time.perf_counter() - begun, most - before


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=PROJECT / "target/release/waybill", type=Path)
    parser.add_argument("--receipts", default=1_000_000, type=int)
    parser.add_argument("--limit-ms", default=50, type=float)
    parser.add_argument("--keep", type=Path, help="keep the filled database here, or use the one that is there")
    arguments = parser.parse_args()
    slow = 0
    with Appliance(arguments.binary) as appliance:
        for number in range(CONNECTORS):
            appliance.cli("connector", "add", f"partner-{number:02d}")
        appliance.start()
        site = Site(appliance)
        site.set_up(appliance.setup_code())
        appliance.stop()
        database = appliance.data / "waybill.db"
        kept = arguments.keep / f"{arguments.receipts}.db" if arguments.keep else None
        if kept and kept.exists():
            shutil.copy(kept, database)
        else:
            begun = time.monotonic()
            fill(database, arguments.receipts)
            print(f"{arguments.receipts} receipts in {time.monotonic() - begun:.0f} s, {database.stat().st_size / 1e6:.0f} MB")
            if kept:
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(database, kept)
        appliance.start()
        signed_in = Site(appliance)
        form = {"csrf": signed_in.token("/sign-in"), "name": ADMINISTRATOR, "password": ADMINISTRATOR_PASSWORD}
        signed_in.text("/sign-in", form)
        for path in addresses(signed_in, database):
            median, slowest = measure(signed_in, path)
            slow += slowest > arguments.limit_ms
            print(f"{'SLOW' if slowest > arguments.limit_ms else 'ok  '} {median:7.1f} ms median {slowest:7.1f} ms p95  {path}")
            sys.stdout.flush()
        lines, seconds, grown = export(signed_in, appliance.process, "/activity/receive.csv")
        print(f"{lines - 1} rows exported in {seconds:.1f} s; the process grew by {grown} KB")
        if lines - 1 != arguments.receipts or grown > EXPORT_GROWTH_KB_MAX:
            slow += 1
        appliance.stop()
    print(f"{slow} above the limit")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
