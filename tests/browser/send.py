"""The Send tab: files go there one by one with how far each is, a lost connection is said and gone on from, a taken name is
refused; fetched by curl, removed by the browser; and the plain form of a browser without scripting."""

import subprocess
import time

from selenium.webdriver.common.by import By


def put(browser, files):
    """Chooses files and presses the button."""
    browser.named("files").send_keys("\n".join(map(str, files)))
    browser.driver.find_element(By.CSS_SELECTOR, "#add button.primary").click()


def network(browser, offline):
    conditions = {"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.driver.execute_cdp_cmd("Network.enable", {})
    browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)


def journey(browser, appliance, who, report):
    name, password = who
    browser.go(f"/connectors/{name}/send")
    browser.look("send-empty")
    files = [appliance.folder / "prices.csv", appliance.folder / "stock.csv"]
    for file in files:
        file.write_text("sku;price\n" * 1_000)
    put(browser, files)
    browser.until(lambda _: browser.live(".uploads").count("In Send, 10 KB") == 2)
    waiting = browser.live("#waiting")
    report.check("prices.csv" in waiting and "stock.csv" in waiting, "two files are put into Send, and the list shows them")
    put(browser, files[:1])
    report.check(browser.waits_for("prices.csv is there already"), "a taken name is refused")
    more = appliance.folder / "more.csv"
    more.write_text("sku;price\n")
    network(browser, offline=True)
    put(browser, [more, files[1]])
    report.check(browser.waits_for("Connection lost. Nothing half is in Send"), "a lost connection is said")
    report.check(browser.live(".uploads li:last-child").startswith("stock.csv") and "Waiting" in browser.live(".uploads li:last-child"),
                 "and the rest waits")
    report.check(not (appliance.place(name, "Send") / "more.csv").exists(), "nothing of it is there")
    network(browser, offline=False)
    # The browser notes what it could not reach; it was asked for.
    browser.driver.get_log("browser")
    browser.look("send-lost")
    browser.driver.find_element(By.XPATH, "//li[contains(., 'more.csv')]/button").click()
    browser.until(lambda _: "more.csv" in browser.live("#waiting"))
    browser.until(lambda _: "stock.csv is there already" in browser.live(".uploads li:last-child"))
    report.check((appliance.place(name, "Send") / "more.csv").read_text() == more.read_text(), "Retry puts it there, and goes on")
    browser.submit(browser.named("files"))
    report.check(browser.status() == 422 and "Choose at least one file" in browser.text, "no file at all is refused")
    browser.look("send-error")
    fetched_and_removed(browser, appliance, who, report)


def fetched_and_removed(browser, appliance, who, report):
    name, password = who
    got = subprocess.run(
        ["curl", "-sS", "--max-time", "30", "-u", f"{name}:{password}", f"ftp://127.0.0.1:{appliance.port}/Send/prices.csv"],
        capture_output=True, text=True,
    )
    report.check(got.stdout == "sku;price\n" * 1_000, f"the partner fetches the file {got.stderr.strip()}")
    end = time.monotonic() + 5
    browser.go(f"/connectors/{name}/send")
    row = "//tr[contains(., 'prices.csv')]"
    while "never" in browser.driver.find_element(By.XPATH, row).text and time.monotonic() < end:
        browser.driver.refresh()
    report.check(" 1" in browser.driver.find_element(By.XPATH, row).text, "the row counts the download")
    browser.look("send")
    browser.submit(browser.driver.find_element(By.XPATH, f"{row}//button"))
    report.check("Removed prices.csv" in browser.text, "the file is taken away")
    report.check(not (appliance.place(name, "Send") / "prices.csv").exists(), "it is gone from the disk")


def without_script(browser, appliance, name, report):
    """The plain form."""
    file = appliance.folder / "plain.csv"
    file.write_text("sku;price\n")
    browser.go(f"/connectors/{name}/send")
    browser.named("files").send_keys(str(file))
    browser.submit(browser.named("files"))
    report.check("Added plain.csv" in browser.text, "with scripting off a file is put into Send")
