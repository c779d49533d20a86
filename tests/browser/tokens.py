"""API tokens: refused, made and shown once, used, revoked."""

import json
import re
import urllib.error
import urllib.request

from selenium.webdriver.common.by import By


def ask(origin, token):
    """What the API says the token is."""
    request = urllib.request.Request(f"{origin}/api/v1", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def journey(browser, report, password):
    browser.go("/tokens")
    report.check("You have no token" in browser.text, "there is no token yet")
    browser.look("tokens-empty")
    browser.fill(browser.named("expires_days"), "soon")
    browser.submit(browser.named("own_password"))
    report.check(browser.status() == 422 and "There are 3 problems. Nothing was saved." in browser.text, "mistakes are told at once")
    browser.look("tokens-error")
    for name, value in [("name", "erp"), ("scope", "connectors"), ("expires_days", "30"), ("own_password", password)]:
        browser.fill(browser.named(name), value)
    browser.submit(browser.named("own_password"))
    token = browser.driver.find_element(By.ID, "new-password").text
    report.check(re.fullmatch(r"waybill_[A-Za-z0-9_-]{43}", token) is not None, "a token is made and shown")
    curl = browser.driver.find_element(By.ID, "curl").text
    report.check(curl == f'curl -H "Authorization: Bearer {token}" {browser.origin}/api/v1', "with a curl that works")
    status, about = ask(browser.origin, token)
    report.check(status == 200 and about["token"] == "erp" and about["scope"] == "connectors", "it opens the API")
    browser.go("/tokens")
    report.check(token not in browser.driver.page_source and "from 127.0.0.1" in browser.text, "it is shown once, its use is listed")
    browser.look("tokens")
    browser.press(browser.driver.find_element(By.LINK_TEXT, "Revoke"))
    report.check("It was last used on" in browser.text, "what would stop is said")
    browser.look("tokens-revoke")
    browser.press(browser.driver.find_element(By.CSS_SELECTOR, "main button.danger"))
    report.check("Revoked erp." in browser.text and "You have no token" in browser.text, "it is revoked")
    report.check(ask(browser.origin, token)[0] == 401, "and opens nothing any more")
