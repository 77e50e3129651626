# SPDX-License-Identifier: LGPL-2.1-or-later
"""The version gate between real processes: a forge that comes and goes, pushes and force-pushes while hosts ship."""

import hashlib
import http.client
import itertools
import json
import pathlib
import subprocess
import sys
import threading
import time

import scratch
from authority import Authority
from scratch import Connection, Site, hold_port, wait_until

HOSTS = 8
TTL = 0.25  # s


class Forge:
    """forgejo.py on a port that it keeps from one start to the next."""

    def __init__(self, test, site, *options):
        self.test, self.site, self.options, self.port = test, site, options, hold_port(test)
        self.control = site.folder / "control"
        self.set("ok")
        self.start()
        test.addCleanup(self.stop)

    def start(self):
        script = pathlib.Path(__file__).with_name("forgejo.py")
        self.process = subprocess.Popen([sys.executable, script, self.site.folder / "repository", self.control, "--cap=2",
                                         f"--port={self.port}", *self.options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().split()[-1]

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def set(self, mode):
        new = self.control.with_suffix(".new")
        new.write_text(mode)
        new.rename(self.control)


class Shipper(threading.Thread):
    """A host that puts one small archive after another, each of the commit that `choose` gives, until it is told to end."""

    def __init__(self, test, name, choose):
        super().__init__(daemon=True)
        self.site, self.name_, self.choose = test.site, name, choose
        self.token = test.site.add_token(name)
        self.answers = []  # (when it was asked, commit, status, type, seconds)
        self.ending = threading.Event()
        self.trouble = None

    def run(self):
        try:
            for number in itertools.count():
                if self.ending.is_set():
                    return
                self.answers.append(put(self.site, self.name_, f"e{number}", self.choose(), self.token))
        except Exception as trouble:  # for the test to show
            self.trouble = trouble

    def end(self):
        self.ending.set()
        self.join(scratch.PATIENCE)
        if self.trouble:
            raise self.trouble


def put(site, host, episode, commit, token):
    body = f"{host} {episode}".encode()
    began = time.monotonic()
    connection = Connection(site.socket)
    connection.request("PUT", f"/v1/episodes/{host}/{episode}", body,
                       {"Authorization": f"Bearer {token}", "X-Cis490-Code-Commit": commit,
                        "X-Cis490-Sha256": hashlib.sha256(body).hexdigest()})
    answer = connection.getresponse()
    told = json.loads(answer.read())
    connection.close()
    return began, commit, answer.status, told.get("type"), time.monotonic() - began


class Gate(scratch.TestCase):

    def setUp(self):
        super().setUp()
        self.site = Site(self)
        self.site.write_site(window=3)

    def with_forge(self):
        forge = Forge(self, self.site)
        self.site.write_site(forgejo_url=forge.url, forgejo_repository="lab/code")
        return forge

    def receive(self):
        self.site.tune("receiver", f"[gate]\nttl={int(TTL * 1000)}ms\nwait=30s\ntimeout=10s\n", "gate")
        return self.site.receiver()

    def ping(self):
        return self.site.command("ping", "--config", str(self.site.folder / "cis490.ini")).stdout

    def git(self, *arguments):
        command = ["git", "-C", self.site.folder / "repository", "-c", "user.name=Test", "-c", "user.email=t@example.org"]
        return subprocess.run([*command, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    def push(self):
        self.git("commit", "--quiet", "--allow-empty", "--message=More")
        return self.git("rev-parse", "HEAD")

    def ship(self, choose, count=HOSTS):
        shippers = [Shipper(self, f"host-{number}", choose) for number in range(count)]
        return shippers

    def begin(self, shippers):
        for shipper in shippers:
            shipper.start()
        wait_until(lambda: all(len(shipper.answers) > 2 or shipper.trouble for shipper in shippers), "all hosts ship")

    def end(self, shippers):
        for shipper in shippers:
            shipper.end()
        return [answer for shipper in shippers for answer in shipper.answers]

    def test_a_forge_that_comes_and_goes_refuses_nobody_wrongly(self):
        forge = self.with_forge()
        recent = itertools.cycle(self.site.commits[-3:])
        lock = threading.Lock()

        def choose():
            with lock:
                return next(recent)

        shippers = self.ship(choose)
        receiver = self.receive()
        self.begin(shippers)
        for mode in ("500", "garbage", "html", "empty", "cut", "short", "404"):
            forge.set(mode)
            time.sleep(TTL)
            forge.set("ok")
        # Its end also ends what would go on for as long as the time-out.
        for mode in ("hang", "drip", "ok"):
            forge.set(mode)
            time.sleep(2 * TTL)
            forge.stop()
            time.sleep(TTL)
            forge.set("ok")
            forge.start()
        answers = self.end(shippers)
        self.assertEqual({answer[2] for answer in answers}, {201}, "every commit was in the window at hand")
        # A request that waited for the forge would have waited for its time-out.
        self.assertLess(sorted(answer[4] for answer in answers)[len(answers) * 99 // 100], 5)
        receiver.wait_to_say("source=git-fallback")
        wait_until(lambda: receiver.said.rstrip().rfind("source=forgejo") > receiver.said.rfind("source=git-fallback"),
                   "the forge is back, and it is said so")

    def test_an_absent_forge_defers_what_only_it_may_refuse(self):
        forge = self.with_forge()
        self.receive()
        token, number = self.site.token, itertools.count()

        def ask(commit):
            return put(self.site, self.site.host_name, f"a{next(number)}", commit, token)[2:4]

        self.assertEqual(ask(self.site.stale), (412, "urn:cis490:finding:commit-not-in-window"))
        forge.stop()
        self.assertEqual(ask(self.site.stale), (503, "urn:cis490:finding:window-unavailable"))
        self.assertEqual(ask(self.site.head)[0], 201)
        self.assertEqual(ask(self.push())[0], 201)
        forge.start()
        self.assertEqual(ask(self.site.stale)[0], 412)

    def test_what_cannot_be_told_of_some_holds_up_no_other(self):
        forge = self.with_forge()
        grants = self.site.folder / "grants"
        grants.write_text(f"thesis {self.site.head} lab-1 2090-01-01\n")
        self.site.write_site(grants_file=grants)
        forge.stop()
        for number in range(4):  # older than the others, and so each the first to be tried
            self.site.episode(f"a-old-{number}", commit=self.site.stale)
        good = self.site.episodes(6, prefix="good")
        receiver = self.receive()
        shipper = self.site.shipper()
        wait_until(lambda: self.site.names("shipped") == good, "the good ones are shipped")
        self.assertNotIn("window-unavailable: ", shipper.said, "no trouble of the stage's was told")
        # Nor while a grant may be what the broken line was to be.
        receiver.wait_to_say("window-fallback")
        forge.start()
        grants.write_text("thesis is a mistake\n")
        self.assertEqual(len(self.site.names("episodes")), 4)
        more = self.site.episodes(3, prefix="more")
        wait_until(lambda: self.site.names("shipped") == good + more, "the new ones are shipped")

    def test_a_window_that_takes_longer_than_a_request_waits(self):
        forge = self.with_forge()
        for _ in range(5):
            self.push()
        # Four pages, and each takes longer than somebody waits at first.
        self.site.write_site(window=8)
        self.site.tune("receiver", "[gate]\nwait=500ms\ntimeout=30s\n", "patient")
        forge.set("slow")
        receiver = self.receive()
        number = itertools.count()

        def ask(commit):
            return put(self.site, self.site.host_name, f"a{next(number)}", commit, self.site.token)[2]

        self.assertEqual(ask(self.site.stale), 503)
        receiver.wait_to_say("a longer wait= of [gate]")
        self.site.tune("receiver", "[gate]\nwait=2s\ntimeout=30s\n", "patient")
        receiver.reload()
        wait_until(lambda: ask(self.site.stale) == 412, "a stale commit is refused")
        pushed = self.push()
        wait_until(lambda: ask(pushed) == 201, "a pushed one is taken")
        wait_until(lambda: ask(self.site.stale) == 412, "and a stale one still refused")

    def test_a_forge_of_a_private_authority(self):
        authority = Authority(self.site.folder / "authority")
        server = authority.sign("/CN=forge", "subjectAltName=IP:127.0.0.1")
        forge = Forge(self, self.site, f"--certificate={server.pem}", f"--key={server.key}")
        self.site.write_site(forgejo_url=forge.url, forgejo_repository="lab/code")
        self.site.tune("receiver", "[gate]\ntimeout=30s\n", "patient")
        receiver = self.receive()
        receiver.wait_to_say("window-fallback")
        self.assertIn("certificate", receiver.said)
        trusted = self.site.folder / "forgejo-ca.pem"
        trusted.write_bytes(Authority(self.site.folder / "another").pem.read_bytes())
        self.site.write_site(forgejo_ca_file=trusted)
        receiver.reload()
        self.assertEqual(put(self.site, self.site.host_name, "a", self.site.stale, self.site.token)[2], 503)
        # The right one is found without a reload.
        trusted.write_bytes(authority.pem.read_bytes())
        receiver.wait_to_say("source=forgejo")
        self.assertEqual(put(self.site, self.site.host_name, "a", self.site.stale, self.site.token)[2], 412)
        explained = self.site.command("gate", "explain", self.site.stale, "--config", str(self.site.folder / "cis490.ini"))
        self.assertIn("source  forgejo\n", explained.stdout)

    def test_a_pushed_commit_is_taken_at_once(self):
        self.site.tune("receiver", "[gate]\nttl=1h\nwait=30s\n", "gate")
        current = [self.site.head]
        shippers = self.ship(lambda: current[0])
        self.site.receiver()
        self.begin(shippers)
        for _ in range(4):
            current[0] = self.push()
            before = [len(shipper.answers) for shipper in shippers]
            wait_until(lambda: all(len(shipper.answers) > n + 2 or shipper.trouble
                                   for shipper, n in zip(shippers, before)), "all have shipped the new commit")
        answers = self.end(shippers)
        self.assertEqual({answer[2] for answer in answers}, {201})
        self.assertEqual(len({answer[1] for answer in answers}), 5)

    def test_a_force_push_drops_commits_within_the_ttl(self):
        dropped = self.site.head
        shippers = self.ship(lambda: dropped)
        self.receive()
        self.begin(shippers)
        self.git("reset", "--quiet", "--hard", self.site.commits[-2])
        wait_until(lambda: all(shipper.answers[-1][2] == 412 or shipper.trouble for shipper in shippers), "all are refused")
        answers = self.end(shippers)
        # Once one is refused, whoever asks after that is.
        refused = min(asked + seconds for asked, _, status, _, seconds in answers if status == 412)
        self.assertEqual([answer for answer in answers if answer[0] > refused and answer[2] != 412], [])
        self.assertEqual({answer[2] for answer in answers}, {201, 412})

    def test_repacks_and_pushes_disturb_nobody(self):
        self.site.write_site(window=100)
        current = [self.site.head]
        shippers = self.ship(lambda: current[0], 4)
        self.receive()
        self.begin(shippers)
        for number in range(6):
            current[0] = self.push()
            self.git("tag", "-a", "-m", "x", f"v{number}")
            self.git("repack", "-a", "-d", "-q")
            self.git("pack-refs", "--all")
        answers = self.end(shippers)
        self.assertEqual({answer[2] for answer in answers}, {201})

    def test_receiver_and_forge_restart_at_once(self):
        forge = self.with_forge()
        receiver = self.receive()
        wait_until((self.site.receiver_state / "window.json").exists, "the window is kept")
        forge.stop()
        receiver.kill()
        (self.site.folder / "repository").rename(self.site.folder / "elsewhere")
        self.receive()
        self.assertEqual(put(self.site, self.site.host_name, "a", self.site.head, self.site.token)[2], 201)
        self.assertEqual(put(self.site, self.site.host_name, "b", self.site.stale, self.site.token)[2], 503)

    def test_an_amnesty(self):
        grants = self.site.folder / "grants"
        grants.write_text(f"thesis {self.site.stale} {self.site.host_name} 2090-01-01\n")
        self.site.write_site(grants_file=grants)
        self.receive()
        self.assertEqual(put(self.site, self.site.host_name, "a", self.site.stale, self.site.token)[2], 201)
        self.assertEqual([row.get("grant") for row in self.site.rows()], ["thesis"])
        grants.write_text(f"thesis {self.site.stale} {self.site.host_name} 2020-01-01\n")
        number = itertools.count()
        wait_until(lambda: put(self.site, self.site.host_name, f"b{next(number)}", self.site.stale, self.site.token)[2] == 412,
                   "the grant is over")
        wait_until(lambda: "grant-expired" in (self.site.receiver_state / "findings.jsonl").read_text(), "and it is told")

    def test_the_remedy_is_logged_whole_once_for_each_commit(self):
        names = [f"old-{number}" for number in range(5)]
        for name in names:
            self.site.episode(name, commit=self.site.stale)
        self.site.tune("shipper", scratch.QUICK + "[ship]\nforecast-interval=0\n")
        self.receive()
        run = self.site.once()
        self.assertEqual(run.status, 65)
        self.assertEqual(self.site.names("quarantine"), names)
        self.assertEqual(run.said.count("pull --ff-only"), 1)
        self.assertEqual(run.said.count("(remedy as above)"), 4)
        self.assertIn("pull --ff-only", self.site.reason("old-4")["fix"])
        self.assertEqual(self.site.reason("old-4")["behind"], "3 commits behind")

    def test_a_host_knows_before_it_is_refused(self):
        site = self.site
        site.episode("one", commit=site.commits[-2])
        site.episode("two", commit=site.commits[-2])
        site.tune("shipper", scratch.QUICK + "[ship]\nforecast-interval=1s\n")
        self.receive()
        self.assertIn("; commit 2 of 3, leaves in ~", self.ping())
        self.assertIn("source git", self.ping())
        (site.host / "episodes" / "just-begun").mkdir()  # and waits for nothing yet
        # What keeps them waiting is that they count as still being written.
        site.tune("shipper", "[scan]\nquiet=1h\n[ship]\nforecast-interval=1s\n")
        shipper = site.shipper()
        shipper.wait_to_say("commit-leaves-window")
        self.assertIn("2 episodes wait", shipper.said)
        for name in ("one", "two"):
            (site.host / "episodes" / name).rename(site.folder / name)
        shipper.wait_to_say("commit-leaves-window: over:")
        # Of what was shipped last, where nothing waits.
        self.assertNotIn("commit 2 of 3", self.ping())
        (site.folder / "one").rename(site.host / "shipped" / "one")
        self.assertIn("; commit 2 of 3, leaves in ~", self.ping())


if __name__ == "__main__":
    scratch.main()
