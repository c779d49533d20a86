"""My account: a second factor is set up as with an app, asked for at the next sign-in, and switched off again."""

import base64
import hashlib
import hmac
import struct
import time


def code(key, steps=0):
    """What an app shows (RFC 6238), `steps` of thirty seconds from now; not at the end of one, so that it is typed in time."""
    if time.time() % 30 > 24:
        time.sleep(30 - time.time() % 30)
    counter = struct.pack(">Q", int(time.time()) // 30 + steps)
    mac = hmac.new(base64.b32decode(key.replace(" ", "")), counter, hashlib.sha1).digest()
    at = mac[-1] & 15
    return f"{(struct.unpack('>I', mac[at:at + 4])[0] & 0x7FFFFFFF) % 1_000_000:06}"


def journey(browser, password, sign_in, report):
    browser.press(browser.driver.find_element("css selector", ".side .me a.who"))
    report.check(browser.path == "/me", "the own name leads to the own account")
    browser.look("account")
    browser.press(browser.driver.find_element("css selector", "#begin button"))
    key = browser.driver.find_element("id", "totp-key").text
    browser.look("account-enrol")
    browser.fill(browser.named("code"), "000000")
    browser.submit(browser.named("code"))
    report.check(browser.status() == 422 and "not the code of this key" in browser.text, "a wrong first code is refused")
    browser.look("account-error")
    browser.fill(browser.named("code"), code(key, -1))
    browser.fill(browser.named("own_password"), password)
    browser.submit(browser.named("own_password"))
    report.check("shown this once" in browser.text, "recovery codes are shown once")
    spare = browser.driver.find_element("id", "codes").text.split()
    report.check(len(set(spare)) == 10, "there are ten of them")
    browser.look("account-codes")
    browser.go("/me")
    report.check("10 recovery codes are left" in browser.text, "the second factor is on")
    browser.look("account-on")
    browser.driver.delete_all_cookies()
    browser.submit(browser.named("off_password"))
    report.check(browser.status() == 403 and "Nothing was saved." in browser.text, "a form without a sign-in saves nothing")
    browser.look("sign-in-lost")
    report.check(browser.named("to").get_attribute("value") == "/me", "and the sign-in leads back to its page")
    sign_in(browser)
    report.check("Second factor" in browser.text, "after the password the code is asked for")
    browser.look("sign-in-code")
    browser.fill(browser.named("code"), "123")
    browser.submit(browser.named("code"))
    report.check("wrong, or was used already" in browser.text, "a wrong code is refused")
    browser.look("sign-in-code-error")
    browser.fill(browser.named("code"), code(key))
    browser.submit(browser.named("code"))
    report.check(browser.path == "/", f"the right one signs in ({browser.path})")
    browser.go("/me")
    browser.fill(browser.named("off_password"), password)
    browser.press(browser.driver.find_element("css selector", "form[action='/me/second-factor/off'] button"))
    report.check("Your second factor is off." in browser.text, "it is switched off again")
    backup(browser, password, sign_in, report)


def backup(browser, password, sign_in, report):
    """A passphrase is set, a backup made and tried."""
    browser.go("/settings/backup")
    browser.look("backup-none")
    browser.fill(browser.named("backup_at"), "25:00")
    browser.submit(browser.named("backup_at"))
    report.check(browser.status() == 422 and "isn't a time of the day" in browser.text, "a time that is none is refused")
    browser.look("backup-error")
    browser.fill(browser.named("backup_at"), "02:30")
    browser.fill(browser.named("passphrase"), "a long passphrase")
    browser.fill(browser.named("own_password"), password)
    browser.submit(browser.named("backup_at"))
    report.check("Saved. In force from the next backup." in browser.text, "a passphrase is set")
    browser.press(browser.driver.find_element("css selector", "form[action='/settings/backup/now'] button"))
    report.check("was made" in browser.text, "a backup is made now")
    browser.press(browser.driver.find_element("css selector", "form[action='/settings/backup/try'] button"))
    report.check("It can be put back" in browser.text, "it is tried")
    browser.look("backup")
    restore(browser, password, sign_in, report)


def restore(browser, password, sign_in, report):
    """The backup takes the place of what is in use, and the appliance begins anew by itself."""
    browser.go("/connectors/acme-edi/settings")
    before = browser.named("description").get_attribute("value")
    browser.fill(browser.named("description"), "changed after the backup")
    browser.submit(browser.named("description"))
    browser.go("/settings/backup")
    browser.press(browser.driver.find_element("css selector", "button[formaction='/settings/backup/restore']"))
    report.check("Put this backup back?" in browser.text, "a page says what would be lost")
    browser.look("restore")
    browser.fill(browser.named("confirm"), "yes")
    browser.submit(browser.named("confirm"))
    report.check(browser.status() == 422 and "Type restore to confirm" in browser.text, "it has to be confirmed")
    browser.look("restore-error")
    browser.fill(browser.named("own_password"), password)
    browser.fill(browser.named("confirm"), "restore")
    browser.submit(browser.named("confirm"))
    report.check("Beginning anew" in browser.text, "the appliance begins anew")
    browser.until(lambda driver: driver.current_url.endswith("/sign-in") and driver.find_element("id", "name"))
    sign_in(browser)
    report.check(browser.path == "/", f"who was signed in signs in anew ({browser.path})")
    browser.go("/connectors/acme-edi/settings")
    report.check(browser.named("description").get_attribute("value") == before, "what came after the backup is gone")
    browser.go("/audit")
    report.check("restored" in browser.text, "the audit says who put it back")
