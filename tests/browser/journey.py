#!/usr/bin/python3
"""One journey through the pages in headless Chromium: first run, connector, upload by curl, the row appears.

Every page is looked at by axe-core in light and dark, at 1280 and 390 px, and must not scroll sideways at 320 px. A second
run with scripting off adds a connector. Pictures of every page go to target/screenshots/.

    tests/browser/journey.py [--binary target/debug/waybill] [--axe target/axe/node_modules/axe-core/axe.min.js]
"""

import argparse
import base64
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, TimeoutException, WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import account  # noqa: E402
import automation  # noqa: E402
import chosen  # noqa: E402
import flows  # noqa: E402
import mail  # noqa: E402
import send  # noqa: E402
import slas  # noqa: E402
import tokens  # noqa: E402
from appliance import PROJECT, Appliance, free_port  # noqa: E402

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
WIDTHS = [1280, 390]
THEMES = ["light", "dark"]
NARROWEST = 320
HEIGHT = 900
PAGE_SECONDS_MAX = 20
FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--lang=en-GB",
]
ADMINISTRATOR = "mira.okafor"
ADMINISTRATOR_PASSWORD = "a long enough secret"
# What access::password::generate makes: 24 characters without those that look like others.
GENERATED = re.compile(r"(?<![A-Za-z0-9])[a-km-zA-HJ-NP-Z2-9]{24}(?![A-Za-z0-9])")


class Report:
    """Counts what held, and goes on after what did not."""

    def __init__(self):
        self.passed, self.failed = 0, 0

    def check(self, holds, words):
        if holds:
            self.passed += 1
            print(f"ok   {words}")
        else:
            self.failed += 1
            print(f"FAIL {words}")
        sys.stdout.flush()


class Browser:
    """A browser with a profile folder of its own."""

    def __init__(self, origin, report, axe=None, scripting=True):
        self.origin, self.report, self.axe, self.scripting = origin, report, axe, scripting
        self.profile = tempfile.mkdtemp(prefix="waybill-browser-")
        options = Options()
        options.binary_location = shutil.which("chromium")
        for flag in [*FLAGS, f"--user-data-dir={self.profile}", f"--window-size={WIDTHS[0]},{HEIGHT}"]:
            options.add_argument(flag)
        if not scripting:
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(service=Service(shutil.which("chromedriver")), options=options)
        self.driver.set_page_load_timeout(PAGE_SECONDS_MAX)
        self.driver.set_script_timeout(PAGE_SECONDS_MAX * 3)

    def close(self):
        self.driver.quit()
        shutil.rmtree(self.profile, ignore_errors=True)

    def go(self, path):
        self.driver.get(self.origin + path)

    @property
    def path(self):
        return self.driver.current_url.removeprefix(self.origin)

    @property
    def text(self):
        return self.driver.find_element(By.TAG_NAME, "body").text

    def named(self, name):
        return self.driver.find_element(By.CSS_SELECTOR, f'main [name="{name}"]')

    def labelled(self, words):
        """The control whose label holds these words."""
        for label in self.driver.find_elements(By.CSS_SELECTOR, "main label[for]"):
            if words.lower() in (label.text or "").lower():
                return self.driver.find_element(By.ID, label.get_attribute("for"))
        raise NoSuchElementException(f"no label holds {words!r} on {self.path}:\n{self.text}")

    def fill(self, control, text):
        if control.tag_name == "select":
            Select(control).select_by_value(text)
            return
        if control.get_attribute("type") == "radio":
            form = control.find_element(By.XPATH, "ancestor::form")
            form.find_element(By.CSS_SELECTOR, f'[name="{control.get_attribute("name")}"][value="{text}"]').click()
            return
        if not control.is_displayed() and self.scripting:
            self.driver.execute_script("arguments[0].closest('details')?.setAttribute('open', '')", control)
        control.clear()
        control.send_keys(text)

    def submit(self, control):
        """Sends the form that a control belongs to and waits for the answer."""
        form = control.find_element(By.XPATH, "ancestor::form")
        buttons = form.find_elements(By.CSS_SELECTOR, "button.primary") or form.find_elements(
            By.CSS_SELECTOR, "button:not([type=button])"
        )
        self.press(buttons[-1])

    def enters(self, control, typed):
        """Types into a field, then Enter, and waits for the answer."""
        before = self.driver.find_element(By.TAG_NAME, "html")
        control.send_keys(typed, Keys.ENTER)
        self.until(lambda _: is_gone(before))

    def press(self, element):
        """Clicks what leads to another page, and waits for it."""
        before = self.driver.find_element(By.TAG_NAME, "html")
        element.click()
        self.until(lambda _: is_gone(before))

    def until(self, holds):
        """What this says of the driver once it is true. What a page follows live may be replaced while it is read."""
        return WebDriverWait(self.driver, PAGE_SECONDS_MAX, ignored_exceptions=[WebDriverException]).until(holds)

    def live(self, selector):
        """The text of a part that the page may replace at any moment, read in one step."""
        return self.driver.execute_script("return document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def click(self, by, what):
        """Clicks what the page may replace between finding and clicking it."""
        def clicked(driver):
            driver.find_element(by, what).click()
            return True

        self.until(clicked)

    def waits_for(self, words):
        """Whether the page comes to show these words, wherever its lines break."""
        text = "return document.body ? document.body.innerText.replaceAll('\\n', '') : ''"
        try:
            return self.until(lambda driver: words in driver.execute_script(text))
        except TimeoutException:
            return False

    def status(self):
        return self.driver.execute_script("return performance.getEntriesByType('navigation')[0].responseStatus")

    def shape(self, width, theme):
        metrics = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def look(self, name):
        """Pictures, axe-core and the narrowest width for the page that is open."""
        found = {}
        for theme in THEMES:
            for width in WIDTHS:
                self.shape(width, theme)
                self.picture(f"{name}-{width}-{theme}")
                for violation in self.violations():
                    places = [" ".join(map(str, node["target"])) for node in violation["nodes"]]
                    found.setdefault(f"{violation['id']} at {', '.join(places[:3])}", []).append(f"{width} {theme}")
        self.shape(NARROWEST, THEMES[0])
        root = "document.documentElement"
        wide = self.driver.execute_script(f"return {root}.scrollWidth - {root}.clientWidth")
        inner = self.driver.execute_script(
            "return [...document.querySelectorAll('.tablewrap, .tabs')].filter(e => e.scrollWidth > e.clientWidth)"
            ".map(e => e.ariaLabel)"
        )
        self.picture(f"{name}-{NARROWEST}")
        self.shape(WIDTHS[0], THEMES[0])
        words = "; ".join(f"{what} ({', '.join(where)})" for what, where in found.items())
        self.report.check(not found, f"{name}: axe-core finds nothing {words}")
        self.report.check(wide <= 0, f"{name}: no sideways scroll at {NARROWEST} px ({wide} px)")
        self.report.check(not inner, f"{name}: no table and no tab is out of sight at {NARROWEST} px {inner or ''}")
        errors = [entry["message"] for entry in self.driver.get_log("browser") if not is_expected(entry)]
        self.report.check(not errors, f"{name}: nothing in the console {errors or ''}")

    def violations(self):
        if not self.driver.execute_script("return typeof axe === 'object'"):
            self.driver.execute_script(self.axe)
        script = """
            const done = arguments[arguments.length - 1];
            axe.run(document, { runOnly: { type: 'tag', values: arguments[0] }, resultTypes: ['violations'] })
                .then(result => done(result.violations), error => done([{ id: String(error), nodes: [] }]));
        """
        return self.driver.execute_async_script(script, RULES)

    def picture(self, name):
        folder = PROJECT / "target/screenshots"
        folder.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(folder / f"{name}.png"))


def is_gone(element):
    """Whether the page that an element was on is no longer there."""
    try:
        element.is_enabled()
        return False
    except WebDriverException:
        return True


def is_expected(entry):
    """A refused form is a 422, a stale one a 409, one without a sign-in a 403, and the set-up page is gone after the first run; the browser says so."""
    return any(f"status of {status}" in entry["message"] for status in (403, 409, 422)) or ("/setup" in entry["message"] and "404" in entry["message"])


class Session:
    """An FTP session in clear, to see that changes do not drop it."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.lines = self.socket.makefile("rb")
        self.greeting = self.reply()

    def reply(self):
        text = ""
        while True:
            line = self.lines.readline().decode()
            text += line
            if not line or re.match(r"\d{3} ", line):
                return text

    def send(self, command):
        self.socket.sendall(f"{command}\r\n".encode())
        return self.reply()


def generated_password(browser):
    values = [control.get_attribute("value") or "" for control in browser.driver.find_elements(By.TAG_NAME, "input")]
    found = GENERATED.search("\n".join([browser.text, *values]))
    return found.group(0) if found else None


def sign_in(browser):
    browser.go("/sign-in")
    browser.fill(browser.labelled("name"), ADMINISTRATOR)
    password = browser.driver.find_element(By.CSS_SELECTOR, 'main input[type="password"]')
    browser.fill(password, ADMINISTRATOR_PASSWORD)
    browser.submit(password)


def first_run(browser, appliance, report):
    browser.go("/")
    report.check(browser.path.startswith("/setup"), f"the first visit leads to the set-up page ({browser.path})")
    browser.look("setup")
    browser.fill(browser.labelled("code"), appliance.setup_code())
    browser.fill(browser.labelled("name"), ADMINISTRATOR)
    passwords = browser.driver.find_elements(By.CSS_SELECTOR, 'main input[type="password"]')
    for control in passwords:
        browser.fill(control, ADMINISTRATOR_PASSWORD)
    browser.submit(passwords[-1])
    report.check("/setup" not in browser.path, f"the administrator is made ({browser.path})")
    browser.driver.delete_all_cookies()
    browser.go("/flows")
    report.check(browser.path.startswith("/sign-in"), f"a stranger is asked to sign in ({browser.path})")
    browser.look("sign-in")
    sign_in(browser)
    report.check("/sign-in" not in browser.path, f"the administrator is signed in ({browser.path})")
    browser.go("/setup")
    report.check("/setup" not in browser.path or browser.status() in (403, 404), "the set-up page is gone")
    # The browser notes that refusal; it was asked for.
    browser.driver.get_log("browser")


def add_connector(browser, name, report):
    browser.go("/flows")
    browser.fill(browser.named("id"), name)
    browser.submit(browser.named("id"))
    password = generated_password(browser)
    report.check(f"/connectors/{name}" in browser.path, f"the new connector's page opens ({browser.path})")
    report.check(bool(password), "the generated password is shown")
    return password


def upload(appliance, name, password, report):
    with tempfile.NamedTemporaryFile(suffix=".x12") as file:
        file.write(b"ISA*00*" * 500)
        file.flush()
        target = f"ftp://127.0.0.1:{appliance.port}/Receive/orders.x12"
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "30", "-u", f"{name}:{password}", "-T", file.name, target],
            capture_output=True, text=True,
        )
    report.check(done.returncode == 0, f"curl uploads with the generated password {done.stderr.strip()}")


def receive_table(browser, appliance, name, password, report):
    browser.go("/activity/receive")
    browser.look("receive-empty")
    upload(appliance, name, password, report)
    newer = browser.until(lambda _: browser.live("#newrows a"))
    report.check("1 newer file" in newer, f"the open page says that a newer file is there ({newer})")
    browser.look("receive-newer")
    end = time.monotonic() + 1
    browser.go("/activity/receive")
    while "orders.x12" not in browser.text and time.monotonic() < end:
        browser.driver.refresh()
    report.check("orders.x12" in browser.text and name in browser.text, "the row appears in the Receive table")
    browser.look("receive")
    browser.driver.find_element(By.PARTIAL_LINK_TEXT, "orders.x12").click()
    digest = appliance.receipts(name)[0]["sha256"]
    report.check(browser.waits_for(digest), "the opened row shows the SHA-256")
    browser.look("receive-row")
    browser.go("/activity/receive?before=2001-01-01T00%3A00")
    report.check("No file fits" in browser.text, "the table begins at a time, and nothing is older")
    browser.look("receive-before")


def sessions(browser, appliance, name, password, report):
    browser.go("/activity/sessions")
    browser.look("sessions-empty")
    session = Session(appliance.port)
    browser.until(lambda _: "127.0.0.1" in browser.live("#sessions"))
    report.check("1 connected" in browser.text, "a session appears on the open page")
    report.check(browser.until(lambda _: "1 session" in browser.live("#lamp")), "the lamp counts it")
    browser.look("sessions")
    browser.press(browser.driver.find_element(By.PARTIAL_LINK_TEXT, "What is said"))
    session.send("NOOP")
    report.check(browser.until(lambda _: "C: NOOP" in browser.live("#session")), "what is said in a session is watched live")
    browser.look("session")
    browser.go("/activity/sessions")
    browser.click(By.CSS_SELECTOR, "#sessions form button")
    report.check(session.reply().startswith("421"), "Disconnect ends it with 421")
    browser.until(lambda _: "Nobody is connected" in browser.live("#sessions"))
    session = Session(appliance.port)
    browser.click(By.CSS_SELECTOR, '#sessions button[name="block"]')
    report.check(session.reply().startswith("421"), "Block ends the address's sessions")
    again = Session(appliance.port)
    again.send(f"USER {name}")
    report.check(again.send(f"PASS {password}").startswith("421"), "the right password does not help a blocked address")
    browser.go("/activity/blocked")
    report.check("127.0.0.1" in browser.text, "the blocked address is listed")
    browser.look("blocked")
    browser.submit(browser.driver.find_element(By.CSS_SELECTOR, 'main button'))
    report.check("Nobody is blocked" in browser.text, "Unblock lets it in again")
    again = Session(appliance.port)
    again.send(f"USER {name}")
    report.check(again.send(f"PASS {password}").startswith("230"), "the partner can sign in again")
    again.send("QUIT")
    browser.go("/activity/sessions")
    report.check("Past sessions" in browser.text and "Signed out after" in browser.text, "past sessions stand beneath the live ones")
    browser.look("sessions-past")
    browser.fill(browser.named("address"), "192.0.2.99")
    browser.submit(browser.named("address"))
    report.check("No past session fits" in browser.text and "Nobody is" not in browser.text, "they are asked for by address")
    browser.look("sessions-filtered")
    browser.go(f"/connectors/{name}/logs")
    for what in ("Signed out after", "Session", "Refusal", "Change"):
        report.check(what in browser.text, f"the Logs tab tells of: {what}")
    browser.look("logs")
    browser.press(browser.driver.find_element(By.PARTIAL_LINK_TEXT, "Signed out after"))
    report.check("Lasted" in browser.text, "the record of a session opens")
    browser.look("session-ended")


def activity(browser, name, report):
    """Lists with their filters, and the Receive table in another order."""
    browser.go("/activity/logs")
    report.check("logged in" in browser.text, "the application log tells who signed in")
    browser.look("app-log")
    for page in ("transfers", "events", "refusals"):
        browser.go(f"/activity/{page}?since=24h&connector={name}")
        report.check("Clear all" in browser.text, f"{page}: filters in force are shown")
        browser.look(page)
    browser.go("/activity/refusals")
    report.check("Last 24 hours" in browser.text, "refusals are grouped")
    browser.look("refusals-grouped")
    browser.driver.find_element(By.LINK_TEXT, "Why?").click()
    report.check("Why was" in browser.text, "a refusal is explained")
    marked = [len(browser.driver.find_elements(By.CSS_SELECTOR, what)) for what in (".wire .hit", ".steps .bad", ".steps .ok")]
    report.check(marked[:2] == [1, 1] and marked[2] > 5, f"the reply and the check that refused are marked ({marked})")
    browser.look("refusal")
    what_if(browser, name, report)
    browser.go("/activity/receive")
    browser.driver.find_element(By.PARTIAL_LINK_TEXT, "Size").click()
    order = browser.driver.find_element(By.CSS_SELECTOR, "th[aria-sort]")
    report.check(order.get_attribute("aria-sort") == "descending" and "Size" in order.text, "the table is ordered by size")
    browser.look("receive-by-size")


def what_if(browser, name, report):
    """From a refusal to whether it would be one now; what is wrong with the question; a yes."""
    browser.press(browser.driver.find_element(By.LINK_TEXT, "Would it be refused now?"))
    report.check("Answer" in browser.text and "Refused" in browser.text, "the same would be refused again, and why")
    browser.look("what-if-refused")
    browser.fill(browser.labelled("address"), "203.0.113")
    browser.submit(browser.labelled("address"))
    report.check(browser.status() == 422 and "isn’t an IP address" in browser.text, "what is wrong with a question is told")
    browser.look("what-if-error")
    browser.go(f"/connectors/{name}/settings")
    browser.fill(browser.driver.find_element(By.ID, "wi-address"), "127.0.0.1")
    path = browser.driver.find_element(By.ID, "wi-path")
    browser.fill(path, "/Receive/fresh.edi")
    browser.submit(path)
    report.check("Allowed" in browser.text, "the connector's page asks for its partner")
    browser.look("what-if-allowed")


def as_partner(browser, appliance, name, report):
    """A file is received in the browser as if the partner had sent it."""
    browser.go(f"/connectors/{name}/receive")
    browser.press(browser.driver.find_element(By.PARTIAL_LINK_TEXT, "as if the partner had"))
    browser.look("as-partner")
    file = appliance.folder / "trial.x12"
    file.write_text("ISA*00*")
    browser.named("files").send_keys(str(file))
    browser.submit(browser.named("files"))
    report.check("Received trial.x12" in browser.text, f"a file is received as if the partner had sent it ({browser.path})")
    names = [receipt["name"] for receipt in appliance.receipts(name)]
    report.check("trial.x12" in names, f"it has a receipt ({names})")


def dashboard(browser, appliance, name, password, report):
    """Trouble, figures, chart and sessions, while a partner is connected; a matter is put off and brought back."""
    for attempt in range(6):
        subprocess.run(["curl", "-sS", "--max-time", "20", "-u", f"{name}:{password}", "-T", "-",
                        f"ftp://127.0.0.1:{appliance.port}/Send/no-{attempt}.zip"], input=b"x", capture_output=True)
    browser.go("/")
    session = Session(appliance.port)
    browser.until(lambda _: "127.0.0.1" in browser.live("#sessions"))
    browser.until(lambda _: "6 times in the last hour" in browser.live("#attention"))
    report.check("no Write in this folder, 6 times" in browser.text, "refusals above the usual need attention")
    report.check("orders.x12" in browser.live("#latest"), "the latest file is shown")
    peaks = browser.driver.find_element(By.CSS_SELECTOR, "#chart svg").get_attribute("aria-label")
    report.check("received peaks at" in peaks, f"the chart tells its peak in words ({peaks})")
    browser.look("dashboard")
    browser.click(By.CSS_SELECTOR, '#attention button[value="tomorrow"]')
    browser.waits_for("Put off until")
    report.check("Put off until" in browser.text, "a matter is put off")
    browser.look("dashboard-snoozed")
    browser.driver.find_element(By.LINK_TEXT, "24 hours").click()
    browser.driver.find_element(By.LINK_TEXT, "Show as table").click()
    report.check("Received a minute" in browser.text, "the chart can be read as a table")
    browser.look("dashboard-table")
    session.send("QUIT")


def partner_sheet(browser, name, report):
    """The sheet is on one page of paper and never holds the password."""
    browser.go(f"/connectors/{name}/sheet?contact=edi%40example.com")
    browser.look("sheet")
    paper = {"paperWidth": 8.27, "paperHeight": 11.69, "preferCSSPageSize": False, "printBackground": False}
    printed = base64.b64decode(browser.driver.execute_cdp_cmd("Page.printToPDF", paper)["data"])
    pages = len(re.findall(rb"/Type\s*/Page[^s]", printed))
    (PROJECT / "target/screenshots/sheet.pdf").write_bytes(printed)
    report.check(pages == 1, f"the partner sheet prints on one page of A4 ({pages})")
    browser.press(browser.driver.find_element(By.XPATH, "//button[contains(., 'has this sheet')]"))
    report.check("has sheet 1" in browser.text, f"it is noted that the partner has it ({browser.path})")


def test_connection(browser, appliance, name, report):
    """The door is tried from here, in the open and through TLS; nothing is left behind."""
    browser.go(f"/connectors/{name}/test")
    before = len(appliance.receipts(name))
    for mode, words in (("explicit", "TLS 1.3"), ("none", "The profile offers none")):
        appliance.cli("profile", "set", f"ftp_over_tls={mode}")
        time.sleep(0.5)
        browser.go(f"/connectors/{name}/test")
        browser.submit(browser.driver.find_element(By.CSS_SELECTOR, "main form button.primary"))
        report.check("and deleted it" in browser.text and words in browser.text, f"every step is tried, TLS {mode}")
    report.check(len(appliance.receipts(name)) == before, "the test left no receipt")
    browser.look("test")
    appliance.cli("profile", "set", "ftp_over_tls=explicit")
    appliance.cli("connector", "set", name, "enabled=off")
    time.sleep(0.5)
    browser.submit(browser.driver.find_element(By.CSS_SELECTOR, "main form button.primary"))
    report.check("Failed" in browser.text and "The connector is switched off" in browser.text, "the failing step is explained")
    browser.look("test-failed")
    appliance.cli("connector", "set", name, "enabled=on")


def change_profile(browser, appliance, report):
    session = Session(appliance.port)
    browser.go("/profiles/ftp")
    browser.look("profile")
    port = free_port()
    browser.fill(browser.named("port"), str(port))
    browser.fill(browser.named("welcome_message"), "Dock 7, rear entrance")
    browser.submit(browser.named("port"))
    end = time.monotonic() + 5
    while not ("listening" in browser.text.lower() and str(port) in browser.text) and time.monotonic() < end:
        browser.go("/profiles/ftp")
    report.check("listening" in browser.text.lower() and str(port) in browser.text, "the page says Listening, on the new port")
    browser.look("profile-saved")
    report.check(Session(port).greeting == "220 Dock 7, rear entrance\r\n", "the new port greets with the new message")
    report.check(session.send("NOOP").startswith("200"), "the session from before is still there")
    appliance.port = port

    browser.fill(browser.named("port"), "70000")
    browser.submit(browser.named("port"))
    refused(browser, "profile-error", "70000", report)
    pick_after_a_stale_save(browser, appliance, report)


def pick_after_a_stale_save(browser, appliance, report):
    """Somebody else saves while the form is open: both values stand side by side, and the reader picks."""
    browser.go("/profiles/ftp")
    browser.fill(browser.named("unfinished_keep_h"), "48")
    browser.fill(browser.named("log_keep_days"), "31")
    appliance.cli("profile", "set", "unfinished_keep_h=36")
    browser.submit(browser.named("port"))
    report.check(browser.status() == 409, f"a stale save is told as one ({browser.status()})")
    browser.look("profile-stale")
    browser.driver.find_element(By.CSS_SELECTOR, "[name='pick.unfinished_keep_h'][value=stored]").click()
    browser.submit(browser.named("port"))
    shown = appliance.cli("profile", "show")
    report.check("unfinished_keep_h=36\n" in shown and "log_keep_days=31\n" in shown, "each setting has the value that was picked")


def refused(browser, name, typed, report):
    """What holds for every form that was refused."""
    report.check(browser.status() == 422, f"{name}: status 422 ({browser.status()})")
    report.check(browser.driver.title.startswith("Error:"), f"{name}: the title says so ({browser.driver.title})")
    focused = browser.driver.execute_script("return !!document.activeElement.closest('[data-error-summary]')")
    report.check(focused, f"{name}: the summary has the focus")
    values = browser.driver.execute_script("return [...document.querySelectorAll('main [name]')].map(c => c.value)")
    report.check(any(typed in (value or "") for value in values), f"{name}: what was typed is still there")
    browser.look(name)


def filter_tester(browser, report):
    """A verdict for a name, and none where there is no name."""
    verdict = "const o = document.querySelector('.tester output'); return [o.className, o.textContent]"
    name = browser.driver.find_element(By.ID, "try-name")
    name.send_keys("a")
    said = browser.until(lambda driver: next((said for said in [driver.execute_script(verdict)] if said[0]), None))
    report.check(said[0] == "yes", f"a name that passes the filter is said to ({said})")
    name.send_keys(Keys.BACKSPACE)
    browser.until(lambda driver: "Type a file name" in driver.execute_script(verdict)[1])
    said = browser.driver.execute_script(verdict)
    report.check(said[0] == "", f"no name is no mistake ({said})")


def connector_pages(browser, name, report):
    browser.look("connector-new")
    browser.go(f"/connectors/{name}/settings")
    report.check(generated_password(browser) is None, "the generated password is shown only once")
    browser.look("connector-settings")
    browser.enters(browser.named("description"), ", and Enter")
    report.check(browser.waits_for("Saved.") and generated_password(browser) is None, "Enter saves, and makes no password")
    browser.go(f"/connectors/{name}/settings")
    browser.fill(browser.named("allowed_addresses"), "10.0.0.0/40")
    browser.submit(browser.named("allowed_addresses"))
    refused(browser, "connector-error", "10.0.0.0/40", report)
    browser.go(f"/connectors/{name}/advanced")
    browser.look("connector-advanced")
    scheme = browser.named("local_file_scheme")
    browser.driver.execute_script("arguments[0].setSelectionRange(0, 0)", scheme)
    # Out of reach of the save bar, which stays at the bottom.
    browser.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", scheme)
    browser.click(By.XPATH, "//button[@data-insert='local_file_scheme'][.='%ShortDate%']")
    browser.picture("connector-macros")
    scheme.send_keys("_")
    put = scheme.get_property("value")
    report.check(put == "%ShortDate%_%Filename%", f"a macro is put where the cursor stands ({put})")
    filter_tester(browser, report)
    browser.go(f"/connectors/{name}/advanced")
    browser.fill(browser.named("scheme"), "%Nonsense%")
    browser.named("scheme").submit()
    browser.until(lambda driver: "Nonsense" in driver.current_url)
    report.check("%FilenameNoExt%" in browser.text, "a scheme that cannot be used is said, with the macros there are")
    browser.look("connector-scheme-error")
    browser.go("/flows")
    report.check(name in browser.text, "the connector is on the Flows page")
    browser.look("flows")
    browser.fill(browser.named("id"), name.upper())
    browser.submit(browser.named("id"))
    refused(browser, "flows-error", name.upper(), report)


def administration(browser, report):
    """What an admin alone sees: each page, and its form when it was refused."""
    browser.go("/certificates")
    browser.look("certificates")
    browser.fill(browser.named("name"), "files, and more")
    browser.submit(browser.named("name"))
    refused(browser, "certificates-error", "files, and more", report)
    browser.fill(browser.named("made_name"), "files")
    browser.fill(browser.named("hosts"), "files.example.com 192.0.2.7")
    browser.submit(browser.named("hosts"))
    report.check("files.example.com" in browser.text, "a self-signed certificate is made and listed")
    browser.press(browser.driver.find_element(By.LINK_TEXT, "files"))
    browser.fill(browser.named("hosts"), "new.example.com")
    browser.submit(browser.named("hosts"))
    report.check("Roll back" in browser.text and "new.example.com" in browser.text, "it is replaced and could come back")
    browser.look("certificate")
    acme(browser, report)
    browser.go("/users")
    browser.look("users")
    browser.fill(browser.named("name"), "kim")
    browser.submit(browser.named("name"))
    refused(browser, "users-error", "kim", report)
    browser.fill(browser.named("own_password"), ADMINISTRATOR_PASSWORD)
    browser.submit(browser.named("own_password"))
    report.check(generated_password(browser) is not None, "the new user's password is shown")
    browser.press(browser.driver.find_element(By.LINK_TEXT, "kim"))
    browser.look("user")
    browser.go("/audit")
    report.check("administrator kim" in browser.text, "the audit tells who was added")
    browser.look("audit")
    browser.go("/settings")
    browser.look("settings")
    browser.fill(browser.named("time_zone"), "Mars/Base")
    browser.submit(browser.named("time_zone"))
    refused(browser, "settings-error", "Mars/Base", report)


def acme(browser, report):
    """An authority that nobody reaches: what is wrong is said, and asked again on demand."""
    browser.go("/certificates/acme")
    report.check("Off" in browser.text, "no authority is asked by itself")
    browser.look("acme")
    browser.fill(browser.named("acme_hosts"), "192.0.2.7")
    browser.driver.find_element(By.ID, "acme").click()
    browser.submit(browser.named("acme_hosts"))
    refused(browser, "acme-error", "192.0.2.7", report)
    browser.fill(browser.named("acme_hosts"), "ftp.example.com")
    browser.fill(browser.named("acme_directory"), f"https://localhost:{free_port()}/dir")
    browser.submit(browser.named("acme_hosts"))
    report.check("The authority is asked for ftp.example.com now" in browser.text, "switching ACME on is said")

    def failing(driver):
        driver.refresh()
        return "Ask again now" in browser.text

    browser.until(failing)
    report.check("Could not connect" in browser.text, "the page says why no certificate was issued")
    browser.look("acme-failing")
    browser.go("/")


    def told(driver):
        driver.refresh()
        return "No certificate was issued by ACME" in browser.text

    # What needs attention is looked at every two seconds.
    browser.until(told)
    report.check(told(browser.driver), "the dashboard tells it")
    browser.go("/certificates/acme")
    browser.driver.find_element(By.ID, "acme").click()
    browser.submit(browser.named("acme_hosts"))
    report.check("No authority is asked" in browser.text, "switching ACME off is said")


def without_scripting(origin, appliance, report):
    browser = Browser(origin, report, scripting=False)
    try:
        sign_in(browser)
        password = add_connector(browser, "no-script", report)
        browser.go("/connectors/no-script/settings")
        browser.fill(browser.named("description"), "Added without a script")
        browser.submit(browser.named("description"))
        browser.go("/flows")
        report.check(bool(password) and "no-script" in browser.text, "with scripting off a connector is added and changed")
        browser.picture("flows-no-script")
        send.without_script(browser, appliance, "no-script", report)
    finally:
        browser.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=PROJECT / "target/debug/waybill", type=Path)
    parser.add_argument("--axe", default=PROJECT / "target/axe/node_modules/axe-core/axe.min.js", type=Path)
    arguments = parser.parse_args()
    report = Report()
    with Appliance(arguments.binary) as appliance:
        appliance.program("import-orders", "cat \"$1\"; echo; echo $2")
        appliance.start()
        origin = f"http://{appliance.web}"
        browser = Browser(origin, report, axe=arguments.axe.read_text())
        try:
            first_run(browser, appliance, report)
            browser.go("/")
            report.check("First steps" in browser.text, "the dashboard of a new appliance shows the first steps")
            browser.look("dashboard-empty")
            browser.go("/flows")
            browser.look("flows-empty")
            password = add_connector(browser, "acme-edi", report)
            connector_pages(browser, "acme-edi", report)
            receive_table(browser, appliance, "acme-edi", password, report)
            sessions(browser, appliance, "acme-edi", password, report)
            send.journey(browser, appliance, ("acme-edi", password), report)
            as_partner(browser, appliance, "acme-edi", report)
            chosen.journey(browser, appliance, ("acme-edi", password), report)
            dashboard(browser, appliance, "acme-edi", password, report)
            partner_sheet(browser, "acme-edi", report)
            activity(browser, "acme-edi", report)
            flows.journey(browser, appliance, ("acme-edi", password), report)
            flows.long_name(browser, appliance)
            automation.journey(browser, appliance, ("acme-edi", password), report)
            automation.event_targets(browser, report)
            slas.journey(browser, report)
            mail.journey(browser, report)
            account.journey(browser, ADMINISTRATOR_PASSWORD, sign_in, report)
            tokens.journey(browser, report, ADMINISTRATOR_PASSWORD)
            tokens.export_and_import(browser, report, ADMINISTRATOR_PASSWORD)
            test_connection(browser, appliance, "acme-edi", report)
            change_profile(browser, appliance, report)
            administration(browser, report)
            without_scripting(origin, appliance, report)
        except Exception:
            browser.picture("where-it-stopped")
            print(f"Stopped at {browser.path}, see target/screenshots/where-it-stopped.png\n{browser.text}\n{appliance.tail()}")
            raise
        finally:
            browser.close()
        appliance.stop()
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
