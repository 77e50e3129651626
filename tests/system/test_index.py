# SPDX-License-Identifier: LGPL-2.1-or-later
"""The index and the store: rows that are lost come back, once each, and what does not agree is found."""

import collections
import hashlib
import json
import os
import shutil
import subprocess
import threading

import scratch
from scratch import Connection, Site, digest, wait_until

N_EPISODES = 300


def strip(row):
    """What a row says of its episode; not when and how the row came."""
    return {key: value for key, value in row.items() if key not in ("backfilled", "recovered")}


def by_name(rows):
    return {(row["host"], row["episode"]): strip(row) for row in rows}


class IndexCase(scratch.TestCase):

    def setUp(self):
        super().setUp()
        self.site = Site(self)
        self.config = str(self.site.folder / "cis490.ini")
        for folder in os.environ["CIS490_PIPELINE_PATH"].split(":"):
            if os.path.exists(f"{folder}/backfill.ini"):
                shutil.copy(f"{folder}/backfill.ini", self.site.folder / "pipelines")
        self.index = self.site.receiver_state / "index.jsonl"

    def ship(self, count, prefix="ep", size=300):
        self.site.tune("shipper", "[pipeline]\nworkers=4\n", "workers")
        names = self.site.episodes(count, size, prefix)
        receiver = self.site.receiver()
        self.assertEqual(self.site.once().status, 0)
        self.assertEqual(receiver.stop(), 0)
        return names

    def run_index(self, *arguments, status=0):
        ended = self.site.command("index", *arguments, "--config", self.config, state=self.site.receiver_state)
        self.assertEqual(ended.returncode, status, ended.stdout + ended.stderr)
        return ended

    def backfill(self, status=0):
        return json.loads(self.run_index("backfill", "--json", status=status).stdout)

    def verify(self, *arguments, status=0):
        return json.loads(self.run_index("verify", "--json", *arguments, status=status).stdout)

    def assert_indexed_once(self):
        counts = collections.Counter(row["episode"] for row in self.site.rows())
        stored = sorted(path.name.removesuffix(".tar.zst")
                        for path in (self.site.receiver_state / "store" / "lab-1").iterdir())
        self.assertEqual(sorted(counts), stored)
        self.assertEqual([name for name, count in counts.items() if count != 1], [])


class Backfill(IndexCase):

    def test_rows_come_back(self):
        self.ship(N_EPISODES)
        lines = self.index.read_text().splitlines(keepends=True)
        whole = by_name(self.site.rows())
        self.assertEqual(len(whole), N_EPISODES)
        for what, left in {"holes": [line for number, line in enumerate(lines) if number % 7],
                           "torn": [*lines[:100], lines[100][:50]],
                           "empty": [], "deleted": None}.items():
            with self.subTest(what):
                if left is None:
                    self.index.unlink()
                else:
                    self.index.write_text("".join(left))
                kept = [line for line in left or [] if line.endswith("\n")]
                counts = self.backfill()
                self.assertEqual(counts, {"added": N_EPISODES - len(kept), "present": len(kept), "unreadable": 0,
                                          "in_flight": 0, "damaged": 0, "failed": 0})
                self.assertEqual(by_name(self.site.rows()), whole)
                self.assert_indexed_once()
                text = self.index.read_text()
                self.assertTrue(text.startswith("".join(kept)))
                self.assertTrue(all(row.get("backfilled") is True for row in self.site.rows()[len(kept):]))
                self.assertEqual(self.backfill()["added"], 0)
                self.assertEqual(self.index.read_text(), text)
        self.assertEqual(self.verify()["rows"], N_EPISODES)

    def test_what_is_noted_nowhere_is_read_from_the_archives(self):
        names = self.ship(20)
        whole = by_name(self.site.rows())
        for name in names:
            os.removexattr(self.site.archive(name), "user.cis490.receipt")
        self.index.unlink()
        self.assertEqual(self.backfill()["added"], 20)
        for key, row in by_name(self.site.rows()).items():
            self.assertEqual({**row, "ts": None}, {**whole[key], "ts": None})

    def test_what_is_damaged_is_left_out(self):
        names = self.ship(4)
        folder = self.site.archive(names[0]).parent
        (folder / "garbage.tar.zst").write_bytes(b"no zstd at all")
        (folder / "empty.tar.zst").write_bytes(b"")
        (folder / "another.tar.zst").write_bytes(self.site.archive(names[0]).read_bytes())
        bomb = subprocess.run("head -c 1500M /dev/zero | zstd -q -1", shell=True, check=True, capture_output=True)
        (folder / "bomb.tar.zst").write_bytes(bomb.stdout)
        (folder / "link.tar.zst").symlink_to("/etc/passwd")
        (folder / ".hidden.tar.zst").write_bytes(b"")
        (folder / "notes.txt").write_text("not an archive")
        rows = self.index.read_text().splitlines(keepends=True)
        self.index.write_text("".join(row for row in rows if f'"{names[0]}"' not in row))
        with open(self.site.archive(names[0]), "ab") as archive:
            archive.write(b"more")
        ended = self.run_index("backfill", status=1)
        self.assertIn("0 rows added, 3 were there", ended.stdout)
        self.assertIn("5 archives are damaged, or cannot be looked through, and are left out", ended.stdout)
        for name, why in (("garbage", "not what zstd writes"), ("empty", "it is empty"), ("another", "is not in the folder"),
                          ("bomb", "has no bomb/meta.json"), (names[0], "when it was stored")):
            self.assertRegex(ended.stderr, f"(?s)lab-1/{name} is left out[^\n]*{why}")
        self.assertEqual(sorted(row["episode"] for row in self.site.rows()), names[1:])
        self.run_index("verify", status=1)

    def test_a_host_sends_again_what_was_damaged(self):
        """By a row that is there, and where none is; a second row comes of neither."""
        names = self.ship(3)
        good = [digest(self.site.archive(name)) for name in names]
        os.truncate(self.site.archive(names[0]), 0)
        self.site.archive(names[1]).unlink()
        self.site.archive(names[1]).write_bytes(b"")
        rows = self.index.read_text().splitlines(keepends=True)
        self.index.write_text("".join(row for row in rows if f'"{names[1]}"' not in row))
        self.assertEqual(self.backfill(status=1)["damaged"], 1)
        receiver = self.site.receiver()
        for name in names:
            (self.site.host / "shipped" / name).rename(self.site.host / "episodes" / name)
        self.assertEqual(self.site.once().status, 0)
        self.assertEqual(receiver.stop(), 0)
        self.assert_arrived(self.site, names)
        self.assertEqual([digest(self.site.archive(name)) for name in names], good)
        empty = hashlib.sha256(b"").hexdigest()
        self.assertEqual(sorted(path.name for path in (self.site.receiver_state / "damaged" / "lab-1").iterdir()),
                         [f"{name}.{empty}.tar.zst" for name in names[:2]])
        self.assertIn("archive-damaged", (self.site.receiver_state / "findings.jsonl").read_text())
        self.verify()

    def test_a_folder_that_is_none_is_not_made(self):
        missing = self.site.folder / "nowhere"
        run = self.site.command("index", "backfill", "--config", str(self.site.folder / "cis490.ini"), state=missing)
        self.assertEqual(run.returncode, 69)
        self.assertIn("STATE_DIRECTORY", run.stderr)
        self.assertFalse(missing.exists())

    def test_a_row_that_was_on_disk_may_have_been_acknowledged(self):
        self.ship(2)
        whole = self.index.read_bytes()
        os.truncate(self.index, len(whole) - 20)
        receiver = self.site.receiver()
        receiver.wait_to_say("may be of an episode that was acknowledged")
        self.assertEqual(self.backfill()["added"], 1)
        self.assert_indexed_once()
        self.assertEqual(receiver.stop(), 0)
        # As an editor leaves it: nothing is cut, nor told.
        whole = self.index.read_bytes()
        os.truncate(self.index, len(whole) - 1)
        receiver = self.site.receiver()
        self.assertEqual(self.index.read_bytes(), whole)
        self.assertEqual(receiver.stop(), 0)
        self.assertNotIn("bytes were cut off", receiver.said)

    def test_beside_a_receiver(self):
        """Old rows are lost, uploads go on, and two backfills run at once."""
        names = self.ship(N_EPISODES, "old")
        lines = self.index.read_text().splitlines(keepends=True)
        self.index.write_text("".join(lines[::3]))
        self.site.receiver()
        self.site.episodes(N_EPISODES, 300, "new")
        shipper = self.site.shipper()
        wait_until(lambda: len(self.site.names("shipped")) > N_EPISODES, "uploads go on")
        counts = []
        threads = [threading.Thread(target=lambda: counts.append(self.backfill())) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(counts), 2)
        self.verify("--quick")
        wait_until(lambda: len(self.site.names("shipped")) == 2 * N_EPISODES, "all are home")
        shipper.stop()
        self.assert_indexed_once()
        backfilled = {row["episode"] for row in self.site.rows() if "backfilled" in row}
        self.assertEqual(backfilled, set(names) - {json.loads(line)["episode"] for line in lines[::3]})
        self.verify()

    def test_what_a_receiver_is_at_is_left_to_it(self):
        self.ship(3)
        self.index.unlink()
        stored = self.site.archive("ep-00001")
        part = self.site.receiver_state / "incoming" / "lab-1" / f"ep-00001.{digest(stored)}.{self.site.head}.part"
        os.link(stored, part)
        self.assertEqual(self.verify(status=1)["in_flight"], 1)
        self.assertIn("1 archive has no row yet; a receiver writes it when it starts", self.run_index("verify", status=1).stdout)
        counts = self.backfill()
        self.assertEqual((counts["added"], counts["in_flight"]), (2, 1))
        self.assertNotIn("agree", self.run_index("verify").stdout)
        self.site.receiver().stop()
        self.assertEqual(self.site.partials(), [])
        self.assert_indexed_once()
        # A second name elsewhere, as a backup by hard links makes them, is nobody at work.
        self.index.unlink()
        os.link(stored, self.site.folder / "backup")
        self.assertEqual(self.backfill()["added"], 3)

    def test_a_backfill_of_root_leaves_the_receiver_its_index(self):
        self.ship(3)
        self.index.unlink()
        self.site.become_nobody()
        self.site.prefix = ()
        self.backfill()
        self.assertEqual(self.index.stat().st_uid, scratch.NOBODY)


class Verify(IndexCase):

    def flaws(self, report):
        return {kind: [flaw["id"] for flaw in report[kind]]
                for kind in ("missing", "extra", "differing", "duplicate", "malformed", "unreadable") if report[kind]}

    def test_all_is_well(self):
        self.ship(30)
        report = self.verify("--jobs", "3")
        self.assertEqual((report["rows"], report["archives"], self.flaws(report)), (30, 30, {}))
        self.assertEqual(report["hashed"], sum(row["size"] for row in self.site.rows()))
        self.assertEqual(self.verify("--quick")["hashed"], 0)
        self.assertIn("index and store agree", self.run_index("verify").stdout)

    def test_flaws(self):
        self.ship(10)
        self.site.archive("ep-00001").unlink()
        self.site.archive("ep-00002").rename(self.site.archive("another"))
        same_size = self.site.archive("ep-00003").read_bytes()
        self.site.archive("ep-00003").write_bytes(same_size[:-1] + bytes([same_size[-1] ^ 1]))
        with open(self.site.archive("ep-00004"), "ab") as archive:
            archive.write(b"more")
        lines = self.index.read_text().splitlines(keepends=True)
        self.index.write_text("".join([*lines, lines[5], "no row\n", '{"host":"lab-1","episode":"../x"}\n', lines[6][:40]]))
        twice = json.loads(lines[5])["episode"]
        expected = {"missing": ["lab-1/ep-00001", "lab-1/ep-00002"], "extra": ["lab-1/another"],
                    "differing": ["lab-1/ep-00003", "lab-1/ep-00004"], "duplicate": [f"lab-1/{twice}"],
                    "malformed": ["", ""]}
        self.assertEqual(self.flaws(self.verify(status=1)), expected)
        self.assertEqual(self.flaws(self.verify("--quick", status=1)), {**expected, "differing": ["lab-1/ep-00004"]})
        ended = self.run_index("verify", status=1)
        self.assertIn("lab-1/ep-00003: its sha256 is", ended.stdout)
        self.assertIn("8 flaws", ended.stdout)
        self.assertIn("cis490 index backfill", ended.stderr)

    def test_only_files_are_archives(self):
        self.ship(2)
        self.site.archive("folder").mkdir()
        self.site.archive("link").symlink_to("/etc/passwd")
        report = self.verify()
        self.assertEqual((report["archives"], self.flaws(report)), (2, {}))
        self.assertEqual(self.backfill()["added"], 0)

    def test_the_row_to_remove_is_the_one_that_is_wrong(self):
        self.ship(1)
        row = self.index.read_text()
        self.index.write_text(row.replace(json.loads(row)["sha256"], "0" * 64) + row)
        ended = self.run_index("verify", status=1)
        self.assertEqual(self.flaws(self.verify(status=1)), {"differing": ["lab-1/ep-00000"], "duplicate": ["lab-1/ep-00000"]})
        self.assertIn("remove the row whose sha256 is not the archive's", ended.stderr)
        self.assertIn("where it is a duplicate too, look at its other row first", ended.stderr)
        self.index.write_text(row)
        self.assertIn("index and store agree", self.run_index("verify").stdout)

    def test_rows_that_appear_meanwhile_are_no_flaw(self):
        self.ship(200, "old")
        self.site.receiver()
        self.site.episodes(N_EPISODES, 300, "new")
        self.site.shipper()
        wait_until(lambda: len(self.site.names("shipped")) > 210, "uploads go on")
        n_looks = 0
        while len(self.site.names("shipped")) < 200 + N_EPISODES:
            self.assertEqual(self.flaws(self.verify("--quick")), {})
            n_looks += 1
        self.assertGreater(n_looks, 1)

    def test_without_an_index_all_is_extra(self):
        names = self.ship(3)
        self.index.unlink()
        self.assertEqual(self.flaws(self.verify(status=1)), {"extra": [f"lab-1/{name}" for name in names]})

    def test_mistakes(self):
        for arguments in ((), ("mend",), ("verify", "more"), ("verify", "--jobs=-1"), ("verify", "--jobs=0"),
                          ("backfill", "--quick")):
            with self.subTest(arguments):
                self.run_index(*arguments, status=64)
        self.assertIn("set STATE_DIRECTORY", self.run_index("verify", status=69).stderr)

    def test_one_is_said_as_one(self):
        self.ship(1)
        self.index.unlink()
        self.assertEqual(self.run_index("backfill").stdout, "1 row added, 0 were there\n")
        self.assertRegex(self.run_index("verify").stdout, "^1 row, 1 archive, .* hashed: ")

    def test_a_store_that_somebody_else_may_not_see_is_there(self):
        self.ship(1)
        self.site.become_nobody()
        self.site.receiver_state.chmod(0)
        self.addCleanup(self.site.receiver_state.chmod, 0o700)
        for verb in ("verify", "backfill"):
            self.assertIn("Permission denied", self.run_index(verb, status=77).stderr)


class Gate(IndexCase):

    def setUp(self):
        super().setUp()
        self.site.tune("receiver", "[pipeline]\nstages=accept;bearer;known;gate;verify;store;index;rejections;log;journal\n"
                       "[verify]\nplugin=gate/verify\n", "verify")

    def put(self, name, body, commit=None):
        path = self.site.folder / "body"
        path.write_bytes(body)
        connection = Connection(self.site.socket)
        self.addCleanup(connection.close)
        connection.request("PUT", f"/v1/episodes/lab-1/{name}", body=body, headers={
            "Authorization": f"Bearer {self.site.token}", "X-Cis490-Sha256": digest(path),
            "X-Cis490-Code-Commit": commit or self.site.head})
        answer = connection.getresponse()
        return answer.status, json.load(answer)

    def test_what_is_sent_is_looked_into(self):
        names = self.site.episodes(5, 5000)
        self.site.receiver()
        self.assertEqual(self.site.once().status, 0)
        self.assert_arrived(self.site, names)
        good = self.site.archive(names[0]).read_bytes()
        for what, (name, body, commit), finding in (
                ("another name", ("other", good, None), "archive-malformed"),
                ("no archive", ("x", b"these are no bytes of an archive", None), "archive-malformed"),
                ("cut", (names[0] + "-3", good[:-5], None), "archive-malformed")):
            with self.subTest(what):
                status, problem = self.put(name, body, commit)
                self.assertEqual((status, problem["type"]), (422, f"urn:cis490:finding:{finding}"), problem)
                self.assertIn(name, problem["remedy"])
        self.assertEqual(self.site.partials(), [])
        self.assertEqual(len(self.site.rows()), 5)

    def test_the_commit_inside_counts(self):
        self.site.receiver()
        folder = self.site.episode("one")
        body = subprocess.run(f"tar -C {folder.parent} -cf - one | zstd -q", shell=True, check=True, capture_output=True).stdout
        status, problem = self.put("one", body, self.site.commits[-2])
        self.assertEqual((status, problem["type"]), (422, "urn:cis490:finding:archive-mismatch"))
        self.assertEqual((problem["requested"], problem["archived"]), (self.site.commits[-2], self.site.head))
        self.assertEqual(self.put("one", body)[0], 201)


if __name__ == "__main__":
    scratch.main()
