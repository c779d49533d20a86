"""The Automation tab: actions are added, refused, changed and removed; what an event set off is on its page."""

from selenium.webdriver.common.by import By

from flows import upload, waits_until


def journey(browser, appliance, partner, report):
    page = "/connectors/acme-edi/automation"
    browser.go(page)
    browser.look("automation-empty")
    choose(browser, "kind", "mail")
    browser.submit(browser.named("mail_to"))
    report.check(browser.status() == 422 and "A letter needs somebody" in browser.text, "a letter to nobody is refused")
    browser.look("automation-error")
    browser.fill(browser.named("moment"), "before_send")
    browser.submit(browser.named("mail_to"))
    report.check("A letter cannot say no" in browser.text, "a letter is not asked before a file is sent")
    browser.fill(browser.named("moment"), "after_receive")
    choose(browser, "kind", "command")
    browser.fill(browser.named("names"), "*.act")
    browser.fill(browser.named("program"), "import-orders")
    browser.fill(browser.named("arguments"), "{path} %Filename%")
    browser.submit(browser.named("names"))
    report.check("Saved: After *.act is received: run import-orders." in browser.text, "an action is added and said in words")
    browser.go(page)
    browser.press(browser.driver.find_element(By.LINK_TEXT, "Change"))
    browser.fill(browser.named("size_min"), "2")
    browser.submit(browser.named("size_min"))
    report.check("After *.act of 2 or more is received" in browser.text, "it is changed")
    browser.go(page)
    browser.look("automation")
    upload(appliance, partner, "one.act", b"set off")

    def receipt():
        return next((one["id"] for one in appliance.receipts("acme-edi") if one["name"] == "one.act"), None)

    def told():
        browser.go(f"/activity/receive/{receipt()}")
        return "Exit status 0" in browser.text

    report.check(waits_until(receipt) and waits_until(told), "an uploaded file sets it off, and its receipt tells the attempt")
    report.check("Action: run import-orders" in browser.text and "set off" in browser.text, "with what the program said")
    browser.go("/activity/events?kind=listener_changed")
    browser.press(browser.driver.find_element(By.CSS_SELECTOR, "td.name a"))
    report.check("Event Id" in browser.text, "an event has a page of its own")
    browser.look("event")
    browser.go(page)
    browser.press(browser.driver.find_element(By.CSS_SELECTOR, f'form[action="{page}/remove"] button'))
    report.check("Files set nothing off" in browser.text, "an action is removed")


def event_targets(browser, report):
    """Profiles, Event targets: refused, added, tested at nobody, removed."""
    page = "/profiles/events"
    browser.go(page)
    browser.look("event-targets-empty")
    browser.fill(browser.named("url"), "monitor")
    browser.submit(browser.named("url"))
    report.check(browser.status() == 422 and "monitor isn't an address of the web" in browser.text, "an address that is none is refused")
    browser.look("event-targets-error")
    browser.fill(browser.named("url"), "http://127.0.0.1:9/events")
    choose(browser, "which", "alerts")
    browser.submit(browser.named("url"))
    report.check("Alerts to http://127.0.0.1:9/events" in browser.text, "an event target is added and said in words")
    report.check("signing secret is shown here once" in browser.text, "its secret is shown once")
    browser.go(page)
    browser.press(browser.driver.find_element(By.LINK_TEXT, "Change"))
    browser.enters(browser.named("description"), "Operations")
    kept = "Operations" in browser.text and "signing secret is shown here once" not in browser.text
    report.check(kept, "Enter saves a change, and makes no new secret")
    browser.go(page)
    browser.look("event-targets")
    browser.press(browser.driver.find_element(By.CSS_SELECTOR, f'form[action="{page}/test"] button'))
    report.check("Not sent, and tried again" in browser.text, "a test says what came of it")
    browser.press(browser.driver.find_element(By.CSS_SELECTOR, f'form[action="{page}/remove"] button'))
    report.check("Nobody is told by webhook" in browser.text, "it is removed")


def choose(browser, name, value):
    """One of a few, as radio buttons."""
    button = browser.driver.find_element(By.CSS_SELECTOR, f'input[name="{name}"][value="{value}"]')
    browser.driver.execute_script("arguments[0].click()", button)
