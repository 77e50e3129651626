# SPDX-License-Identifier: LGPL-2.1-or-later
"""Another transport is another line in an ini, and `check` explains each mistake that one can make there."""

import json
import os
import subprocess

import scratch
from authority import Authority
from scratch import Site, digest, snapshot

# What a drop-in says, and what check has to say of it: where, and all of these words.
MISTAKES = {
    "a key that is missing": ("[ship]\nplugin=transport/directory\n", 1, ("directory=…",)),
    "a key misspelled": ("[ship]\nplugin=transport/directory\ndirectroy=/srv\n", 3, ("“directroy”", "“directory”")),
    "a plugin misspelled": ("[ship]\nplugin=transport/directry\ndirectory=/srv\n", 2, ("“transport/directory”",)),
    "a plugin without its family": ("[ship]\nplugin=http\n", 2, ("“http”", "cis490 inspect")),
    "a key of the old transport": ("[ship]\nplugin=transport/directory\ndirectory=/srv\ntimeout=5s\n", 4,
                                   ("“timeout”", "mounted")),
    "a group misspelled": ("[shp]\nplugin=transport/mock\n", 1, ("“shp”", "[ship]")),
    "a bad boolean": ("[ship]\nplugin=transport/directory\ndirectory=/srv\nmounted=maybe\n", 4, ("mounted=maybe", "true")),
    "a duration without a unit": ("[ship]\nplugin=transport/mock\ndelay=5\n", 3, ("delay=5", "30s")),
    "a number out of range": ("[pack]\nlevel=50\n", 2, ("level=50", "1 to 19")),
    "a number that is none": ("[pack]\nlevel=abc\n", 2, ("level=abc", "1 to 19")),
    "a folder for a file": ("[ship]\ntoken-file=/tmp\n", 2, ("token-file=/tmp", "is a folder")),
    "a source in the middle": ("[ship]\nplugin=scan/episodes\n", None, ("“ship”", "source")),
    "a secret in the ini": ("[ship]\ntoken=abc\n", 2, ("“token”", "token-file")),
    "no key at all": ("[ship]\nplugin=transport/directory\ndirectory\n", 3, ("directory",)),
    "a variable that nothing sets": ("[ship]\nplugin=transport/directory\ndirectory=${mirror}\n", 3, ("mirror",)),
    "shipped before it is packed": ("[pipeline]\nstages=scan;stamp-check;ship;pack;retire;quarantine\n", None,
                                    ("[ship]", "archive")),
    "never packed": ("[pipeline]\nstages=scan;stamp-check;ship;retire;quarantine\n", None, ("[ship]", "archive", "[pack]")),
    "never shipped": ("[pipeline]\nstages=scan;stamp-check;pack;retire;quarantine\n", None, ("[retire]", "receipt")),
    "a stage without a group": ("[pipeline]\nstages=scan;pack;shop;retire\n", None, ("“shop”", "[shop]")),
    "a stage twice": ("[pipeline]\nstages=scan;pack;ship;ship;retire\n", 2, ("“ship” twice",)),
    "another state folder in one stage": ("[retire]\nstate=/elsewhere\n", 2, ("[retire]", "/elsewhere", "[scan]")),
    "no lock, and not a drain": ("[scan]\nlock=false\n", 2, ("lock=false", "[pack]")),
    "a key twice": ("[pack]\nlevel=1\nlevel=2\n", 3, ("“level”", "line 2")),
    "a group twice": ("[pack]\nlevel=1\n[ship]\n[pack]\n", 4, ("[pack]", "line 1")),
    "a bracket too many": ("[pack]\nlevel=1\n[[ship]\n", 3, ("[ship",)),
    "a comment behind a number": ("[pack]\nlevel=9 # fast\n", 2, ("level=9 # fast", "“level=9”")),
    "a comment behind a list": ("[pipeline]\nstages=scan;pack;ship;retire # all\n", 2, ("# all", "a comment")),
    "a comment behind a plugin": ("[ship]\nplugin=transport/mock ; for now\n", 2, ("“plugin=transport/mock”",)),
    "a language": ("[pack]\nlevel[de]=9\n", 2, ("“level[de]”", "“level=”")),
    "quotes": ("[ship]\nhost=\"lab-1\"\n", 2, ("quotes", "lab-1")),
    "a list with commas": ("[pipeline]\nstages=scan,pack,ship,retire\n", 2, ("“;”",)),
    "a path of a shell": ("[ship]\ntoken-file=~/token\n", 2, ("“~”",)),
    "no source first": ("[pipeline]\nstages=pack;ship;retire\n", 2, ("“pack”", "source")),
}

# What no type of an option says: only the plugin knows.
BAD_VALUES = {
    "an answer that is none": ("[ship]\nplugin=transport/mock\nanswers=201;soon\n", ("soon",)),
    "an address without a scheme": ("[ship]\nurl=receiver.example\n", ("receiver.example", "https://")),
    "a host's name that is none": ("[ship]\nhost=lab 1\n", ("lab 1",)),
}


class Check(scratch.TestCase):

    def setUp(self):
        super().setUp()
        self.site = Site(self)

    def test_what_is_shipped_is_in_order(self):
        for name in ("shipper", "receiver"):
            run = self.site.check(name)
            self.assertEqual((run.returncode, run.stderr), (0, ""))

    def test_each_mistake_is_explained(self):
        for what, (text, line, words) in MISTAKES.items():
            with self.subTest(what):
                self.site.tune("shipper", text, "mistake")
                run = self.site.check()
                self.assertEqual(run.returncode, 78, run.stderr)
                for word in words:
                    self.assertIn(word, run.stderr)
                if line is not None:
                    self.assertIn(f"mistake.ini:{line}:", run.stderr)

    def test_run_refuses_what_check_refuses(self):
        for what, (text, _, words) in MISTAKES.items():
            with self.subTest(what):
                self.site.tune("shipper", text, "mistake")
                run = self.site.once()
                self.assertEqual(run.status, 78)
                self.assertIn(words[0], run.said)
        self.assertEqual(os.listdir(self.site.host), ["episodes"])

    def test_values_that_only_a_plugin_can_judge(self):
        for what, (text, words) in BAD_VALUES.items():
            with self.subTest(what):
                self.site.tune("shipper", text, "mistake")
                self.assertEqual(self.site.once().status, 78)
                run = self.site.check()
                self.assertEqual(run.returncode, 78)
                for word in words:
                    self.assertIn(word, run.stderr)

    def test_a_comment_is_taken_off_by_its_fix(self):
        for text in ("[pack]\nlevel=9 # fast\n", "[ship]\nhost=lab-1 ; ours\n",
                     "[pipeline]\nstages=scan ;stamp-check;pack;ship;retire;quarantine # all\n", "[pack]\nlevel=9\nfree-space=1GiB  # x # y\n"):
            with self.subTest(text):
                self.site.tune("shipper", text, "mistake")
                run = self.site.check()
                self.assertEqual(run.returncode, 78)
                fix = next(line for line in run.stderr.splitlines() if line.startswith("    sed "))
                subprocess.run(["sh", "-ec", fix], check=True)
                run = self.site.check()
                self.assertEqual((run.returncode, run.stderr), (0, ""))

    def test_a_blank_and_a_hash_that_belong_to_a_value(self):
        self.site.tune("shipper", "[ship]\nplugin=transport/directory\ndirectory=/srv/lab\\s#1\n", "swap")
        self.assertEqual(self.site.check().returncode, 0)

    def test_a_certificate_without_its_key(self):
        certificate, key = self.site.folder / "lab-1.crt", self.site.folder / "lab-1.key"
        Authority(self.site.folder / "authority").client("lab-1").install(certificate, key)
        self.site.write_site(certificate_file=certificate)
        run = self.site.check()
        self.assertEqual(run.returncode, 78)
        self.assertIn(f"key-file= is not set, and {certificate} holds a certificate without its key", run.stderr)
        self.assertIn("below [site]", run.stderr)
        self.site.write_site(certificate_file=certificate, key_file=key)
        self.assertEqual(self.site.check().returncode, 0)

    def test_a_key_of_the_site_misspelled(self):
        self.site.write_site(reciever_url="unix:/nowhere")
        run = self.site.check()
        self.assertEqual(run.returncode, 78)
        for word in ("cis490.ini:", "reciever-url", "receiver-url"):
            self.assertIn(word, run.stderr)

    def test_drop_ins_of_no_pipeline(self):
        folder = self.site.folder / "pipelines" / "shiper.ini.d"
        folder.mkdir(parents=True)
        run = self.site.check()
        self.assertEqual((run.returncode, run.stdout.split(";")[0]), (0, "shipper: ok"))
        for word in (f"{folder}: warning", "“shiper”", "“shipper”", "mv -n ", "drop-ins-unused"):
            self.assertIn(word, run.stderr)

    def test_a_key_without_a_value(self):
        self.site.write_site(branch="")
        run = self.site.check("receiver")
        self.assertEqual(run.returncode, 0)
        self.assertIn("[site] branch= has no value", run.stderr)

    def test_a_host_without_a_quarantine(self):
        self.site.tune("shipper", "[pipeline]\nstages=scan;stamp-check;pack;ship;retire\n")
        run = self.site.check()
        self.assertEqual(run.returncode, 0)
        self.assertIn("quarantine-missing", run.stderr)

    def test_a_graph_needs_no_values(self):
        (self.site.folder / "cis490.ini").write_text("[site]\n")
        self.assertEqual(self.site.check().returncode, 78)
        for arguments, said in (([], "transport/http"), (["--dot"], "digraph")):
            run = self.site.command("graph", "shipper", "--config", str(self.site.folder / "cis490.ini"), *arguments)
            self.assertEqual((run.returncode, run.stderr), (0, ""))
            self.assertIn(said, run.stdout)

    def test_nothing_is_written(self):
        before = snapshot(self.site.folder)
        self.site.check()
        self.site.check("receiver")
        self.site.command("inspect", "transport/http")
        self.site.command("graph", "shipper", "--config", str(self.site.folder / "cis490.ini"))
        self.assertEqual(snapshot(self.site.folder), before)

    def test_an_address_that_nobody_listens_at(self):
        for address in ("8490", "0.0.0.0:8490", "localhost", "unix:"):
            with self.subTest(address):
                self.site.write_site(listen=address)
                run = self.site.check("receiver")
                self.assertEqual(run.returncode, 78)
                for word in ("cis490.ini:", f"listen={address}", "127.0.0.1:8490"):
                    self.assertIn(word, run.stderr)

    def test_an_address_that_a_library_would_cut(self):
        socket = self.site.folder / ("s" * 110)
        self.site.write_site(listen=f"unix:{socket}", receiver_url=f"unix:{socket}")
        for pipeline in ("receiver", "shipper"):
            run = self.site.check(pipeline)
            self.assertEqual(run.returncode, 78)
            self.assertIn("longer than the 107 bytes that unix(7) allows", run.stderr)

    def test_what_is_wrong_in_all_is_said_once(self):
        self.site.write_site(reciever_url="unix:/nowhere")
        run = self.site.command("check", "--config", str(self.site.folder / "cis490.ini"))
        self.assertEqual(run.returncode, 78)
        self.assertEqual(run.stderr.count("“reciever-url”"), 1)
        self.assertEqual(run.stdout.count("has mistakes"), len(run.stdout.splitlines()))

    def test_a_file_for_a_pipeline(self):
        run = self.site.check("shipper.ini")
        self.assertEqual(run.returncode, 78)
        self.assertIn("“shipper”", run.stderr)

    def test_a_pipeline_that_is_not_there(self):
        run = self.site.check("shiper")
        self.assertEqual(run.returncode, 78)
        self.assertIn("“shipper”", run.stderr)


class Swap(scratch.TestCase):
    """The same program and the same stages; only the transport is another."""

    def test_to_a_folder(self):
        site = Site(self)
        names = site.episodes(3)
        mirror = site.folder / "mirror"
        mirror.mkdir()
        site.tune("shipper", f"[ship]\nplugin=transport/directory\ndirectory={mirror}\n", "swap")
        self.assertEqual(site.check().returncode, 0)
        self.assertEqual(site.once().status, 0)
        self.assertEqual(site.names("shipped"), names)
        for name in names:
            copy, = mirror.rglob(f"{name}.tar.zst")
            self.assertEqual(site.receipt(name)["sha256"], digest(copy))

    def test_to_a_receiver_that_is_only_played(self):
        site = Site(self)
        site.episodes(3)
        record = site.folder / "record.jsonl"
        site.tune("shipper", "[pipeline]\nworkers=1\n\n[ship]\nplugin=transport/mock\n"
                  f"answers=201;412;503\nrecord={record}\n", "swap")
        self.assertEqual(site.check().returncode, 0)
        self.assertEqual(site.once().status, 65)
        self.assertEqual([len(site.names(folder)) for folder in ("shipped", "quarantine", "episodes")], [1, 1, 1])
        self.assertEqual(len([json.loads(line) for line in record.read_text().splitlines()]), 3)

    def test_and_back_while_it_runs(self):
        site = Site(self)
        site.receiver()
        mirror = site.folder / "mirror"
        mirror.mkdir()
        shipper = site.shipper()
        site.episode("by-http")
        self.wait_shipped(site, ["by-http"])
        site.tune("shipper", f"[ship]\nplugin=transport/directory\ndirectory={mirror}\n", "swap")
        shipper.reload()
        site.episode("by-folder")
        self.wait_shipped(site, ["by-folder", "by-http"])
        (site.folder / "pipelines" / "shipper.ini.d" / "swap.ini").unlink()
        shipper.reload()
        site.episode("again")
        self.wait_shipped(site, ["again", "by-folder", "by-http"])
        self.assertEqual([row["episode"] for row in site.rows()], ["by-http", "again"])
        self.assertEqual([path.name for path in mirror.rglob("*.zst")], ["by-folder.tar.zst"])


if __name__ == "__main__":
    scratch.main()
