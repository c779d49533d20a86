"""The flows: connectors of several types, arrows drawn by form and by drag, a file that is passed along, one that is not."""

import ftplib
import io
import time

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

WITHIN_SECONDS = 20


def waits_until(holds):
    end = time.monotonic() + WITHIN_SECONDS
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.1)
    return False


def add(browser, name, kind):
    browser.go("/flows")
    browser.fill(browser.named("id"), name)
    browser.fill(browser.named("type"), kind)
    browser.submit(browser.named("id"))


def connect(browser, source, target):
    browser.go("/flows")
    browser.fill(browser.named("from"), source)
    browser.fill(browser.named("to"), target)
    browser.submit(browser.named("from"))


def press_button(browser, words):
    for button in browser.driver.find_elements(By.CSS_SELECTOR, "main button"):
        if button.text.strip() == words:
            browser.press(button)
            return
    raise RuntimeError(f"no button {words!r} on {browser.path}")


def upload(appliance, partner, name, content):
    with ftplib.FTP() as ftp:
        ftp.connect("127.0.0.1", appliance.port, timeout=WITHIN_SECONDS)
        ftp.login(*partner)
        ftp.storbinary(f"STOR /Receive/{name}", io.BytesIO(content))


def journey(browser, appliance, partner, report):
    """`partner` is the name and password of acme-edi."""
    add(browser, "archive", "folder")
    report.check("Added archive." in browser.text and "password" not in browser.text.lower(), "a folder needs no password")
    browser.look("connector-folder")
    browser.fill(browser.named("keep_days"), "soon")
    browser.submit(browser.named("keep_days"))
    report.check(browser.status() == 422 and "soon" in browser.text, "what a folder cannot keep is refused")
    add(browser, "erp-inbound", "webhook")
    report.check("needs the address it posts to" in browser.text, "a webhook without an address is refused")
    browser.fill(browser.named("url"), "http://127.0.0.1:9/inbound")
    browser.submit(browser.named("url"))
    report.check("Its signing secret is shown here once" in browser.text, "a webhook's secret is shown once")
    browser.look("connector-webhook")
    add(browser, "globex-3pl", "ftp_server")
    connect(browser, "acme-edi", "archive")
    report.check("passed along to archive from now on" in browser.text, "an arrow is drawn by the form")
    connect(browser, "acme-edi", "archive")
    report.check("acme-edi passes files along to archive already" in browser.text, "an arrow that is there is refused")
    browser.look("flows-refused")
    drag(browser, "acme-edi", "globex-3pl", report)
    appliance.cli("connector", "set", "acme-edi", "settle_s=0")
    appliance.cli("connector", "set", "globex-3pl", "enabled=off")
    upload(appliance, partner, "passed.edi", b"passed along")
    there = appliance.data / "partners/archive/passed.edi"
    report.check(waits_until(there.exists), "an uploaded file is passed along to the folder")
    report.check(waits_until(lambda: "1 waiting" in reload(browser, "/flows")), "what a disabled target refuses waits, on the map")
    browser.look("flows-map")
    browser.go("/flows?view=list")
    report.check("archive and globex-3pl" in browser.text, "the list says in words what the arrows say")
    browser.look("flows-list")
    receipt = next(one["id"] for one in appliance.receipts("acme-edi") if one["name"] == "passed.edi")
    browser.go(f"/activity/receive/{receipt}")
    report.check("waits until it is enabled again" in browser.text, "and the receipt says what it waits for")
    # Enabled it would have the file at once; so it refuses this one by its filter.
    appliance.cli("connector", "set", "globex-3pl", "allowed_files_filter=*.x12")
    disabled_together(browser, f"/activity/receive/{receipt}", report)
    browser.go(f"/activity/receive/{receipt}")
    report.check("passed.edi matches no pattern of the filter" in browser.text and "Retrying" in browser.text, "the receipt tells each attempt")
    browser.look("receipt-deliveries")
    by_filter(browser, report)
    browser.go(f"/activity/receive/{receipt}")
    appliance.cli("connector", "set", "globex-3pl", "enabled=on", "allowed_files_filter=as_profile")
    press_button(browser, "Fire now")
    send = appliance.place("globex-3pl", "Send") / "passed.edi"
    report.check(waits_until(send.exists) and send.read_bytes() == b"passed along", "fired now, it is delivered")
    gone = appliance.place("acme-edi", "Receive") / "passed.edi"
    report.check(waits_until(lambda: not gone.exists()), "and has left Receive")
    report.check("Passed along" in reload(browser, f"/activity/receive/{receipt}"), "its receipt says so")
    send.unlink()
    press_button(browser, "Pass along again")
    report.check(waits_until(lambda: there.exists() or send.exists()), "it can be passed along again")
    browser.go("/flows")
    browser.press(browser.driver.find_element(By.CSS_SELECTOR, '[aria-label="Remove the arrow from acme-edi to globex-3pl"]'))
    browser.look("disconnect")
    press_button(browser, "Remove the arrow")
    report.check("acme-edi passes nothing along to globex-3pl any more" in browser.text, "an arrow is removed")
    appliance.cli("flow", "disconnect", "acme-edi", "archive")
    command(browser, appliance, partner, report)


def disabled_together(browser, receipt, report):
    """Connectors are enabled and disabled together; one that files wait for only after a second page."""
    def tick(name, act):
        browser.go("/flows?view=list")
        browser.driver.find_element(By.CSS_SELECTOR, f'[name="id"][value="{name}"]').click()
        browser.press(browser.driver.find_element(By.CSS_SELECTOR, f'button[name="act"][value="{act}"]'))
    tick("archive", "disable")
    report.check("1 connector is disabled." in browser.text, "a chosen connector is disabled from the list")
    tick("archive", "enable")
    tick("globex-3pl", "enable")
    report.check("1 connector is enabled." in browser.text, "and enabled")
    report.check(waits_until(lambda: "Retrying" in reload(browser, receipt)), "what waited for it is tried then")
    tick("globex-3pl", "disable")
    report.check("1 file waits for it" in browser.text, "one that a file waits for is asked about")
    browser.look("flows-disable")
    press_button(browser, "Disable all the same")
    report.check("1 connector is disabled." in browser.text, "and disabled all the same")


def by_filter(browser, report):
    """What waits is fired for all events of a filter at once, after a page that says how many there are."""
    browser.go("/activity/events?kind=after_receive&connector=acme-edi")
    browser.press(browser.driver.find_element(By.CSS_SELECTOR, 'a[href*="act=fire"]'))
    report.check("of the kind After receive of acme-edi: 1 delivery waiting" in browser.text, "what would be fired is told in numbers")
    browser.look("event-deliveries")
    press_button(browser, "Fire now")
    report.check("due now" in browser.text and "kind=after_receive" in browser.path, "and fired by the filter")
    browser.go("/activity/events/deliveries?act=again")
    report.check("that was delivered: their targets get" in browser.text or "that were delivered" in browser.text, "what was delivered can be passed along again too")
    browser.look("event-deliveries-again")


def command(browser, appliance, partner, report):
    """A program is run for each file of acme-edi."""
    add(browser, "orders", "command")
    report.check("needs the name of the program it runs" in browser.text, "a command without a program is refused")
    browser.fill(browser.named("program"), "import-orders")
    browser.submit(browser.named("program"))
    report.check("Added orders." in browser.text, "a command is added by its form")
    browser.fill(browser.named("arguments"), "{path} 'open")
    browser.submit(browser.named("arguments"))
    report.check(browser.status() == 422 and "close it with '" in browser.text, "arguments that cannot be read are refused")
    browser.fill(browser.named("arguments"), "{path}\n'%ConnectorId% %Filename%'")
    browser.submit(browser.named("arguments"))
    report.check("Saved. Applies to the next delivery." in browser.text, "its arguments are saved")
    browser.look("connector-command")
    connect(browser, "acme-edi", "orders")
    upload(appliance, partner, "orders.edi", b"what was ordered")
    ended = waits_until(lambda: any(one["status"] == "passed_along" for one in appliance.receipts("acme-edi") if one["name"] == "orders.edi"))
    report.check(ended, "the program is run for an uploaded file")
    receipt = next(one["id"] for one in appliance.receipts("acme-edi") if one["name"] == "orders.edi")
    said = ("Exit status 0", "what was ordered", "acme-edi orders.edi")
    text = reload(browser, f"/activity/receive/{receipt}")
    report.check(all(words in text for words in said), "the receipt tells what it said")
    reload(browser, "/flows")
    browser.look("flows-command")
    appliance.cli("connector", "remove", "orders")


def drag(browser, source, target, report):
    browser.go("/flows")
    port = browser.driver.find_element(By.CSS_SELECTOR, f'.node[data-id="{source}"] .port.out')
    card = browser.driver.find_element(By.CSS_SELECTOR, f'.node[data-id="{target}"]')
    ActionChains(browser.driver).click_and_hold(port).move_to_element(card).release().perform()
    chosen = [browser.named(name).get_attribute("value") for name in ("from", "to")]
    report.check(chosen == [source, target], "dragging from a port to a card fills the form")
    browser.submit(browser.named("from"))
    report.check(f"passed along to {target} from now on" in browser.text, "and Connect draws the arrow")


def reload(browser, path):
    browser.go(path)
    return browser.text


def long_name(browser, appliance):
    """The longest Connector Id makes no page wider than a telephone."""
    name = "a-name-of-sixty-four-characters.which_is_the_longest-there-can-b"
    add(browser, name, "ftp_server")
    for page in ("settings", "sheet", "delete"):
        browser.go(f"/connectors/{name}/{page}")
        browser.look(f"long-{page}")
    appliance.cli("connector", "remove", name)
