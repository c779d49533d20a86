"""The FTP client programs and libraries, each behind the same few methods: see run.py.

A client class says in `mode` what the server must be set to (MODES), in `needs` what must be installed, and in `many`
how many files its folder cases have. A client that cannot do a thing has no method for it.
"""

import asyncio
import atexit
import contextlib
import ftplib
import functools
import hashlib
import html
import importlib.util
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from appliance import PASSWORD, PROJECT  # noqa: E402

COMMAND_SECONDS_MAX = 120
# A client that was through in plain passive mode already.
VARIANT_FILES = 40
FOLDER = Path(__file__).resolve().parent
BASIC_FTP = PROJECT / "target/basic-ftp/node_modules"
SUPPAFTP = PROJECT / "target/debug/examples/suppaftp"
COMMONS_NET = Path("/usr/share/java/commons-net.jar")
COMMONS_NET_CLASSES = PROJECT / "target/commons-net"

# What the server is set to. "plain" refuses active mode, as it does by default.
MODES = {
    "plain": ("ftp_over_tls=explicit", "require_tls=none"),
    "active": ("ftp_over_tls=explicit", "require_tls=none", "active_mode=on"),
    "deflate": ("ftp_over_tls=explicit", "require_tls=none", "mode_z=on"),
    "explicit": ("ftp_over_tls=explicit", "require_tls=login_and_data"),
    "implicit": ("ftp_over_tls=implicit", "require_tls=login_and_data"),
}
TLS_MODES = ("explicit", "implicit")


def expect(condition, words):
    if not condition:
        raise AssertionError(words)


def run(*command, typed="", environment=None):
    """Runs a client program; its output if it says that all went well."""
    done = subprocess.run(
        command, input=typed, env=environment, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout


class Client:
    """What a client class says about itself."""

    mode = "plain"
    # Programs, Python modules and files that must be there.
    needs = ()
    # How the TLS version and cipher of its receipts begin.
    tls = ""
    # Cases that this client cannot go through, each with its reason beside.
    left_out = ()
    # Few where each file costs a connection of its own.
    many = 200

    @classmethod
    def settings(cls):
        """Settings of its connector."""
        return ()


class Curl(Client):
    name = "curl"
    needs = ("curl",)
    scheme = "ftp"
    options = ()
    # Debian's curl 7.88 sleeps a second before a data connection whenever the reply to EPSV comes at once.
    many = 20

    def __init__(self, port, user):
        self.root = f"{self.scheme}://127.0.0.1:{port}"
        self.common = ["curl", "-sS", "--fail", "--max-time", "100", *self.options, "-u", f"{user}:{PASSWORD}"]

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


class CurlActive(Curl):
    name = "curl-active"
    mode = "active"
    options = ("--ftp-port", "-")


class CurlTls12(Curl):
    name = "curl-explicit-tls1.2"
    mode = "explicit"
    options = ("--ssl-reqd", "--insecure", "--tlsv1.2", "--tls-max", "1.2")
    tls = "TLS 1.2"


class CurlTls13(Curl):
    name = "curl-explicit-tls1.3"
    mode = "explicit"
    options = ("--ssl-reqd", "--insecure", "--tlsv1.3")
    tls = "TLS 1.3"


@functools.cache
def client_certificate():
    """A file with a certificate and its key, and its SHA-256."""
    folder = Path(tempfile.mkdtemp(prefix="waybill-certificate-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    both = folder / "both.pem"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
        "-subj", "/CN=partner", "-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem"))
    both.write_text((folder / "certificate.pem").read_text() + (folder / "key.pem").read_text())
    der = ssl.PEM_cert_to_DER_cert((folder / "certificate.pem").read_text())
    return str(both), hashlib.sha256(der).hexdigest()


class WithCertificate:
    """Signs in with a certificate; the password it has is a wrong one."""

    left_out = ("wrong_password",)

    @classmethod
    def settings(cls):
        return "client_certificate=or_password", f"client_certificate_match=sha256:{client_certificate()[1]}"


class CurlWithCertificate(WithCertificate):
    def __init__(self, port, user):
        super().__init__(port, user)
        self.common = [*self.common[:-1], f"{user}:not the password", "--cert", client_certificate()[0]]


class CurlCertificateTls12(CurlWithCertificate, CurlTls12):
    name = "curl-certificate-tls1.2"


class CurlCertificateTls13(CurlWithCertificate, CurlTls13):
    name = "curl-certificate-tls1.3"


class CurlImplicit(Curl):
    name = "curl-implicit"
    mode = "implicit"
    scheme = "ftps"
    options = ("--insecure",)


class Lftp(Client):
    name = "lftp"
    needs = ("lftp",)
    many = 2_000
    scheme = "ftp"
    options = "set ftp:ssl-allow no; set ftp:passive-mode yes; "

    def __init__(self, port, user):
        self.open = (
            "set cmd:fail-exit yes; set net:max-retries 2; set net:timeout 30; set net:reconnect-interval-base 1; "
            "set cmd:interactive no; set cmd:trace no; set ftp:auto-passive-mode no; set ssl:verify-certificate no; "
            f"{self.options}open -u {user},'{{}}' {self.scheme}://127.0.0.1:{port}; "
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


    def get_pieces(self, remote, local):
        self.script(f'pget -n 4 "{remote}" -o "{local}"')


class LftpActive(Lftp):
    name = "lftp-active"
    mode = "active"
    many = VARIANT_FILES
    options = "set ftp:ssl-allow no; set ftp:passive-mode no; "


class LftpDeflate(Lftp):
    """MODE Z; it is an error when nothing went in it."""

    name = "lftp-deflate"
    mode = "deflate"
    many = VARIANT_FILES
    options = "set ftp:ssl-allow no; set ftp:passive-mode yes; set ftp:use-mode-z yes; set ftp:mode-z-level 9; "

    def told(self, commands):
        with tempfile.TemporaryDirectory(prefix="waybill-debug-") as place:
            self.script(f'debug -o "{place}/said" 9; {commands}')
            said = Path(place, "said").read_text(errors="replace")
        expect("MODE Z" in said, f"nothing was said of MODE Z: {said[-400:]}")

    def put(self, local, remote):
        self.told(f'put "{local}" -o "{remote}"')

    def get(self, remote, local):
        self.told(f'get "{remote}" -o "{local}"')


class LftpExplicit(Lftp):
    name = "lftp-explicit"
    mode = "explicit"
    many = VARIANT_FILES
    options = "set ftp:ssl-force yes; set ftp:ssl-protect-data yes; "


class LftpImplicit(Lftp):
    name = "lftp-implicit"
    mode = "implicit"
    many = VARIANT_FILES
    scheme = "ftps"
    options = "set ftp:ssl-protect-data yes; "


class ImplicitFtp(ftplib.FTP_TLS):
    """ftplib with TLS from the first byte."""

    @property
    def sock(self):
        return self._sock

    @sock.setter
    def sock(self, connection):
        if connection is not None and not isinstance(connection, ssl.SSLSocket):
            connection = self.context.wrap_socket(connection)
        self._sock = connection


def unverified_context():
    """TLS with a server whose certificate nobody signed."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def library_session(mode, port, user, password=PASSWORD, certificate=None):
    """A logged-in ftplib connection."""
    if mode in TLS_MODES:
        kind = ftplib.FTP_TLS if mode == "explicit" else ImplicitFtp
        context = unverified_context()
        if certificate:
            context.load_cert_chain(certificate)
        ftp = kind(context=context, timeout=60, encoding="utf-8")
    else:
        ftp = ftplib.FTP(timeout=60, encoding="utf-8")
        ftp.set_pasv(mode != "active")
    try:
        ftp.connect("127.0.0.1", port)
        ftp.login(user, password)
        if mode in TLS_MODES:
            ftp.prot_p()
    except Exception:
        ftp.close()
        raise
    return ftp


class Ftplib(Client):
    name = "ftplib"

    def __init__(self, port, user):
        self.port, self.user = port, user

    @contextlib.contextmanager
    def session(self, password=PASSWORD):
        ftp = library_session(self.mode, self.port, self.user, password)
        try:
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


class FtplibActive(Ftplib):
    name = "ftplib-active"
    mode = "active"
    many = VARIANT_FILES


class FtplibExplicit(Ftplib):
    name = "ftplib-explicit"
    mode = "explicit"
    many = VARIANT_FILES


class FtplibCertificate(WithCertificate, Ftplib):
    name = "ftplib-certificate"
    mode = "explicit"
    many = VARIANT_FILES

    @contextlib.contextmanager
    def session(self):
        ftp = library_session(self.mode, self.port, self.user, "not the password", client_certificate()[0])
        try:
            yield ftp
            ftp.quit()
        finally:
            ftp.close()


class FtplibImplicit(Ftplib):
    name = "ftplib-implicit"
    mode = "implicit"
    many = VARIANT_FILES


class Wget(Client):
    """Fetches only."""

    name = "wget"
    needs = ("wget",)
    options = ()

    def __init__(self, port, user):
        self.root = f"ftp://127.0.0.1:{port}"
        self.login = ["--tries=1", "--timeout=60", f"--user={user}"]

    def script(self, *arguments, password=PASSWORD):
        return run("wget", "-nv", *self.login, f"--password={password}", *self.options, *arguments)

    def url(self, path):
        return self.root + urllib.parse.quote(path)

    def get(self, remote, local):
        self.script("-O", str(local), self.url(remote))

    def resume_get(self, remote, local):
        expect(local.name == Path(remote).name, "it goes on with a file of the same name only")
        self.script("-c", "-P", str(local.parent), self.url(remote))

    def names(self, folder):
        page = self.script("-O", "-", self.url(folder + "/"))
        links = [html.unescape(piece.split(">", 1)[1].split("</a>")[0]) for piece in page.split("<a href=")[1:]]
        return [link.rstrip("/") for link in links]

    def get_all(self, remote_folder, local_folder):
        self.script("-r", "-nd", "-P", str(local_folder), self.url(remote_folder + "/"))

    def wrong_password(self):
        try:
            self.script("-O", "-", self.url("/"), password="not the password")
        except RuntimeError as error:
            return "incorrect" in str(error)
        return False


class WgetActive(Wget):
    name = "wget-active"
    mode = "active"
    many = VARIANT_FILES
    options = ("--no-passive-ftp",)


class Tnftp(Client):
    """It ends with 0 whatever happens: a reply of the server that is a refusal counts as its failure."""

    name = "tnftp"
    needs = ("tnftp",)
    program = ("tnftp", "-n", "-v", "-i", "-p")

    def __init__(self, port, user):
        self.port, self.user = port, user

    def script(self, *commands, password=PASSWORD):
        words = [f"open 127.0.0.1 {self.port}", f'user {self.user} "{password}"', "binary", *commands, "bye"]
        said = run(*self.program, typed="\n".join(words) + "\n")
        refusals = [line for line in said.splitlines() if re.match(r"[45]\d\d[ -](?!bytes)", line)]
        if refusals or "221 " not in said:
            raise RuntimeError(f"{self.name} was told {refusals}: {said.strip()[-400:]}")
        return said

    def put(self, local, remote):
        self.script(f'put "{local}" "{remote}"')

    def get(self, remote, local):
        self.script(f'get "{remote}" "{local}"')

    def names(self, folder):
        with tempfile.TemporaryDirectory(prefix="waybill-list-") as place:
            self.script(f'nlist "{folder or "/"}" {place}/names')
            return [line.rsplit("/", 1)[-1] for line in Path(place, "names").read_text().splitlines()]

    def resume_put(self, local, remote):
        there = re.search(r"^213 (\d+)|\t(\d+)$", self.script(f'size "{remote}"'), re.MULTILINE)
        self.script(f"restart {there.group(1) or there.group(2)}", f'put "{local}" "{remote}"')

    def resume_get(self, remote, local):
        self.script(f'reget "{remote}" "{local}"')

    def rename(self, old, new):
        self.script(f'rename "{old}" "{new}"')

    def delete(self, path):
        self.script(f'delete "{path}"')

    def make_folder(self, path):
        self.script(f'mkdir "{path}"')

    def put_all(self, local_folder, remote_folder):
        self.script(f"mkdir {remote_folder}", f"cd {remote_folder}", f"lcd {local_folder}", "mput *.edi")

    def get_all(self, remote_folder, local_folder):
        local_folder.mkdir()
        self.script(f"cd {remote_folder}", f"lcd {local_folder}", "mget *.edi")

    def wrong_password(self):
        try:
            self.script(password="not the password")
        except RuntimeError as error:
            return "530 " in str(error)
        return False


class TnftpActive(Tnftp):
    name = "tnftp-active"
    mode = "active"
    many = VARIANT_FILES
    program = ("tnftp", "-n", "-v", "-i", "-A")


class InetutilsFtp(Tnftp):
    name = "inetutils-ftp"
    needs = ("inetutils-ftp",)
    program = ("inetutils-ftp", "-n", "-v", "-i", "-p")


class InetutilsFtpActive(InetutilsFtp):
    name = "inetutils-ftp-active"
    mode = "active"
    many = VARIANT_FILES
    program = ("inetutils-ftp", "-n", "-v", "-i", "-A")


class Ncftp(Client):
    name = "ncftp"
    needs = ("ncftpput", "ncftpget", "ncftpls")
    direction = "-F"

    def __init__(self, port, user):
        self.port, self.user = str(port), user

    def login(self, password=PASSWORD):
        return ["-u", self.user, "-p", password, "-P", self.port, "-t", "60", "-r", "0", self.direction]

    def put(self, local, remote, *options):
        run("ncftpput", *self.login(), "-V", *options, "-C", "127.0.0.1", str(local), remote)

    def get(self, remote, local, *options):
        run("ncftpget", *self.login(), "-V", *options, "-C", "127.0.0.1", remote, str(local))

    def resume_put(self, local, remote):
        expect(local.name == Path(remote).name, "it goes on with a file of the same name only")
        # Without -s, ncftp 3.2.6 resumes at the right place and sends the file from its beginning.
        run("ncftpput", *self.login(), "-V", "-s", "-z", "127.0.0.1", str(Path(remote).parent), str(local))

    def resume_get(self, remote, local):
        expect(local.name == Path(remote).name, "it goes on with a file of the same name only")
        run("ncftpget", *self.login(), "-V", "-z", "127.0.0.1", str(local.parent), remote)

    def list(self, folder, *options):
        url = f"ftp://127.0.0.1/%2F{urllib.parse.quote(folder.strip('/'))}/"
        return run("ncftpls", *self.login(), *options, url)

    def names(self, folder):
        plain = [line.rstrip("/") for line in self.list(folder, "-1").splitlines()]
        facts = [line.split("; ", 1)[-1] for line in self.list(folder, "-m").splitlines()]
        expect(not facts or set(plain) <= set(facts), f"NLST and MLSD differ: {plain} {facts}")
        return plain

    def rename(self, old, new):
        self.list("/Receive", "-W", f"RNFR {old}", "-W", f"RNTO {new}")

    def delete(self, path):
        self.list("/Receive", "-W", f"DELE {path}")

    def make_folder(self, path):
        self.list("/Receive", "-W", f"MKD {path}")

    def put_all(self, local_folder, remote_folder):
        run("ncftpput", *self.login(), "-V", "-R", "127.0.0.1", str(Path(remote_folder).parent), str(local_folder))

    def get_all(self, remote_folder, local_folder):
        local_folder.mkdir()
        run("ncftpget", *self.login(), "-V", "127.0.0.1", str(local_folder), f"{remote_folder}/*.edi")

    def wrong_password(self):
        try:
            run("ncftpls", *self.login("not the password"), "ftp://127.0.0.1/")
        except RuntimeError as error:
            return re.search(r"denied|invalid|login|530", str(error), re.IGNORECASE)
        return False


class NcftpActive(Ncftp):
    name = "ncftp-active"
    mode = "active"
    many = VARIANT_FILES
    direction = "-E"


class Rclone(Client):
    name = "rclone"
    needs = ("rclone",)
    options = {}

    def __init__(self, port, user):
        self.settings = {"host": "127.0.0.1", "port": str(port), "user": user, **self.options}

    def script(self, *arguments, password=PASSWORD):
        settings = {**self.settings, "pass": run("rclone", "obscure", password).strip()}
        words = [f"--ftp-{name.replace('_', '-')}={value}" for name, value in settings.items()]
        return run("rclone", "--config", os.devnull, "--retries=1", "--low-level-retries=1", *words, *arguments)

    def put(self, local, remote):
        self.script("copyto", "--ignore-times", str(local), f":ftp:{remote}")

    def get(self, remote, local):
        self.script("copyto", "--ignore-times", f":ftp:{remote}", str(local))

    def names(self, folder):
        return [name.rstrip("/") for name in self.script("lsf", f":ftp:{folder or '/'}").splitlines()]

    def rename(self, old, new):
        self.script("moveto", f":ftp:{old}", f":ftp:{new}")

    def delete(self, path):
        self.script("deletefile", f":ftp:{path}")

    def make_folder(self, path):
        self.script("mkdir", f":ftp:{path}")

    def put_all(self, local_folder, remote_folder):
        self.script("copy", str(local_folder), f":ftp:{remote_folder}")
        # Times too, which it sets by MFMT.
        listings = [self.script("lsf", "--format=pst", place) for place in (str(local_folder), f":ftp:{remote_folder}")]
        here, there = (sorted(listing.splitlines()) for listing in listings)
        expect(here == there, f"sizes or times differ: {here[:3]} {there[:3]}")

    def get_all(self, remote_folder, local_folder):
        self.script("copy", f":ftp:{remote_folder}", str(local_folder))

    def wrong_password(self):
        try:
            self.script("lsf", ":ftp:/", password="not the password")
        except RuntimeError as error:
            return "530" in str(error)
        return False


class RcloneExplicit(Rclone):
    name = "rclone-explicit"
    mode = "explicit"
    many = VARIANT_FILES
    options = {"explicit_tls": "true", "no_check_certificate": "true"}


class RcloneImplicit(Rclone):
    name = "rclone-implicit"
    mode = "implicit"
    many = VARIANT_FILES
    options = {"tls": "true", "no_check_certificate": "true"}


class Script(Client):
    """A library of another language: a small program does one command each time."""

    program = ()
    environment = {}
    # What a program says of a sign-in that is refused.
    refusal = "530"

    def __init__(self, port, user):
        self.login = [self.mode, str(port), user]

    def script(self, command, *words, password=PASSWORD):
        environment = {**os.environ, **self.environment}
        return run(*self.program, *self.login, password, command, *map(str, words), environment=environment)

    def put(self, local, remote):
        self.script("put", local, remote)

    def get(self, remote, local):
        self.script("get", remote, local)

    def names(self, folder):
        return self.script("names", folder or "/").splitlines()

    def resume_put(self, local, remote):
        self.script("resume_put", local, remote)

    def resume_get(self, remote, local):
        self.script("resume_get", remote, local)

    def rename(self, old, new):
        self.script("rename", old, new)

    def delete(self, path):
        self.script("delete", path)

    def make_folder(self, path):
        self.script("make_folder", path)

    def put_all(self, local_folder, remote_folder):
        self.script("put_all", local_folder, remote_folder)

    def get_all(self, remote_folder, local_folder):
        self.script("get_all", remote_folder, local_folder)

    def wrong_password(self):
        try:
            self.script("login", password="not the password")
        except RuntimeError as error:
            return self.refusal in str(error)
        return False


class NetFtp(Script):
    name = "net-ftp"
    needs = ("perl",)
    program = ("perl", str(FOLDER / "net_ftp.pl"))


class NetFtpActive(NetFtp):
    name = "net-ftp-active"
    mode = "active"
    many = VARIANT_FILES


class BasicFtp(Script):
    name = "basic-ftp"
    needs = ("node", BASIC_FTP)
    program = ("node", str(FOLDER / "basic_ftp.js"))
    environment = {"NODE_PATH": str(BASIC_FTP)}


class BasicFtpExplicit(BasicFtp):
    name = "basic-ftp-explicit"
    mode = "explicit"
    # Node.js now and then destroys a TLS socket that nothing was written to before its close_notify has left; an upload
    # that ends so is refused while *TLS end of upload* is strict, as it must be.
    left_out = ("put_empty",)
    many = VARIANT_FILES


class BasicFtpImplicit(BasicFtp):
    name = "basic-ftp-implicit"
    mode = "implicit"
    left_out = BasicFtpExplicit.left_out
    many = VARIANT_FILES


class SuppaFtp(Script):
    name = "suppaftp"
    needs = (SUPPAFTP,)
    program = (str(SUPPAFTP),)


class SuppaFtpActive(SuppaFtp):
    name = "suppaftp-active"
    mode = "active"
    many = VARIANT_FILES


class SuppaFtpExplicit(SuppaFtp):
    name = "suppaftp-explicit"
    mode = "explicit"
    many = VARIANT_FILES


class SuppaFtpImplicit(SuppaFtp):
    name = "suppaftp-implicit"
    mode = "implicit"
    many = VARIANT_FILES


class Php(Script):
    name = "php"
    needs = ("php",)
    program = ("php", str(FOLDER / "php_ftp.php"))
    # It tells the words of a reply without its code.
    refusal = "Sign-in failed"


class PhpExplicit(Php):
    """PHP has no implicit TLS."""

    name = "php-explicit"
    mode = "explicit"
    many = VARIANT_FILES


class CommonsNet(Script):
    name = "commons-net"
    needs = ("java", "ecj", COMMONS_NET)
    program = (
        "java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
        "-Dfile.encoding=UTF-8", "-Dsun.jnu.encoding=UTF-8", "-Dstdout.encoding=UTF-8",
        "-cp", f"{COMMONS_NET}:{COMMONS_NET_CLASSES}", "CommonsNet",
    )

    def __init__(self, port, user):
        super().__init__(port, user)
        compiled_commons_net()


@functools.cache
def compiled_commons_net():
    # Eclipse's compiler: a fifth of what a JDK takes.
    source = str(FOLDER / "CommonsNet.java")
    run("ecj", "-11", "-proc:none", "-d", str(COMMONS_NET_CLASSES), "-cp", str(COMMONS_NET), source)


class CommonsNetExplicit(CommonsNet):
    name = "commons-net-explicit"
    mode = "explicit"
    many = VARIANT_FILES


class CommonsNetImplicit(CommonsNet):
    name = "commons-net-implicit"
    mode = "implicit"
    # Once TLS stands nothing differs from explicit TLS, and each start of Java takes its time.
    left_out = (
        "put_again", "get_missing", "rename", "temporary_name", "delete", "utf8_get", "big_put", "big_get", "put_all",
        "get_all",
    )
    many = VARIANT_FILES


class Aria2(Client):
    """Fetches only, in segments."""

    name = "aria2"
    needs = ("aria2c",)

    def __init__(self, port, user):
        self.root, self.user = f"ftp://127.0.0.1:{port}", user

    def script(self, *arguments, password=PASSWORD):
        quiet = ("--no-conf", "--download-result=hide", "--max-tries=1")
        return run("aria2c", *quiet, f"--ftp-user={self.user}", f"--ftp-passwd={password}", *arguments)

    def get(self, remote, local, *options):
        place = ("-d", str(local.parent), "-o", local.name)
        self.script(*place, "--remote-time=true", *options, self.root + urllib.parse.quote(remote))

    def resume_get(self, remote, local):
        self.get(remote, local, "--continue=true")

    def get_pieces(self, remote, local):
        self.get(remote, local, "--split=4", "--max-connection-per-server=4", "--min-split-size=1M")

    def wrong_password(self):
        try:
            self.script("--dry-run", f"{self.root}/Send/none", password="not the password")
        except RuntimeError as error:
            return "status=530" in str(error)
        return False


class Busybox(Client):
    name = "busybox"
    needs = ("busybox",)

    def __init__(self, port, user):
        self.login = ["-P", str(port), "-u", user, "-p", PASSWORD]

    def put(self, local, remote):
        run("busybox", "ftpput", *self.login, "127.0.0.1", remote, str(local))

    def get(self, remote, local, *options):
        run("busybox", "ftpget", *self.login, *options, "127.0.0.1", str(local), remote)

    def resume_get(self, remote, local):
        self.get(remote, local, "-c")

    def wrong_password(self):
        try:
            run("busybox", "ftpget", *self.login[:-1], "not the password", "127.0.0.1", os.devnull, "/Send/none")
        except RuntimeError as error:
            return "530" in str(error)
        return False


class Aioftp(Client):
    name = "aioftp"
    needs = ("python:aioftp",)

    def __init__(self, port, user):
        self.port, self.user = port, user

    def tls_context(self):
        return None

    def session(self, work, password=PASSWORD):
        import aioftp

        async def whole():
            there = ("127.0.0.1", self.port, self.user, password)
            async with aioftp.Client.context(*there, socket_timeout=60, ssl=self.tls_context()) as client:
                return await work(client)

        return asyncio.run(asyncio.wait_for(whole(), COMMAND_SECONDS_MAX))

    def put(self, local, remote, offset_of=None):
        async def work(client):
            offset = int((await client.stat(offset_of))["size"]) if offset_of else 0
            with open(local, "rb") as file:
                file.seek(offset)
                async with client.upload_stream(remote, offset=offset) as stream:
                    while block := file.read(65_536):
                        await stream.write(block)

        self.session(work)

    def get(self, remote, local, mode="wb"):
        async def work(client):
            with open(local, mode) as file:
                async with client.download_stream(remote, offset=file.tell()) as stream:
                    async for block in stream.iter_by_block(65_536):
                        file.write(block)

        self.session(work)

    def names(self, folder):
        async def work(client):
            return [path.name for path, _ in await client.list(folder or "/")]

        return self.session(work)

    def resume_put(self, local, remote):
        self.put(local, remote, offset_of=remote)

    def resume_get(self, remote, local):
        self.get(remote, local, mode="ab")

    def rename(self, old, new):
        self.session(lambda client: client.rename(old, new))

    def delete(self, path):
        self.session(lambda client: client.remove_file(path))

    def make_folder(self, path):
        self.session(lambda client: client.make_directory(path))

    def put_all(self, local_folder, remote_folder):
        # For a folder, aioftp 0.21 sends names relative to the target's parent and takes that for the current folder.
        async def work(client):
            await client.change_directory(Path(remote_folder).parent)
            await client.upload(local_folder, remote_folder, write_into=True)

        self.session(work)

    def get_all(self, remote_folder, local_folder):
        self.session(lambda client: client.download(remote_folder, local_folder, write_into=True))

    def wrong_password(self):
        async def work(_):
            return False

        try:
            return self.session(work, "not the password")
        except Exception as error:  # noqa: BLE001 - its own class, of a module that is imported late
            return "530" in str(error)


class AioftpImplicit(Aioftp):
    """It shakes hands on the data connection before it sends the command, and never resumes a session."""

    name = "aioftp-implicit-tls1.3"
    mode = "implicit"
    tls = "TLS 1.3"
    version = ssl.TLSVersion.TLSv1_3
    many = VARIANT_FILES

    def tls_context(self):
        context = unverified_context()
        context.minimum_version = context.maximum_version = self.version
        return context


class AioftpImplicitTls12(AioftpImplicit):
    name = "aioftp-implicit-tls1.2"
    tls = "TLS 1.2"
    version = ssl.TLSVersion.TLSv1_2


CLIENTS = [
    Curl, Lftp, Ftplib, Wget, Tnftp, InetutilsFtp, Ncftp, Rclone, NetFtp, Aioftp, BasicFtp, SuppaFtp,
    Php, CommonsNet, Aria2, Busybox,
    LftpDeflate,
    CurlActive, LftpActive, FtplibActive, WgetActive, TnftpActive, InetutilsFtpActive, NcftpActive, NetFtpActive,
    SuppaFtpActive,
    CurlTls12, CurlTls13, LftpExplicit, FtplibExplicit, RcloneExplicit, BasicFtpExplicit,
    SuppaFtpExplicit, PhpExplicit, CommonsNetExplicit,
    CurlImplicit, LftpImplicit, FtplibImplicit, RcloneImplicit, BasicFtpImplicit,
    SuppaFtpImplicit, CommonsNetImplicit,
    AioftpImplicit, AioftpImplicitTls12, CurlCertificateTls12, CurlCertificateTls13, FtplibCertificate,
]


def missing(client):
    """What a client needs and is not here."""
    def is_here(need):
        if isinstance(need, Path):
            return need.exists()
        if need.startswith("python:"):
            return importlib.util.find_spec(need.removeprefix("python:")) is not None
        return shutil.which(need) is not None

    return [str(need) for need in client.needs if not is_here(need)]
