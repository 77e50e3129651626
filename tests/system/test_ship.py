# SPDX-License-Identifier: LGPL-2.1-or-later
"""Episodes travel from a host's folder into the receiver's store and index."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import scratch
from scratch import Site, digest


class Ship(scratch.TestCase):

    def test_an_episode_arrives_with_all_that_it_held(self):
        site = Site(self)
        site.episode("one", files={"telemetry/ticks.jsonl": b'{"t":1}\n' * 5000, "log": b"", "deep/er/x": os.urandom(9000)})
        (site.host / "episodes" / "one" / "empty").mkdir()
        site.receiver()
        self.assertEqual(site.once().status, 0)
        self.assert_arrived(site, ["one"])
        self.assert_same_content(site, "one")
        row, = site.rows()
        self.assertEqual((row["host"], row["commit"], row["archive"]),
                         ("lab-1", site.head, "store/lab-1/one.tar.zst"))
        self.assertEqual(site.receipt("one")["status"], "stored")

    def test_two_hundred_arrive_while_it_runs(self):
        site = Site(self)
        names = site.episodes(200, 50_000)
        receiver, shipper = site.receiver(), site.shipper()
        self.wait_shipped(site, names)
        self.assertEqual((shipper.stop(), receiver.stop()), (0, 0))
        self.assert_arrived(site, names)
        for name in names[::40]:
            self.assert_same_content(site, name)

    def test_the_same_bytes_again_are_a_duplicate(self):
        site = Site(self)
        site.episode("one")
        site.receiver()
        site.once()
        before = digest(site.archive("one"))
        (site.host / "receipts" / "one.json").unlink()
        (site.host / "shipped" / "one").rename(site.host / "episodes" / "one")
        self.assertEqual(site.once().status, 0)
        self.assertEqual(site.receipt("one")["status"], "duplicate")
        self.assertEqual(digest(site.archive("one")), before)
        self.assert_arrived(site, ["one"])

    def test_other_bytes_under_an_id_are_refused_for_good(self):
        site = Site(self)
        site.episode("one")
        site.receiver()
        site.once()
        before = digest(site.archive("one"))
        site.episode("one")
        self.assertEqual(site.once().status, 65)
        self.assertEqual(site.reason("one")["finding"], "episode-conflict")
        self.assertTrue(site.reason("one")["fix"])
        self.assertEqual(digest(site.archive("one")), before)
        self.assertEqual(len(site.rows()), 1)
        self.assertEqual(site.names("shipped"), ["one"])
        self.assertEqual(site.names("outbox"), [])

    def test_unstamped_and_stale_ones_are_quarantined_with_a_remedy(self):
        site = Site(self)
        site.episode("unstamped", stamped=False)
        site.episode("stale", commit=site.stale)
        site.episode("good")
        site.receiver()
        run = site.once()
        self.assertEqual(run.status, 65)
        self.assert_arrived(site, ["good"])
        self.assertEqual(site.names("quarantine"), ["stale", "unstamped"])
        self.assertEqual(site.reason("unstamped")["finding"], "unstamped")
        self.assertIn("cis490 stamp", site.reason("unstamped")["fix"])
        stale = site.reason("stale")
        self.assertEqual((stale["finding"], stale["your_commit"], stale["head_commit"]),
                         ("commit-not-in-window", site.stale, site.head))
        self.assertIn("git", stale["fix"])
        self.assertIn(stale["fix"].splitlines()[0], run.said)
        rejected = (site.receiver_state / "rejected.jsonl").read_text().splitlines()
        self.assertEqual([json.loads(line)["episode"] for line in rejected], ["stale"])

    def test_a_new_commit_is_known_at_once(self):
        site = Site(self)
        site.receiver()
        site.episode("before")
        self.assertEqual(site.once().status, 0)
        git = ["git", "-C", site.folder / "repository"]
        subprocess.run([*git, "-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "--quiet", "--allow-empty",
                        "--message=Newer"], check=True)
        newest = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
        site.episode("after", commit=newest)
        self.assertEqual(site.once().status, 0)
        self.assert_arrived(site, ["after", "before"])

    def test_packing_does_not_depend_on_the_order_of_making(self):
        content = {f"part-{number}": bytes([number]) * 3000 for number in range(20)}
        digests = set()
        for order in (sorted(content), sorted(content, reverse=True)):
            site = Site(self)
            episode = site.episode("one", files={name: content[name] for name in order})
            (episode / "meta.json").write_text('{"code_version": {"commit": "%s"}}' % ("a" * 40))
            for path in [*episode.iterdir(), episode]:
                os.utime(path, (1_700_000_000, 1_700_000_000))
            site.tune("receiver", "[gate]\nenabled=false\n", "gate")
            site.receiver()
            self.assertEqual(site.once().status, 0)
            self.assertEqual(site.rows()[0]["gate"], "disabled")
            digests.add(site.receipt("one")["sha256"])
        self.assertEqual(len(digests), 1)

    def test_orphans_in_the_outbox_are_swept(self):
        site = Site(self)
        outbox = site.host / "outbox"
        outbox.mkdir()
        for name in ("gone.tar.zst", "gone.json", "cut.tar.zst.partial"):
            (outbox / name).write_bytes(b"left behind")
        site.episode("one")
        site.receiver()
        self.assertEqual(site.once().status, 0)
        self.assert_arrived(site, ["one"])

    def test_both_run_in_one_process(self):
        site = Site(self)
        names = site.episodes(5)
        process = site.start("receiver", "shipper").wait_for_notice("READY=1")
        site.receiver_state = site.host
        self.wait_shipped(site, names)
        self.assertEqual(process.stop(), 0)
        self.assert_arrived(site, names)

    def test_curl_alone_ships_an_episode(self):
        site = Site(self)
        site.receiver()
        folder = site.episode("by-hand")
        archive = site.folder / "by-hand.tar.zst"
        subprocess.run(["tar", "--zstd", "-cf", archive, "-C", folder.parent, folder.name], check=True)
        shutil.rmtree(folder)
        script = """
            curl --silent --show-error --unix-socket "$SOCKET" --write-out '%{http_code}\\n' "$@" \\
              --header "Authorization: Bearer $(cat "$TOKEN")" \\
              --header "X-Cis490-Sha256: $(sha256sum "$ARCHIVE" | cut -c1-64)" \\
              --header "X-Cis490-Code-Commit: $COMMIT" \\
              http://receiver/v1/episodes/lab-1/by-hand"""
        environment = {**os.environ, "SOCKET": str(site.socket), "TOKEN": str(site.folder / "token"),
                       "ARCHIVE": str(archive), "COMMIT": site.head}

        def curl(*arguments):
            run = subprocess.run(["sh", "-c", script, "sh", *arguments], env=environment, capture_output=True, text=True,
                                 check=True)
            body, status = run.stdout.rstrip("\n").rsplit("\n", 1)
            return int(status), json.loads(body)

        question = ("--data", "", "--header", f"Upload-Length: {archive.stat().st_size}")
        self.assertEqual(curl(*question), (200, {"status": "welcome", "offset": 0}))
        status, receipt = curl("--upload-file", str(archive))
        self.assertEqual((status, receipt["status"], receipt["sha256"]), (201, "stored", digest(archive)))
        self.assertEqual(curl("--upload-file", str(archive))[0], 200)
        self.assertEqual(curl(*question)[1]["status"], "duplicate")
        self.assertEqual(digest(site.archive("by-hand")), digest(archive))
        self.assertEqual(len(site.rows()), 1)


class Documented(scratch.TestCase):

    def test_the_commands_of_protocol_md(self):
        """All of them in their order, but for those of the other way to reach it."""
        folder = pathlib.Path(tempfile.mkdtemp(prefix="cis490-"))
        self.addCleanup(shutil.rmtree, folder)
        (folder / "cis490").symlink_to(scratch.PROGRAM)
        text = (pathlib.Path(os.environ["G_TEST_SRCDIR"]).parent / "docs" / "protocol.md").read_text()
        blocks = [block for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if "127.0.0.1" not in block]
        ready = "until [ -S receiver.sock ]; do sleep 0.05; done\n"
        script = "\n".join(block + ready if block.rstrip().endswith("&") else block for block in blocks)
        run = subprocess.run(["bash", "-euc", "trap 'kill %1 || true' ERR\n" + script], cwd=folder,
                             capture_output=True, text=True, timeout=scratch.PATIENCE, env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"})
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        for expected in ('"status":"ok"', '"status":"welcome"', '"status":"stored"', "run-001/data.txt"):
            self.assertIn(expected, run.stdout)
        self.assertIn('"episode":"run-001"', (folder / "state" / "index.jsonl").read_text())


class Leave(scratch.TestCase):
    """What `run --once` ends with."""

    def test_nothing_to_do_is_success(self):
        self.assertEqual(Site(self).once().status, 0)

    def test_what_waits_is_75(self):
        site = Site(self)
        names = site.episodes(3)
        run = site.once()
        self.assertEqual(run.status, 75)
        self.assertIn("receiver-unreachable", run.said)
        self.assertEqual(site.names("episodes"), names)

    def test_quarantined_beats_waiting(self):
        site = Site(self)
        site.episode("unstamped", stamped=False)
        site.episode("waiting")
        self.assertEqual(site.once().status, 65)
        self.assertEqual(site.names("episodes"), ["waiting"])

    def test_a_source_that_never_ends_is_wrong_usage(self):
        site = Site(self)
        self.assertEqual(site.once("receiver").status, 64)
        self.assertEqual(site.start("shippr").wait(), 78)


if __name__ == "__main__":
    scratch.main()
