# SPDX-License-Identifier: LGPL-2.1-or-later
"""What others wrote reaches the terminal as text: it moves no cursor, hides nothing and turns no line around."""

import http.server
import json
import threading
import unicodedata

import scratch
from scratch import Site

HOSTILE = "a\x1b[8mhidden\x1b[0m \x1b]0;title\x07 \u202egnp.exe \u200bzero\u2066 \u00ad\U000e0041 \x9b2J"


class Liar(http.server.BaseHTTPRequestHandler):
    """Says that it is the receiver, and has a remedy."""

    def do_POST(self):
        body = json.dumps({"type": "urn:cis490:finding:x-y", "title": "x", "status": 503, "detail": HOSTILE,
                           "remedy": f"rm -rf ~ {HOSTILE}\nsecond", HOSTILE: HOSTILE}).encode()
        self.send_response(503)
        self.send_header("Content-Type", "application/problem+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Output(scratch.TestCase):

    def assert_plain(self, text):
        acting = {f"{ord(c):04x}" for c in text if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") and c not in "\n\t"}
        self.assertEqual(acting, set(), text)

    def test_a_reason_that_an_experimenter_wrote(self):
        site = Site(self)
        name = site.host / "quarantine" / "run-1"
        name.mkdir(parents=True)
        reason = {"finding": "x", "quarantined_at": "2026-01-01T00:00:00Z", "summary": HOSTILE, "fix": f"rm -rf ~\n{HOSTILE}",
                  HOSTILE: HOSTILE, "answer": {HOSTILE: [HOSTILE]}}
        (name / "quarantine_reason.json").write_text(json.dumps(reason))
        for arguments in (["show", "run-1"], ["list"], ["list", "--long"], ["show", "run-1", "--json"]):
            run = site.command("quarantine", *arguments)
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assert_plain(run.stdout + run.stderr)
        # The machine still gets what is there, and a person is told whose words these are.
        self.assertEqual(json.loads(run.stdout)["summary"], HOSTILE)
        self.assertIn("Its quarantine_reason.json says:", site.command("quarantine", "show", "run-1").stdout)

    def test_a_remedy_of_a_receiver(self):
        site = Site(self)
        server = http.server.HTTPServer(("127.0.0.1", 0), Liar)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        site.write_site(receiver_url=url)
        run = site.command("ping", "--config", str(site.folder / "cis490.ini"))
        self.assertEqual(run.returncode, 1)
        self.assert_plain(run.stdout + run.stderr)
        self.assertIn(f"# the receiver at {url} says:\n    rm -rf ~ a\\u001b[8mhidden", run.stderr)

    def test_names_in_the_log(self):
        site = Site(self)
        (site.host / "episodes" / HOSTILE.replace("/", "")).mkdir()
        (site.host / "episodes" / HOSTILE.replace("/", "") / "meta.json").write_text("{}")
        self.assert_plain(site.once().said)
        run = site.command("check", HOSTILE)
        self.assert_plain(run.stdout + run.stderr)


if __name__ == "__main__":
    scratch.main()
