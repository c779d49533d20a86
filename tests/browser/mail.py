"""Profiles, Mail: refused, saved, and a test letter that a mail server takes."""

import socketserver
import threading


class MailServer(socketserver.StreamRequestHandler):
    """Takes every letter, in clear."""

    letters = []

    def handle(self):
        self.say("220 mail.example.com")
        while line := self.rfile.readline().decode().strip():
            if line == "DATA":
                self.say("354 go on")
                letter = b""
                while (part := self.rfile.readline()) not in (b".\r\n", b""):
                    letter += part
                MailServer.letters.append(letter.decode())
                self.say("250 taken")
            elif line == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 mail.example.com")

    def say(self, words):
        self.wfile.write(f"{words}\r\n".encode())


def send_test(browser):
    browser.press(next(one for one in browser.driver.find_elements("css selector", "main button") if one.text == "Send test"))


def own_alerts(browser, report):
    """A partner's alerts go to whom they concern, under a subject of their own."""
    browser.go("/connectors/acme-edi/alerts")
    report.check("As saved, mira@example.com is told." in browser.text, "a connector without own alerts tells everybody's recipients")
    browser.look("connector-alerts")
    browser.fill(browser.named("alert_to"), "nobody at all")
    browser.driver.execute_script("document.querySelector('[name=alerts][value=own]').click()")
    browser.submit(browser.named("alert_to"))
    report.check("nobody at all isn't a mail address" in browser.text, "a recipient that is none is refused")
    browser.look("connector-alerts-error")
    browser.fill(browser.named("alert_to"), "edi@acme.example")
    browser.fill(browser.named("alert_subject"), "[acme]")
    browser.submit(browser.named("alert_to"))
    report.check("As saved, edi@acme.example is told." in browser.text, "own recipients are told")
    send_test(browser)
    report.check("Sent to edi@acme.example" in browser.text, "and get a test letter")
    report.check("Subject: [acme] a test" in MailServer.letters[-1], "under its own subject")
    browser.driver.execute_script("document.querySelector('[name=alerts][value=global]').click()")
    browser.submit(browser.named("alert_to"))


def journey(browser, report):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), MailServer) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser.go("/profiles/mail")
        browser.look("mail")
        browser.fill(browser.named("mail_from"), "not an address")
        browser.submit(browser.named("mail_from"))
        report.check("not an address isn't a mail address" in browser.text, "a sender that is none is refused")
        browser.look("mail-error")
        for name, value in [
            ("mail_host", "127.0.0.1"), ("mail_port", str(server.server_address[1])), ("mail_from", "waybill@example.com"),
            ("mail_to", "mira@example.com"),
        ]:
            browser.fill(browser.named(name), value)
        browser.driver.execute_script("document.querySelector('[name=mail_tls][value=none]').click()")
        browser.submit(browser.named("mail_from"))
        report.check("Saved. In force now." in browser.text, "mail is set")
        send_test(browser)
        report.check("Sent to mira@example.com. The mail server said: 250 taken" in browser.text, "a test letter is sent")
        report.check("to see whether mail arrives" in MailServer.letters[-1], "and arrives")
        own_alerts(browser, report)
        server.shutdown()
