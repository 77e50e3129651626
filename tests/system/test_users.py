# SPDX-License-Identifier: LGPL-2.1-or-later
"""Several users work on one quarantine: the shipper's, root, and whoever may not."""

import os
import re
import subprocess

import scratch
from scratch import PROGRAM
from test_quarantine import QuarantineSite


class Users(scratch.TestCase):

    def setUp(self):
        super().setUp()
        self.site = QuarantineSite(self)

    def test_what_cannot_be_removed_keeps_nothing_else(self):
        site = self.site
        for name in ("bad", "other"):
            site.episode(name, files={"logs/line": b"1"}, stamped=False)
        site.become_nobody()
        self.assertEqual(site.once().status, 65)
        os.chown(site.host / "quarantine" / "bad" / "logs", 0, 0)
        run = site.quarantine("purge", "bad", "--yes", status=77)
        self.assertIn("Permission denied", run.stderr)
        run = site.quarantine("purge", "--all", "--yes", status=77)
        self.assertIn("Cannot finish the removal of", run.stderr)
        self.assertEqual(os.listdir(site.host / "quarantine"), [".bad.purged"])
        os.chown(site.host / "quarantine" / ".bad.purged" / "logs", scratch.NOBODY, scratch.NOBODY)
        site.quarantine("purge", "--all", "--yes")
        self.assertEqual(os.listdir(site.host / "quarantine"), [])

    def test_what_is_not_permitted_is_not_noted(self):
        site = self.site
        site.become_nobody()
        site.episode("one", stamped=False)
        os.chown(site.host / "episodes" / "one", scratch.NOBODY, scratch.NOBODY)
        self.assertEqual(site.once("drain").status, 65)
        (site.host / "quarantine").chmod(0o755)
        for place, verb in (("episodes", "release"), ("quarantine", "release"), ("quarantine/one", "release"),
                            ("quarantine", "purge")):
            with self.subTest(place=place, verb=verb):
                os.chown(site.host / place, 0, 0)
                run = site.quarantine(verb, "one", *(["--yes"] if verb == "purge" else []), status=77)
                self.assertIn(str(site.host / place), run.stderr)
                self.assertEqual((site.names("quarantine"), site.audit()), (["one"], []))
                os.chown(site.host / place, scratch.NOBODY, scratch.NOBODY)
        audit = site.host / "audit.jsonl"
        os.chown(audit, 0, 0)
        run = site.quarantine("release", "one", status=77)
        fix = re.search(r"\((chown [^)]*)\)", run.stderr)[1]
        self.assertIn(str(audit), fix)
        self.assertEqual(site.paste(fix).returncode, 0)
        site.quarantine("release", "one", "two", status=1)
        self.assertEqual([(line["verb"], line["id"]) for line in site.audit()], [("release", "one")])

    def test_root_helps_a_shipper_that_is_not(self):
        site = self.site
        site.episode("one", stamped=False)
        site.become_nobody()
        self.assertEqual(site.once().status, 65)
        run = subprocess.run([PROGRAM, "quarantine", "release", "one", "--state", site.host], capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(site.once().status, 65)
        self.assertEqual(site.reason("one")["attempts"], 1)
        site.quarantine("release", "one")
        run = subprocess.run([PROGRAM, "run", "drain", "--once", "--config", site.folder / "cis490.ini"], capture_output=True,
                             text=True, env={**site.environment, "STATE_DIRECTORY": str(site.host)})
        self.assertEqual(run.returncode, 65, run.stderr)
        self.assertEqual(site.listed()["entries"][0]["attempts"], 2)

    def test_root_packs_for_a_shipper_that_is_not(self):
        site = self.site
        site.episode("one")
        site.become_nobody()
        nobody, site.prefix = site.prefix, ()
        self.assertEqual(site.once().status, 75)
        self.assertEqual(site.names("outbox"), ["one.json", "one.tar.zst"])
        site.prefix = nobody
        site.receiver()
        self.assertEqual(site.once().status, 0)
        self.assertEqual(site.names("shipped"), ["one"])

    def test_root_that_may_give_nothing_away(self):
        """As in a container: what it makes is its own already."""
        site = self.site
        site.episode("one")
        os.chown(site.host, -1, scratch.NOBODY)
        site.receiver()
        site.prefix = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--clear-groups", "--")
        self.assertEqual(site.once().status, 0)
        self.assertEqual(site.names("shipped"), ["one"])
        site.episode("two", stamped=False)
        self.assertEqual(site.once().status, 65)
        run = subprocess.run([*site.prefix, PROGRAM, "quarantine", "release", "two", "--state", site.host], capture_output=True,
                             text=True)
        self.assertEqual(run.returncode, 0, run.stderr)

    def test_what_cannot_be_read_is_packed_anew(self):
        site = self.site
        site.episode("one")
        site.become_nobody()
        self.assertEqual(site.once().status, 75)
        os.chown(site.host / "outbox" / "one.tar.zst", 0, 0)
        site.receiver()
        self.assertEqual(site.once().status, 0)
        self.assertEqual(site.names("shipped"), ["one"])

    def test_root_drains_before_there_was_a_shipper(self):
        site = self.site
        site.episode("kept")
        site.episode("one", stamped=False)
        site.become_nobody()
        site.receiver()
        nobody, site.prefix = site.prefix, ()
        self.assertEqual(site.once("drain").status, 65)
        site.prefix = nobody
        for name in ("outbox", "receipts", "shipped", "quarantine"):
            info = (site.host / name).stat()
            self.assertEqual((info.st_uid, info.st_gid), (scratch.NOBODY, scratch.NOBODY), name)
        self.assertEqual(site.once().status, 0)
        self.assertEqual(site.names("shipped"), ["kept"])
        site.quarantine("release", "one")


if __name__ == "__main__":
    scratch.main()


class Proxy(scratch.TestCase):
    """Whose word counts about a certificate, where hosts share a token."""

    # Who runs it asks the socket argv[1] with the token argv[2], as the proxy would for lab-1.
    ASK = """if True:
        import socket, sys
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(sys.argv[1])
            connection.sendall(("POST /v1/ping HTTP/1.1\\r\\nHost: receiver\\r\\nContent-Length: 0\\r\\n"
                                "Authorization: Bearer " + sys.argv[2] + "\\r\\nX-Cis490-Client-Name: lab-1\\r\\n"
                                "Connection: close\\r\\n\\r\\n").encode())
            print(connection.makefile().read())
    """

    def ask(self, token, user):
        return subprocess.run(["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--", "python3", "-c", self.ASK,
                               self.site.socket, token], capture_output=True, text=True, check=True, timeout=60).stdout

    def test_only_the_proxy_names_hosts(self):
        self.site = scratch.Site(self)
        token = self.site.add_token("*")
        self.site.write_site(proxy_user="nobody")
        self.site.folder.chmod(0o755)
        self.site.receiver()
        os.chmod(self.site.socket, 0o666)
        self.assertIn(" 200 ", self.ask(token, scratch.NOBODY).splitlines()[0])
        for user in (0, 1):
            self.assertIn("not-your-host", self.ask(token, user))
