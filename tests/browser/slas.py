"""The SLAs tab: what is due is added, refused, changed and removed; the month is shown."""

from selenium.webdriver.common.by import By


def journey(browser, report):
    page = "/connectors/acme-edi/slas"
    browser.go(page)
    browser.look("slas-empty")
    browser.fill(browser.named("until"), "25:00")
    browser.submit(browser.named("until"))
    report.check(browser.status() == 422 and "25:00 isn't a time of the day" in browser.text, "a time that is none is refused")
    browser.look("slas-error")
    browser.fill(browser.named("until"), "09:00")
    browser.fill(browser.named("zone"), "Europe/Berlin")
    browser.submit(browser.named("until"))
    words = "At least 1 file received by 09:00, Mon–Fri, Europe/Berlin"
    report.check(f"Saved: {words}." in browser.text, "an SLA is added and said in words")
    browser.go(page)
    browser.look("slas")
    # A window that began before the SLA was made is not judged: its files are asked for by address.
    sla = browser.driver.find_element(By.CSS_SELECTOR, f'form[action="{page}/remove"] input[name=sla]').get_attribute("value")
    browser.go(f"/activity/receive?sla=0,4102444800000000,{sla}")
    report.check("SLA of acme-edi: At least 1 file received by 09:00" in browser.text, "the files that count are a filter")
    browser.look("slas-files")
    browser.go(page)
    browser.press(browser.driver.find_element(By.LINK_TEXT, "Change"))
    browser.fill(browser.named("at_least"), "2")
    browser.submit(browser.named("at_least"))
    report.check("At least 2 files received by 09:00" in browser.text, "it is changed")
    button = browser.driver.find_element(By.CSS_SELECTOR, f'form[action="{page}/remove"] button')
    browser.press(button)
    report.check("Nothing is due" in browser.text, "and removed")
