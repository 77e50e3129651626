# SPDX-License-Identifier: LGPL-2.1-or-later
"""What was rejected lies there with its reason, and comes back: by hand, or by the thousand."""

import json
import os
import pty
import subprocess

import scratch
from scratch import PROGRAM, Site, wait_until


class QuarantineSite(Site):
    """With the drain, quick enough for a test."""

    def __init__(self, test):
        super().__init__(test)
        self._copy_pipeline("drain")
        self.tune("drain", "[scan]\nquiet=100ms\n")

    def unstamped(self, count, prefix="old"):
        names = [f"{prefix}-{number:05}" for number in range(count)]
        for name in names:
            self.episode(name, 100, stamped=False)
        return names

    def put_aside(self, count, prefix="old"):
        """So many in quarantine."""
        names = self.unstamped(count, prefix)
        drain = self.once("drain")
        self.test.assertEqual(drain.status, 65)
        return names

    def stamp(self, name, folder="quarantine"):
        """As cis490 stamp does, without its start."""
        path = self.host / folder / name / "meta.json"
        meta = json.loads(path.read_text())
        meta["code_version"] = {"commit": self.head, "branch": "main", "dirty": False}
        path.write_text(json.dumps(meta))

    def quarantine(self, *arguments, status=0, **options):
        run = self.command("quarantine", *arguments, **options)
        self.test.assertEqual(run.returncode, status, run.stdout[-2000:] + run.stderr[-2000:])
        return run

    def listed(self, *arguments):
        return json.loads(self.quarantine("list", "--json", *arguments).stdout)

    def audit(self):
        path = self.host / "audit.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def paste(self, lines, **environment):
        """What a person does with a fix: in a shell, in the repository, knowing nothing of the site."""
        programs = self.folder / "programs"
        programs.mkdir(exist_ok=True)
        if not (programs / "cis490").exists():
            (programs / "cis490").symlink_to(PROGRAM)
        inherited = {key: value for key, value in self.environment.items() if key != "STATE_DIRECTORY"}
        return subprocess.run(["bash", "-euc", lines], cwd=self.folder / "repository", capture_output=True, text=True,
                              env={**inherited, **environment, "PATH": f"{programs}:{os.environ['PATH']}"}, timeout=scratch.PATIENCE)


class Operator(scratch.TestCase):

    def setUp(self):
        super().setUp()
        self.site = QuarantineSite(self)

    def test_list_and_show(self):
        site = self.site
        self.assertIn("Nothing", site.quarantine("list").stderr)
        self.assertEqual(site.listed()["entries"], [])
        site.put_aside(3)
        site.episode("broken", files={"data": b"x"})
        (site.host / "episodes" / "broken" / "meta.json").write_text("{")
        self.assertEqual(site.once("drain").status, 65)

        text = site.quarantine("list").stdout
        self.assertRegex(text, r"unstamped +3 ")
        self.assertRegex(text, r"meta-malformed +1 ")
        for name in ("old-00000", "old-00001", "old-00002", "broken"):
            self.assertIn(name, text)
        found = site.listed()
        self.assertEqual(found["count"], 4)
        self.assertEqual([(reason["finding"], reason["count"]) for reason in found["reasons"]],
                         [("unstamped", 3), ("meta-malformed", 1)])
        entry, = site.listed("--reason", "meta-malformed")["entries"]
        self.assertEqual((entry["id"], entry["episode"], entry["attempts"]), ("broken", "broken", 0))
        size = sum(path.stat().st_size for path in (site.host / "quarantine" / "broken").iterdir())
        self.assertEqual(entry["bytes"], size)

        shown = site.quarantine("show", "old-00001").stdout
        self.assertIn("unstamped", shown)
        for line in site.reason("old-00001")["fix"].split("\n"):
            self.assertIn(line, shown)
        shown = json.loads(site.quarantine("show", "broken", "--json").stdout)
        self.assertEqual(shown, {**site.reason("broken"), "id": "broken"})

    def test_a_long_list_is_one_of_reasons(self):
        self.site.put_aside(30)
        run = self.site.quarantine("list")
        self.assertNotIn("old-00001", run.stdout)
        self.assertIn("--long", run.stderr)
        self.assertIn("old-00001", self.site.quarantine("list", "--long").stdout)

    def test_what_is_there_is_not_denied(self):
        site = self.site
        self.assertIn("Nothing is in quarantine", site.quarantine("list", "--reason", "unstamped").stderr)
        site.put_aside(1)
        run = site.quarantine("list", "--reason", "unstampd")
        self.assertIn("“unstamped”", run.stderr)
        self.assertNotIn("Nothing is in quarantine", run.stderr)
        # A reason beside it would have too long a name to be looked for.
        (site.host / "quarantine" / "old-00000").rename(site.host / "quarantine" / ("x" * 250))
        run = site.quarantine("list", status=1)
        self.assertIn("File name too long", run.stderr)
        self.assertNotIn("Nothing is in quarantine", run.stderr)

    def test_wrong_usage(self):
        site = self.site
        for arguments in ([], ["lits"], ["release"], ["release", "x", "--all"], ["purge", "--yes"], ["show"], ["list", "x"],
                          ["purge", "--older-than", "30 moons", "--yes"], ["purge", "--all"]):
            with self.subTest(arguments=arguments):
                site.quarantine(*arguments, status=64)
        site.quarantine("list", "--state", str(site.folder / "nowhere"), status=69)
        self.assertFalse((site.folder / "nowhere").exists())
        site.quarantine("show", "nothing", status=1)
        for name in ("nothing", "../episodes", ".", ""):
            self.assertIn("no ", site.quarantine("release", name, status=1).stderr)

    def test_the_fix_is_one_paste_away(self):
        site = self.site
        site.receiver()
        site.episode("one", stamped=False)
        shipper = site.shipper()
        wait_until(lambda: site.names("quarantine") == ["one"], "it is in quarantine")
        site.episode("one", 500, stamped=False)
        wait_until(lambda: site.names("quarantine") == ["one", "one-2"], "so is the next of that name")
        self.assertEqual(site.reason("one-2")["episode"], "one")
        pasted = site.paste(site.reason("one-2")["fix"])
        self.assertEqual(pasted.returncode, 0, pasted.stderr)
        self.wait_shipped(site, ["one"])
        self.assert_arrived(site, ["one"])
        unpacked = site.unpack("one")
        self.assertEqual(sorted(path.name for path in unpacked.iterdir()), ["data.bin", "meta.json"])
        self.assertEqual((unpacked / "data.bin").stat().st_size, 500)
        # The other bytes of the same name are refused by the receiver, with its answer in the reason.
        pasted = site.paste(site.reason("one")["fix"])
        self.assertEqual(pasted.returncode, 0, pasted.stderr)
        wait_until(lambda: site.names("quarantine") == ["one"] and not site.names("episodes"), "it came back")
        reason = site.reason("one")
        self.assertEqual((reason["finding"], reason["attempts"], reason["commit"]), ("episode-conflict", 2, site.head))
        self.assertEqual(shipper.stop(), 0)
        self.assert_arrived(site, ["one"])

    def test_what_comes_back_again_and_again(self):
        site = self.site
        site.put_aside(2)
        first = site.reason("old-00000")["quarantined_at"]
        for attempt in range(1, 4):
            site.quarantine("release", "--reason", "unstamped")
            self.assertEqual(site.once("drain").status, 65)
            self.assertEqual((site.reason("old-00000")["attempts"], site.reason("old-00000")["first_seen"]), (attempt, first))
        refused = site.quarantine("release", "old-00000", "nothing", "old-00001", status=1)
        self.assertEqual(refused.stderr.count("--force"), 2)
        self.assertEqual(site.names("episodes"), [])
        site.quarantine("release", "--force", "old-00000")
        self.assertEqual((site.names("episodes"), site.names("quarantine")), (["old-00000"], ["old-00001"]))

    def test_an_episode_is_never_replaced(self):
        site = self.site
        site.put_aside(3)
        site.episode("old-00001", 77)
        run = site.quarantine("release", "--all", status=1)
        # Two workers put them aside in whatever order.
        self.assertEqual(sorted(line.split()[0] for line in run.stdout.splitlines()), ["old-00000", "old-00002"])
        self.assertIn("never replaced", run.stderr)
        self.assertEqual(site.names("quarantine"), ["old-00001"])
        self.assertEqual((site.host / "episodes" / "old-00001" / "data.bin").stat().st_size, 77)
        self.assertEqual(sorted((line["verb"], line["episode"], line["finding"]) for line in site.audit()),
                         [("release", "old-00000", "unstamped"), ("release", "old-00002", "unstamped")])
        self.assertEqual(site.audit()[0]["reason"]["finding"], "unstamped")
        self.assertTrue(site.audit()[0]["user"])

    def test_under_another_name(self):
        site = self.site
        site.put_aside(2)
        site.quarantine("release", "--all", "--as", "other", status=64)
        for name in ("no/name", "../x", "a..b", "", "-x", "x" * 129):
            said = site.quarantine("release", "old-00000", f"--as={name}", status=64).stderr
            self.assertIn("--as: a name is a letter or digit", said)
        site.quarantine("release", "old-00000", "--as", "other")
        site.quarantine("release", "old-00001", "--as", "other", status=1)
        self.assertEqual((site.names("episodes"), site.names("quarantine")), (["other"], ["old-00001"]))
        self.assertEqual([line["episode"] for line in site.audit()], ["old-00000"])

    def test_one_key_is_set_on_the_command_line(self):
        site = self.site

        def check(*arguments):
            run = site.command("check", "drain", "--config", str(site.folder / "cis490.ini"), *arguments)
            return run.returncode, run.stderr

        self.assertEqual(check("--set", "scan.quiet=1s", "--set", "quarantine.keep-days=${keep:-7}")[0], 0)
        for wrong, said in (("scan.quite=1s", "did you mean “quiet”"), ("scan.quiet=soon", "--set scan.quiet=soon"),
                            ("scam.quiet=1s", "scam")):
            with self.subTest(wrong=wrong):
                status, stderr = check("--set", wrong)
                self.assertEqual(status, 78)
                self.assertIn(said, stderr)
        for wrong in ("quiet=1s", "]x.y=1", "x", "scan.quiet", ".y=1", "x.=1", ""):
            with self.subTest(wrong=wrong):
                status, stderr = check("--set", wrong)
                self.assertEqual(status, 64)
                self.assertIn("--set: “%s” is no STAGE.KEY=VALUE" % wrong, stderr)

    def test_the_archive_is_as_if_it_had_never_been_there(self):
        site = self.site
        site.receiver()
        twin = QuarantineSite(self)
        for one in (site, twin):
            path = one.episode("one", files={"data": b"same", "quarantine_reason.json": b"its own"}, commit=site.head,
                               version={"repository": "/opt/code"})
            for entry in (*path.iterdir(), path):
                os.utime(entry, ns=(10**18, 10**18 + 12345))
        site.write_pipeline("reject", "[pipeline]\nstages=scan;ship;quarantine\n[scan]\nplugin=scan/episodes\nquiet=100ms\n"
                            "[ship]\nplugin=gate/stamp\n[quarantine]\nplugin=store/quarantine\n")
        meta = (site.host / "episodes" / "one" / "meta.json")
        stamped = meta.read_text()
        meta.write_text("{}")
        os.utime(meta, ns=(10**18, 10**18 + 12345))
        self.assertEqual(site.once("reject").status, 65)
        meta = site.host / "quarantine" / "one" / "meta.json"
        meta.write_text(stamped)
        os.utime(meta, ns=(10**18, 10**18 + 12345))
        site.quarantine("release", "one")
        self.assertEqual(site.once().status, 0)
        twin.write_site(receiver_url=site.values["receiver-url"])
        twin.write_secret("token", site.token)
        self.assertEqual(twin.once().status, 0)
        self.assertEqual(twin.receipt("one")["status"], "duplicate")

    def test_purge(self):
        site = self.site
        site.put_aside(4)
        for name, days in (("old-00000", 40), ("old-00001", 20)):
            path = site.host / "quarantine" / name / "quarantine_reason.json"
            reason = json.loads(path.read_text())
            time = subprocess.run(["date", "-u", "-d", f"{days} days ago", "+%FT%TZ"], capture_output=True, text=True)
            path.write_text(json.dumps({**reason, "quarantined_at": time.stdout.strip()}))
        site.quarantine("purge", "--older-than", "30d", status=64)
        self.assertEqual(len(site.names("quarantine")), 4)
        for reason, said in (("conflict", "there are: unstamped"), ("unstampd", "did you mean “unstamped”?")):
            run = site.quarantine("purge", "--older-than", "30d", "--reason", reason, "--yes")
            self.assertIn(f"--reason: nothing is there because of “{reason}”; {said}", run.stderr)
        self.assertEqual(len(site.names("quarantine")), 4)
        site.quarantine("purge", "--older-than", "30d", "--reason", "unstamped", "--yes")
        self.assertEqual(site.names("quarantine"), ["old-00001", "old-00002", "old-00003"])
        site.quarantine("purge", "old-00002", "nothing", "--yes", status=1)
        self.assertEqual(site.names("quarantine"), ["old-00001", "old-00003"])
        self.assertEqual(self.answer("n\n"), 1)
        self.assertEqual(site.names("quarantine"), ["old-00001", "old-00003"])
        self.assertEqual(self.answer("y\n"), 0)
        self.assertEqual(os.listdir(site.host / "quarantine"), [])
        # Named ones in their order; all by when they came, which the drain's two workers chose.
        self.assertEqual([line["id"] for line in site.audit()][:2], ["old-00000", "old-00002"])
        self.assertEqual(sorted((line["verb"], line["id"]) for line in site.audit()),
                         [("purge", f"old-0000{number}") for number in range(4)])

    def answer(self, text):
        """The exit status of a purge of all on a terminal where a person answers so."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen([PROGRAM, "quarantine", "purge", "--all", "--state", str(self.site.host)], stdin=theirs,
                                   stderr=theirs, stdout=subprocess.DEVNULL)
        os.close(theirs)
        said = b""
        while b"[y/N]" not in said:
            said += os.read(ours, 4096)
        os.write(ours, text.encode())
        status = process.wait(scratch.PATIENCE)
        os.close(ours)
        return status


class Drain(scratch.TestCase):

    def setUp(self):
        super().setUp()
        self.site = QuarantineSite(self)

    def test_kept_quarantined_waiting(self):
        site = self.site
        kept, old = site.episodes(3), site.unstamped(2)
        (site.host / "episodes" / "unfinished").mkdir()
        (site.host / "quarantine" / "old-00000").mkdir(parents=True)

        process = site.start("drain", "--once", "--set", "quarantine.dry-run=true")
        self.assertEqual(process.wait(), 65)
        self.assertIn("old-00001 would go into quarantine", process.said)
        # No remedy for what did not happen.
        self.assertIn("old-00001: rejected by stamp-check", process.said)
        self.assertNotIn("quarantine release", process.said)
        self.assertNotIn("error: ", process.said)
        self.assertEqual(site.names("episodes"), sorted([*kept, *old, "unfinished"]))
        self.assertEqual(site.names("quarantine"), ["old-00000"])

        drain = site.once("drain")
        self.assertEqual(drain.status, 65)
        self.assertIn("Of 6 episodes 3 passed, 2 were rejected and 1 wait (1 with no or an empty meta.json", drain.said)
        self.assertEqual(site.names("episodes"), sorted([*kept, "unfinished"]))
        self.assertEqual(site.names("quarantine"), ["old-00000", "old-00000-2", "old-00001"])
        self.assertIn("release old-00000-2", site.reason("old-00000-2")["fix"])

        # All that was asked is done: what an experiment has not finished is not the drain's.
        again = site.once("drain")
        self.assertEqual(again.status, 0)
        self.assertIn("Of 4 episodes 3 passed, 0 were rejected and 1 wait", again.said)
        self.assertEqual(site.start("drain", "--once", "--set", "scan.take-unfinished=true").wait(), 0)
        self.assertEqual(len(site.names("quarantine")), 3)

    def test_what_is_being_written_is_left_alone(self):
        site = self.site
        site.tune("drain", "[scan]\nquiet=1s\n", "zz-slow")
        path = site.episode("busy", stamped=False)
        with open(path / "log", "ab", buffering=0) as log:
            process = site.start("drain", "--once")
            while process.popen.poll() is None:
                log.write(b"x")
                try:
                    process.popen.wait(0.05)
                except subprocess.TimeoutExpired:
                    continue
        self.assertEqual(process.wait(), 75)
        self.assertIn("1 still being written", process.said)
        self.assertEqual(site.names("episodes"), ["busy"])

    def test_beside_a_running_shipper(self):
        site = self.site
        site.tune("shipper", "[pipeline]\nworkers=4\n", "workers")
        site.receiver()
        stamped, old = site.episodes(300, 2000), site.unstamped(300)
        shipper = site.shipper()
        drains = [site.start("drain", "--once") for _ in range(3)]
        for drain in drains:
            self.assertIn(drain.wait(120), (0, 65, 75))
        self.wait_shipped(site, stamped)
        wait_until(lambda: not site.names("episodes"), "episodes/ is empty")
        self.assertEqual(shipper.stop(), 0)
        self.assertEqual(site.names("quarantine"), old)
        self.assertEqual(sorted(entry["id"] for entry in site.listed()["entries"] if entry.get("finding") == "unstamped"), old)
        self.assertEqual([name for name in os.listdir(site.host / "quarantine") if name[0] == "."], [])
        for process in (shipper, *drains):
            self.assertNotIn("Cannot", process.said)
            self.assertNotIn("did not work", process.said)
        self.assert_arrived(site, stamped)

    def test_a_backlog_of_4465_comes_home(self):
        site = self.site
        site.tune("shipper", "[pipeline]\nworkers=4\n", "workers")
        names = site.put_aside(4465)
        self.assertEqual((site.names("episodes"), site.names("quarantine")), ([], names))
        self.assertEqual(site.listed()["reasons"][0]["count"], 4465)
        for name in names:
            site.stamp(name)
        site.receiver()
        site.shipper()
        site.quarantine("release", "--all")
        self.wait_shipped(site, names)
        self.assert_arrived(site, names)
        self.assertEqual((os.listdir(site.host / "quarantine"), len(site.audit())), ([], 4465))


if __name__ == "__main__":
    scratch.main()
