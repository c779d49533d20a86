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
        send = [one for one in browser.driver.find_elements("css selector", "main button") if one.text == "Send test"]
        browser.press(send[0])
        report.check("Sent to mira@example.com. The mail server said: 250 taken" in browser.text, "a test letter is sent")
        report.check("to see whether mail arrives" in MailServer.letters[-1], "and arrives")
        server.shutdown()
