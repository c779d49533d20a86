"""What must hold when random partners have gone and nothing is under way any more: seen from the outside, in folders
and database, and compared with what the partners were told."""

import collections
import contextlib
import hashlib
import os
import sqlite3
from pathlib import Path

from flows import COLLECTORS, FOLDERS, PARTNERS, WEBHOOK

# What still waits: all but that whose file has a temporary name, which waits for its partner.
WAITING = """SELECT d.id, d.source_key, d.target, d.state, r.stored_path, r.status,
    (SELECT answer FROM attempts a WHERE a.delivery_id = d.id ORDER BY number DESC LIMIT 1) AS answer
    FROM deliveries d LEFT JOIN receipts r ON r.id = d.receipt_id
    WHERE d.ended_at_us IS NULL AND r.temporary_since_us IS NULL"""
# The answer says which name the file got.
DELIVERIES = """SELECT d.*, r.sha256,
    (SELECT answer FROM attempts a WHERE a.delivery_id = d.id ORDER BY number DESC LIMIT 1) AS answer
    FROM deliveries d JOIN receipts r ON r.id = d.receipt_id"""
REPLACING = "SELECT DISTINCT subject FROM audit WHERE key = 'overwrite' AND after = 'replace'"
TOLD = "SELECT receipt_id, COUNT(*) AS times FROM events WHERE kind = 'after_receive' GROUP BY 1"
NOT_DONE = """SELECT connector_key, path, copy, remove FROM collected
    WHERE collected_at_us IS NOT NULL AND (copy = 'wanted' OR remove = 1 AND gone_at_us IS NULL)"""
TRAFFIC = "SELECT direction, SUM(bytes) AS bytes, SUM(files) AS files FROM traffic GROUP BY 1"
TRANSFERS = "SELECT direction, SUM(bytes_moved) AS bytes, SUM(complete) AS files FROM transfers GROUP BY 1"
# What is told shortly before a process is killed may not be written yet: a few milliseconds, and a slow machine.
NOT_YET_WRITTEN_S = 1


def rows(data, sql):
    with contextlib.closing(sqlite3.connect(f"file:{data / 'waybill.db'}?mode=ro", uri=True, timeout=30)) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(sql)]


def waiting(data):
    return rows(data, WAITING)


def tree(top):
    """The digest of each file below a folder, by its path; Waybill's own folder left out."""
    found = {}
    for folder, folders, files in os.walk(top):
        folders[:] = [name for name in folders if name != ".waybill"]
        for path in (Path(folder) / name for name in files):
            # What is still to be collected or passed along may go meanwhile; there is another look then.
            with contextlib.suppress(FileNotFoundError):
                found[str(path.relative_to(top))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def last_name(path):
    return path.rpartition("/")[2]


def tell(receipts):
    return ", ".join(f"{row['stored_path']} of {row['connector']} ({row['status']})" for row in receipts) or "none"


def count(digests):
    """How many there are of each, which is told by its beginning."""
    return ", ".join(f"{times} of {digest[:8]}" for digest, times in digests.items())


class Found:
    """All there is, as of one moment. `deaths`: when each process that was killed had ended, by its number."""

    def __init__(self, appliance, ledger, deaths, got):
        self.appliance, self.data, self.ledger, self.deaths, self.got = appliance, appliance.data, ledger, deaths, got
        self.receipts = {row["id"]: row for row in rows(self.data, "SELECT * FROM receipts")}
        self.of_bytes = collections.defaultdict(list)
        for row in self.receipts.values():
            if row["status"] != "lost":
                self.of_bytes[row["sha256"]].append(row)
        self.deliveries = rows(self.data, DELIVERIES)
        self.of_receipt = collections.defaultdict(list)
        for row in self.deliveries:
            self.of_receipt[row["receipt_id"]].append(row)
        self.holds = {row["receipt_id"]: row for row in rows(self.data, "SELECT * FROM holds")}

    def delivered(self, target):
        to_it = (row for row in self.deliveries if row["target"] == f"connector:{target}")
        return collections.Counter(row["sha256"] for row in to_it if row["state"] == "delivered")

    def lie(self, connector, folder):
        return collections.Counter(tree(self.appliance.place(connector, folder)).values())

    def own_deliveries(self, receipt):
        """Those along the arrows of the connector that received it."""
        of_it = self.of_receipt[receipt["id"]]
        own = (row for row in of_it if row["source_key"] == receipt["connector_key"])
        return [row for row in own if row["target"].startswith("connector:")]

    def is_untold(self, receipt):
        """Whether a command may have taken the receipt's file away in a process that was killed before it could write
        so.

        DELE unlinks first and writes then, and what takes the place of a file under a temporary name is told
        afterwards. The receipt of what was there says so only after the look that housekeeping has every ten
        minutes, for which no run is long enough. Only the last such commands of a killed process are excused: those
        that it had not answered, or only just. The folder may have had another name then."""
        name = last_name(receipt["stored_path"])
        return any(
            risk.connector == receipt["connector_key"] and risk.name == name and self.was_cut_short(risk)
            for risk in self.ledger.risks
        )

    def was_cut_short(self, risk):
        died_at = self.deaths.get(risk.life)
        return died_at is not None and (risk.answered_at is None or risk.answered_at > died_at - NOT_YET_WRITTEN_S)


def everything_is_done(found):
    for row in waiting(found.data):
        yield (
            f"{row['stored_path']} ({row['status']}) still waits to go from {row['source_key']} to {row['target']}: "
            f"{row['state']}, {row['answer']}"
        )


def what_was_acknowledged_has_its_receipt(found):
    for one in found.ledger.acknowledged:
        said = f"{one.connector} was told that {one.path} is received"
        if one.receipt is None:
            if not found.of_bytes[one.sha256]:
                yield f"{said} under its new name, and no receipt has its bytes ({one.sha256[:8]})"
            continue
        receipt = found.receipts.get(one.receipt)
        if receipt is None:
            yield f"{said} as {one.receipt}, and there is no such receipt"
        elif receipt["connector_key"] != one.connector:
            yield f"{said} as {one.receipt}, which is a receipt of {receipt['connector']}"
        elif receipt["sha256"] != one.sha256:
            yield f"{said} as {one.receipt}, which has other bytes: {receipt['sha256'][:8]}, sent were {one.sha256[:8]}"
        elif receipt["status"] == "lost":
            yield f"{said} as {one.receipt}, which is lost"


def nothing_is_received_twice(found):
    for sha256, receipts in found.of_bytes.items():
        tries = found.ledger.tries[sha256]
        if len(receipts) > tries:
            yield f"{len(receipts)} receipts of {tries} uploads of the bytes {sha256[:8]}: {tell(receipts)}"


def each_receipt_has_one_event(found):
    told = {row["receipt_id"]: row["times"] for row in rows(found.data, TOLD)}
    for receipt in found.receipts.values():
        times, is_lost = told.get(receipt["id"], 0), receipt["status"] == "lost"
        if times != (0 if is_lost else 1):
            yield f"{times} events tell of {tell([receipt])}, receipt {receipt['id']}"
        if receipt["publishing"] and not is_lost:
            yield f"{tell([receipt])}, receipt {receipt['id']}, is still on its way to its name"


def files_and_receipts_agree(found):
    for name in PARTNERS:
        receive = found.appliance.place(name, "Receive")
        files = {f"/Receive/{path}": sha256 for path, sha256 in tree(receive).items()}
        owners = collections.defaultdict(list)
        for row in found.receipts.values():
            if row["connector_key"] == name and row["status"] in ("in_receive", "waiting"):
                owners[row["stored_path"]].append(row)
        for path, sha256 in files.items():
            # A mark of Waybill's is on what was uploaded under a temporary name.
            is_marked = bool(os.listxattr(receive / path.removeprefix("/Receive/")))
            yield from file_agrees(found, (name, path, sha256), is_marked, owners[path])
        for path in owners.keys() - files.keys():
            for row in owners[path]:
                if not found.is_untold(row):
                    yield f"receipt {row['id']} of {path} of {name} is {row['status']}, and there is no such file"


def file_agrees(found, file, is_marked, owners):
    name, path, sha256 = file
    theirs = f"of these bytes there are: {tell(found.of_bytes[sha256])}"
    if not owners:
        if not is_marked:
            yield f"{path} of {name} ({sha256[:8]}) has no receipt; {theirs}"
        return
    if len(owners) > 1:
        ids = ", ".join(f"{row['id']} ({row['sha256'][:8]})" for row in owners)
        yield f"{path} of {name} ({sha256[:8]}) is the file of {len(owners)} receipts: {ids}"
        return
    (owner,) = owners
    if owner["sha256"] == sha256:
        return
    if not (is_marked and owner["temporary_since_us"] is not None and found.is_untold(owner)):
        yield f"{path} of {name} is {sha256[:8]}, its receipt {owner['id']} says {owner['sha256'][:8]}; {theirs}"


def folders_have_what_was_delivered(found):
    for name in FOLDERS:
        there, delivered = found.lie(name, ""), found.delivered(name)
        if there - delivered:
            yield f"{name} has what was not delivered to it: {count(there - delivered)}"
        if delivered - there:
            yield f"{name} lacks what was delivered to it: {count(delivered - there)}"


def without_replaced(found, name, missing, there):
    """What is missing, without that whose name another delivery has taken: a partner's Send may be set to have files
    replaced. Of each name one is there all the same."""
    if f"connector {name}" not in {row["subject"] for row in rows(found.data, REPLACING)}:
        return missing
    of_name = collections.defaultdict(collections.Counter)
    for row in found.deliveries:
        if row["target"] == f"connector:{name}" and row["state"] == "delivered":
            of_name[row["answer"]][row["sha256"]] += 1
    for digests in of_name.values():
        if digests & there:
            missing = missing - digests
    return missing


def send_and_sent_have_what_was_delivered(found):
    for name in COLLECTORS:
        send, sent, delivered = found.lie(name, "Send"), found.lie(name, "Sent"), found.delivered(name)
        if send - delivered:
            yield f"Send of {name} has what was not delivered: {count(send - delivered)}"
        if missing := without_replaced(found, name, delivered - send - sent, send + sent):
            yield f"neither Send of {name} nor its Sent has what was delivered: {count(missing)}"
        # One file can be collected several times.
        if strange := sent.keys() - delivered.keys():
            yield f"Sent of {name} has what was never delivered: {count(collections.Counter(strange))}"
        for path in found.appliance.place(name, "").rglob(".waybill-*"):
            yield f"{path.relative_to(found.data)} is a copy that was not finished"


def nothing_is_delivered_twice(found):
    keys = ("receipt_id", "source_key", "target", "event_id")
    first = (tuple(row[key] for key in keys) for row in found.deliveries if row["instead_of"] is None)
    for (receipt, source, target, event), count in collections.Counter(first).items():
        if count > 1:
            yield f"receipt {receipt} has {count} deliveries from {source} to {target} of the event {event}"
    for row in found.deliveries:
        if row["state"] in ("delivered", "failed", "stopped") and row["ended_at_us"] is None:
            yield f"the delivery {row['id']} to {row['target']} is {row['state']} and has not ended"


def who_waits_or_has_left_has_somebody(found):
    for receipt in found.receipts.values():
        mine = found.own_deliveries(receipt)
        states = ", ".join(f"{row['target']} {row['state']}" for row in mine) or "none"
        words = f"{tell([receipt])}, receipt {receipt['id']},"
        match receipt["status"]:
            case "passed_along" if all(row["state"] != "delivered" for row in mine):
                yield f"{words} was passed along to nobody; its deliveries: {states}"
            case "waiting" if all(row["ended_at_us"] is not None and row["state"] != "failed" for row in mine):
                yield f"{words} waits for nobody; its deliveries: {states}"


def the_webhook_got_what_was_delivered(found):
    for sha256 in found.delivered(WEBHOOK).keys() - set(found.got):
        yield f"the webhook never got {sha256[:8]}, which is delivered: {tell(found.of_bytes[sha256])}"


def what_is_staged_or_held_is_somebodys(found):
    places = [(name, folder) for name in PARTNERS for folder in ("Receive", "Send")] + [(name, "") for name in FOLDERS]
    for place in places:
        staging = found.appliance.place(*place) / ".waybill"
        for path in staging.iterdir() if staging.is_dir() else ():
            # An unfinished upload is marked with what its partner calls it.
            if path.name != "held" and not os.listxattr(path):
                yield f"{path.relative_to(found.data)} is staged and nobody's"
        for path in staging.glob("held/*"):
            if path.name not in found.holds:
                known = [found.receipts[path.name]] if path.name in found.receipts else []
                yield f"{path.relative_to(found.data)} is held for nobody; its receipt: {tell(known)}"
    for receipt, hold in found.holds.items():
        if hold["ended"]:
            continue
        if not (Path(hold["folder"]) / ".waybill/held" / receipt).exists():
            yield f"the bytes of receipt {receipt} should be held, and are not there"
        if all(row["ended_at_us"] is not None for row in found.of_receipt[receipt]):
            yield f"the bytes of receipt {receipt} are held, and no delivery needs them"


def what_was_begun_is_settled(found):
    for table in ("placements", "renamings"):
        for row in rows(found.data, f"SELECT * FROM {table}"):
            yield f"left in {table}: {row}"
    for row in rows(found.data, NOT_DONE):
        yield f"{row['path']} of {row['connector_key']} is collected, and not done with: {row}"


def traffic_is_what_was_transferred(found):
    def sums(sql):
        return {row["direction"]: f"{row['bytes']} bytes in {row['files']} files" for row in rows(found.data, sql)}

    traffic, transfers = sums(TRAFFIC), sums(TRANSFERS)
    if traffic != transfers:
        yield f"the traffic of all minutes is {traffic}, and the transfers are {transfers}"


INVARIANTS = (
    everything_is_done,
    what_was_acknowledged_has_its_receipt,
    nothing_is_received_twice,
    each_receipt_has_one_event,
    files_and_receipts_agree,
    folders_have_what_was_delivered,
    send_and_sent_have_what_was_delivered,
    nothing_is_delivered_twice,
    who_waits_or_has_left_has_somebody,
    the_webhook_got_what_was_delivered,
    what_is_staged_or_held_is_somebodys,
    what_was_begun_is_settled,
    traffic_is_what_was_transferred,
)


def broken(found):
    """A sentence for each thing that does not hold."""
    return [words for invariant in INVARIANTS for words in invariant(found)]
