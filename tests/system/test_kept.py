# SPDX-License-Identifier: LGPL-2.1-or-later
"""What was shipped long ago leaves a host on the receiver's word of now, never on a receipt of then."""

import json
import subprocess

import scratch
from scratch import Site

CLEANING = "[retire]\nconfirm-after=0s\n"
DIRECTORY = "[ship]\nplugin=transport/directory\ndirectory={}\n"


class Kept(scratch.TestCase):

    def make(self, *names, **options):
        """Shipped, all of them, thirty days and more ago."""
        site = Site(self)
        site.tune("shipper", CLEANING, "cleaning")
        for name, tuned in options.items():
            site.tune("shipper", tuned.format(site.folder / "share"), name)
        (site.folder / "share").mkdir()
        self.receiver = site.receiver()
        for name in names:
            site.episode(name)
        self.assertEqual(site.once().status, 0)
        self.assertEqual(site.names("shipped"), sorted(names))
        for name in names:
            self.age(site, name)
        return site

    def age(self, site, name, **changed):
        path = site.host / "receipts" / f"{name}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "received_at": "2020-01-01T00:00:00Z", **changed}))

    def clean_up(self, site):
        """A pass that gives notice, and one that may act on it; what both said."""
        passes = [site.once(), site.once()]
        said = "".join(process.said for process in passes)
        self.assertEqual([process.status for process in passes], [0, 0], said)
        return said

    def test_nothing_goes_while_nobody_answers(self):
        names = [f"ep-{number}" for number in range(20)]
        site = self.make(*names)
        self.receiver.stop()
        said = self.clean_up(site)
        self.assertEqual(site.names("shipped"), sorted(names))
        self.assertIn("shipped-unconfirmed: 20 episodes (ep-0, ep-1, ep-10, …) past keep-days= stay in shipped/", said)
        self.assertIn("No answer from unix:", said)
        # Each run waits for its clean-up, so one is enough for all.
        site.receiver()
        self.assertEqual(site.once().status, 0)
        self.assertEqual((site.names("shipped"), site.names("receipts")), ([], []))

    def test_what_the_receiver_has_lost_is_shipped_anew(self):
        site = self.make("gone", "there")
        site.archive("gone").unlink()
        said = self.clean_up(site)
        self.assertIn("lost-by-receiver: The receiver no longer has what it acknowledged: 1 episode (gone), shipped anew", said)
        self.assertEqual((site.names("shipped"), site.names("episodes")), ([], ["gone"]))
        self.assertEqual(site.once().status, 0)
        self.assertEqual(site.names("shipped"), ["gone"])
        self.assert_same_content(site, "gone")
        self.assertEqual(sorted(row["episode"] for row in site.rows()), ["gone", "there"], "a row for each, as before")
        self.assertEqual(self.receiver.said.count(f"lab-1/gone is stored: {site.archive('gone').stat().st_size} bytes, sha256 "), 2)

    def test_what_the_receiver_would_not_take_again_stays(self):
        site = self.make("old")
        self.receiver.stop()
        site.archive("old").unlink()
        # The code that it came from is not recent any more.
        for number in range(2):
            subprocess.run(["git", "-C", site.folder / "repository", "-c", "user.name=Test", "-c", "user.email=t@example.org",
                                    "commit", "--quiet", "--allow-empty", f"--message=Later {number}"], check=True)
        site.receiver()
        said = self.clean_up(site)
        self.assertIn("1 episode (old), which it would not take now", said)
        self.assertEqual((site.names("shipped"), site.names("episodes"), site.names("quarantine")), (["old"], [], []))

    def test_other_bytes_are_no_copy(self):
        """What is not what the receiver promised is as good as none; what it has promised anew is a conflict, for a person."""
        site = self.make("rotten", "other")
        site.archive("rotten").write_bytes(b"rotten")
        folder = site.unpack("other")
        (folder / "data.bin").write_bytes(b"of another run")
        before = scratch.digest(site.archive("other"))
        subprocess.run(["tar", "--zstd", "-C", folder.parent, "-cf", site.archive("other"), "other"], check=True)
        index = site.receiver_state / "index.jsonl"
        index.write_text(index.read_text().replace(before, scratch.digest(site.archive("other"))))
        said = self.clean_up(site)
        self.assertIn("1 episode (rotten), shipped anew by itself; 1 episode (other), which it would not take now "
                      "(The receiver has other bytes", said)
        self.assertEqual(site.once().status, 0)
        self.assertEqual(site.names("shipped"), ["other", "rotten"])
        self.assert_same_content(site, "rotten")

    def test_what_says_nothing_of_these_bytes_lets_nothing_go(self):
        """A size that is refused before anybody looks; a host that has another name by now; a token that was taken back."""
        site = self.make("one")
        self.receiver.stop()
        site.tune("receiver", scratch.ROOMY + "max-body=100\n")
        receiver = site.receiver()
        self.assertIn("bytes are more than the 100", self.clean_up(site))
        site.tune("receiver", scratch.ROOMY)
        receiver.reload()
        site.tune("shipper", "[ship]\nhost=lab-2\n", "host")
        self.assertIn('"host" is lab-1 instead of lab-2', self.clean_up(site))
        site.tune("shipper", "", "host")
        site.write_secret("token", "0" * 64)
        self.assertIn("does not take our token", self.clean_up(site))
        self.assertEqual(site.names("shipped"), ["one"])

    def test_of_a_folder_too(self):
        site = self.make("gone", "there", "changed", ship=DIRECTORY)
        share = site.folder / "share"
        (share / "lab-1" / "gone.tar.zst").unlink()
        (share / "lab-1" / "changed.tar.zst").write_bytes(b"rotten")
        share.rename(site.folder / "elsewhere")
        self.assertIn(f"Cannot ship into {share}: Cannot open it", self.clean_up(site))
        share.mkdir()
        self.assertIn("shipped-unconfirmed", self.clean_up(site))
        self.assertEqual(site.names("shipped"), ["changed", "gone", "there"])
        share.rmdir()
        (site.folder / "elsewhere").rename(share)
        said = self.clean_up(site)
        self.assertIn("1 episode (gone), shipped anew by itself; 1 episode (changed), which it would not take", said)
        # The notice stood while nobody answered, so that the first pass could act.
        self.assertEqual(site.names("shipped"), ["changed", "gone"])
        self.assertTrue((share / "lab-1" / "gone.tar.zst").exists())


if __name__ == "__main__":
    scratch.main()
