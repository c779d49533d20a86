"""Received files, many at once: chosen by keys or ticks, deleted after their number was typed; views with a name; whose
time the pages show."""

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from flows import upload


def journey(browser, appliance, who, report):
    for name in ("spare-1.x12", "spare-2.x12"):
        upload(appliance, who, name, b"ISA*00*")
    browser.go("/activity/receive?q=spare")
    if not browser.waits_for("spare-2.x12"):
        browser.go("/activity/receive?q=spare")
    for key in ("j", "x", "j", "x"):
        browser.driver.switch_to.active_element.send_keys(key)
    report.check("2 selected" in browser.live("#chosen"), "two rows are chosen by keys")
    browser.look("receive-chosen")
    browser.driver.switch_to.active_element.send_keys("x", "k")
    report.check("1 selected" in browser.live("#chosen"), "and one is let go")
    browser.driver.switch_to.active_element.send_keys(Keys.ENTER)
    report.check(browser.waits_for("Receive Id"), "Enter opens the row")
    browser.driver.find_element(By.TAG_NAME, "body").send_keys("j")
    rows = "return [...document.querySelectorAll('tbody tr:not(.detail)')].findIndex(r => r.contains(document.activeElement))"
    report.check(browser.driver.execute_script(rows) == 1, "and j goes on from it")
    browser.driver.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
    browser.until(lambda driver: "open=" not in driver.current_url)
    report.check("Receive Id" not in browser.text, "Escape closes it")
    browser.driver.find_element(By.CSS_SELECTOR, "[data-pick-all]").click()
    delete = '#chosen button[value="delete"]'
    browser.press(browser.driver.find_element(By.CSS_SELECTOR, delete))
    report.check("Delete 2 files?" in browser.text, "a page says what would be deleted")
    browser.look("receive-delete")
    browser.fill(browser.named("number"), "7")
    browser.submit(browser.named("number"))
    report.check("what you typed was" in browser.text, "another number deletes nothing")
    browser.look("receive-delete-error")
    browser.fill(browser.named("number"), "2")
    browser.submit(browser.named("number"))
    report.check("Deleted 2 files." in browser.text and browser.path.endswith("?q=spare"), "the number deletes them")
    report.check(browser.text.count("Removed") >= 2, "their rows stay and say so")
    browser.fill(browser.named("name"), "Spare parts")
    browser.submit(browser.named("name"))
    report.check("Saved as Spare parts." in browser.text, "the filter is saved as a view")
    browser.look("receive-view")
    looks(browser, report)


def looks(browser, report):
    """Times as the reader's clock shows them, and keys that do nothing."""
    browser.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Kathmandu"})
    browser.go("/me")
    browser.driver.find_element(By.CSS_SELECTOR, "input[name=times][value=local]").click()
    browser.driver.find_element(By.CSS_SELECTOR, "input[name=keys]").click()
    browser.submit(browser.named("keys"))
    browser.go("/activity/receive")
    times = "return [...document.querySelectorAll('tbody time')].map(t => [t.dateTime, t.textContent])"
    (utc, shown), *_ = browser.driver.execute_script(times)
    minutes = (int(utc[11:13]) * 60 + int(utc[14:16]) + 345) % 1440
    clock = f"{minutes // 60:02}:{minutes % 60:02}:{utc[17:19]}"
    report.check(shown.endswith(clock), f"a time is shown as in the reader's zone ({utc}: {shown})")
    report.check("Asia/Kat" in browser.text, "and the page says whose it is")
    browser.driver.find_element(By.CSS_SELECTOR, "tbody td.name a").click()
    browser.waits_for("Receive Id")
    begun, completed = browser.driver.execute_script("return [...document.querySelectorAll('dd time')].map(t => t.textContent)")
    report.check(completed.endswith(clock), f"so are the times of its receipt ({begun}, {completed})")
    browser.driver.find_element(By.TAG_NAME, "body").send_keys("gf")
    report.check(browser.path.startswith("/activity/receive"), "keys that were switched off do nothing")
    browser.go("/me")
    browser.driver.find_element(By.CSS_SELECTOR, "input[name=times][value=utc]").click()
    browser.driver.find_element(By.CSS_SELECTOR, "input[name=keys]").click()
    browser.submit(browser.named("keys"))
    browser.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": ""})
