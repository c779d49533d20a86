#!/usr/bin/python3
"""Certificates by ACME from a real authority: pebble, Let's Encrypt's own test server, with a name server beside it.

What is issued is presented to FTP clients at once, by both challenges; what fails is told and loses nothing; a restart
asks for nothing again, and an account that the authority forgot is made anew.

    tests/clients/acme.py [--binary target/debug/waybill]
"""

import argparse
import contextlib
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import traceback
from ftplib import FTP_TLS
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from appliance import PROJECT, Appliance, free_port  # noqa: E402

ISSUED_SECONDS_MAX = 60
HOSTS = ["ftp.example.com", "files.example.com"]


def expect(holds, words):
    if not holds:
        raise AssertionError(words)


def until(seconds, what, found):
    end = time.monotonic() + seconds
    while not (result := found()):
        expect(time.monotonic() < end, f"not within {seconds} s: {what}")
        time.sleep(0.1)
    return result


class Authority:
    """Pebble, and the name server that leads every name to this machine."""

    def __init__(self, folder, answers_at):
        self.folder, self.answers_at = folder, answers_at
        self.port = 0
        self.running = []
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=pebble", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE",
             "-keyout", "pebble.key", "-out", "pebble.pem"],
            cwd=folder, check=True, capture_output=True,
        )
        self.root = folder / "pebble.pem"

    @property
    def directory(self):
        return f"https://localhost:{self.port}/dir"

    def start(self):
        """The first start chooses where it is found; a later one is there again."""
        self.port = self.port or free_port(self.answers_at)
        dns = free_port(self.answers_at, self.port)
        management = free_port(self.answers_at, self.port, dns)
        config = {"pebble": {
            "listenAddress": f"127.0.0.1:{self.port}", "managementListenAddress": f"127.0.0.1:{management}",
            "certificate": str(self.root), "privateKey": str(self.folder / "pebble.key"),
            "httpPort": self.answers_at, "tlsPort": self.answers_at, "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
        }}
        path = self.folder / "pebble.json"
        path.write_text(json.dumps(config))
        names = free_port(self.answers_at, self.port, dns, management)
        none = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", "", "-management", f"127.0.0.1:{names}"]
        self.run("pebble-challtestsrv", "-defaultIPv4", "127.0.0.1", "-dns01", f"127.0.0.1:{dns}", *none)
        # It refuses some nonces on purpose, as authorities may.
        self.run("pebble", "-config", str(path), "-dnsserver", f"127.0.0.1:{dns}")
        until(20, "pebble answers", self.answers)

    def run(self, *command):
        log = (self.folder / "authority.log").open("ab")
        environment = {**os.environ, "PEBBLE_VA_NOSLEEP": "1"}
        self.running.append(subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def answers(self):
        expect(all(process.poll() is None for process in self.running), (self.folder / "authority.log").read_text()[-2000:])
        asked = subprocess.run(["curl", "-fsS", "--cacert", str(self.root), self.directory], capture_output=True, timeout=10)
        return asked.returncode == 0

    def stop(self):
        for process in self.running:
            process.kill()
            process.wait()
        self.running.clear()


class Case:
    """An appliance that trusts the authority."""

    def __init__(self, appliance, authority):
        self.appliance, self.authority = appliance, authority

    def set(self, **settings):
        self.appliance.cli("settings", "set", *(f"{key}={value}" for key, value in settings.items()))

    def events(self, kind):
        lines = self.appliance.cli("events", "--json").splitlines()
        return [event for event in map(json.loads, lines) if event["kind"] == kind]

    def presented(self):
        """Host names and issuer of what an FTP client is shown."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with contextlib.closing(FTP_TLS(context=context, timeout=10)) as ftp:
            ftp.connect("127.0.0.1", self.appliance.port)
            ftp.auth()
            der = ftp.sock.getpeercert(binary_form=True)
        text = subprocess.run(
            ["openssl", "x509", "-inform", "der", "-noout", "-issuer", "-ext", "subjectAltName"],
            input=der, capture_output=True, check=True,
        ).stdout.decode()
        return text

    def shown(self, *hosts):
        """A new certificate is presented without a restart, within a moment."""
        def all_there():
            text = self.presented()
            return "Pebble" in text and all(f"DNS:{host}" in text for host in hosts)
        until(5, f"{hosts} presented", all_there)

    def issued(self, count):
        until(ISSUED_SECONDS_MAX, f"certificate {count}", lambda: len(self.events("certificate_issued")) >= count)

    def first(self, port):
        expect("Pebble" not in self.presented(), "the self-signed one is presented before")
        self.set(
            acme="on", acme_hosts=",".join(HOSTS), acme_directory=self.authority.directory, acme_contact="edi@example.com",
            acme_listen_address="127.0.0.1", acme_port=port,
        )
        self.issued(1)
        self.shown(*HOSTS)

    def by_tls(self):
        self.set(acme_challenge="tls-alpn-01", acme_hosts="third.example.com")
        self.issued(2)
        self.shown("third.example.com")

    def restart(self):
        self.appliance.stop()
        self.appliance.start()
        self.shown("third.example.com")
        time.sleep(1)
        expect(len(self.events("certificate_issued")) == 2, "a restart asked again")

    def forgotten(self):
        """The authority was set up anew: it knows no account."""
        self.authority.stop()
        self.authority.start()
        self.set(acme_hosts="fourth.example.com")
        self.issued(3)
        self.shown("fourth.example.com")

    def fails(self):
        self.set(acme_hosts="fifth.example.com", acme_port=free_port(self.authority.answers_at))
        until(ISSUED_SECONDS_MAX, "the failure is told", lambda: self.events("certificate_failed"))
        words = self.events("certificate_failed")[0]["summary"]
        expect("fifth.example.com" in words and "names lead here" in words, f"it says {words}")
        self.shown("fourth.example.com")
        time.sleep(2)
        expect(self.appliance.log.read_text().count("No certificate for fifth") == 1, "it is tried again at once")
        # Another wish does not wait.
        self.set(acme_port=self.authority.answers_at)
        self.issued(4)
        self.shown("fifth.example.com")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=PROJECT / "target/debug/waybill", type=Path)
    arguments = parser.parse_args()
    lacking = [tool for tool in ("pebble", "pebble-challtestsrv", "openssl", "curl") if not shutil.which(tool)]
    if lacking:
        print(f"FAIL not installed: {', '.join(lacking)}")
        return 1
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="waybill-acme-")))
        appliance = stack.enter_context(Appliance(arguments.binary))
        answers_at = free_port(appliance.port, appliance.web_port)
        authority = Authority(folder, answers_at)
        stack.callback(authority.stop)
        os.environ["SSL_CERT_FILE"] = str(authority.root)
        # It has its port before others are looked for.
        appliance.start()
        authority.start()
        case = Case(appliance, authority)
        try:
            for step in (lambda: case.first(answers_at), case.by_tls, case.restart, case.forgotten, case.fails):
                step()
        except Exception:
            traceback.print_exc()
            print(f"FAIL\nThe server's last lines:\n{appliance.tail()}")
            return 1
    print("ok   certificates by ACME: HTTP-01, TLS-ALPN-01, restart, new account, failure")
    return 0


if __name__ == "__main__":
    sys.exit(main())
