# SPDX-License-Identifier: LGPL-2.1-or-later
"""What would fail only once it runs is seen by `check`: it reads the files that are named, and with --deep asks."""

import json
import os
import subprocess

import scratch
from authority import Authority
from scratch import Site


class Look(scratch.TestCase):

    def setUp(self):
        super().setUp()
        self.site = Site(self)

    def check(self, pipeline, *arguments, state=None):
        return self.site.command("check", pipeline, "--config", str(self.site.folder / "cis490.ini"), *arguments, state=state)

    def assert_found(self, pipeline, status, *words):
        run = self.check(pipeline)
        self.assertEqual(run.returncode, status, run.stdout + run.stderr)
        for word in words:
            self.assertIn(word, run.stderr)
        return run

    def test_tokens_with_a_mistake(self):
        self.site.write_secret("tokens", "# ours\nlab-1 not-a-digest")
        self.assert_found("receiver", 78, "tokens-unreadable", "/tokens:2:7: expected a host")
        # What check says is what a start would have said.
        self.assertEqual(self.site.start("receiver", state=self.site.receiver_state).wait(), 78)

    def test_a_token_that_is_none(self):
        for text, word in (("", "the file is empty"), ("s3cret t0ken", ":1:8: something else"), ("caf\u00e9", "U+00E9")):
            with self.subTest(text):
                self.site.write_secret("token", text)
                run = self.assert_found("shipper", 78, "token-unreadable", word)
                self.assertNotIn("s3cret", run.stderr + run.stdout)

    def test_certificates(self):
        folder = self.site.folder
        certificate, key, other = folder / "lab-1.crt", folder / "lab-1.key", folder / "other.key"
        authority = Authority(folder / "authority")
        self.site.write_site(certificate_file=certificate, key_file=key, ca_file=authority.pem)
        authority.client("lab-1").install(certificate, key)
        self.assertEqual(self.check("shipper").returncode, 0)
        authority.expired("lab-1").install(certificate, key)
        self.assert_found("shipper", 78, "certificate-unreadable", "expired at")
        authority.not_yet_valid("lab-1").install(certificate, key)
        self.assert_found("shipper", 78, "certificate-unreadable", "is not valid before")
        authority.client("lab-1").install(certificate, key)
        authority.client("other").install(folder / "other.crt", other)
        self.site.write_site(key_file=other)
        self.assert_found("shipper", 78, "certificate-unreadable", "that of another certificate")
        self.site.write_site(key_file=key)
        for file in (certificate, authority.pem):
            whole = file.read_bytes()
            file.write_bytes(whole[:len(whole) // 2])
            self.assert_found("shipper", 78, "certificate-unreadable", str(file))
            file.write_bytes(whole)

    def test_a_repository_that_cannot_be_read(self):
        self.site.write_site(repository=self.site.folder / "nowhere")
        self.assert_found("receiver", 78, "window-unavailable", "/nowhere")
        self.site.write_site(repository=self.site.folder / "repository", branch="no-such-branch")
        self.assert_found("receiver", 78, "window-unavailable", "no-such-branch")
        self.site.write_site(gate_enabled="false")
        self.assertEqual(self.check("receiver").returncode, 0)

    def test_grants_and_a_remedy(self):
        grants, remedy = self.site.folder / "grants", self.site.folder / "remedy"
        grants.write_text("# ours\nold nothing lab-1 2099-12-31\n")
        remedy.write_bytes(b"\xff\xfec\0d\0")
        self.site.write_site(grants_file=grants)
        self.site.tune("receiver", f"[gate]\nremedy-file={remedy}\n")
        self.assert_found("receiver", 0, "grants-unreadable", "/grants:2:5: ", "remedy-unreadable", "UTF-16")

    def test_deep_asks(self):
        run = self.check("shipper")
        self.assertEqual((run.returncode, run.stdout), (0, "shipper: ok; --deep asks further: ship\n"))
        self.assertEqual(self.check("shipper", "--deep").returncode, 78)
        receiver = self.site.receiver()
        run = self.check("shipper", "--deep")
        self.assertEqual((run.returncode, run.stdout), (0, "shipper: ok\n"), run.stderr)
        self.assertIn("receiver-ok", run.stderr)
        receiver.stop()

    def test_json(self):
        self.site.write_secret("token", "")
        run = self.check("shipper", "--json")
        self.assertEqual((run.returncode, run.stderr), (78, ""))
        result, = json.loads(run.stdout)
        self.assertEqual((result["pipeline"], result["ok"]), ("shipper", False))
        self.assertEqual([finding["finding"] for finding in result["findings"]], ["token-unreadable"])


class Verbs(scratch.TestCase):
    """How a verb is called, and what it prints for programs."""

    def setUp(self):
        super().setUp()
        self.site = Site(self)
        self.config = str(self.site.folder / "cis490.ini")

    def test_options_before_the_verb(self):
        for words in (["--config", self.config, "check", "shipper"], ["-c", self.config, "check", "shipper"],
                      [f"--config={self.config}", "--set", "pack.level=3", "check", "shipper"],
                      ["check", "shipper", "--config", self.config]):
            with self.subTest(words):
                run = self.site.command(*words)
                self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertEqual(self.site.command("--set", "pack.level=99", "check", "shipper", "--config", self.config).returncode, 78)
        self.assertEqual(self.site.command("--nonsense", "check").returncode, 64)
        self.assertEqual(self.site.command("--config").returncode, 64)

    def test_json(self):
        graph = json.loads(self.site.command("graph", "shipper", "--json", "--config", self.config).stdout)
        self.assertEqual(graph["source"]["plugin"], "scan/episodes")
        self.assertEqual([stage["name"] for stage in graph["stages"]], ["stamp-check", "pack", "ship", "retire", "quarantine"])
        self.assertIn("level", graph["stages"][1]["options"])
        finding, = json.loads(self.site.command("ping", "--json", "--config", self.config).stdout)
        self.assertEqual(finding["finding"], "receiver-unreachable")
        run = self.site.command("run", "shipper", "--once", "--json", "--config", self.config)
        summary = json.loads(run.stdout)
        self.assertEqual((summary["pipeline"], summary["status"]), ("shipper", run.returncode))
        self.assertEqual(summary["stages"][0]["seen"], 0)

    def test_a_graph_without_utf_8(self):
        self.site.environment.update(LC_ALL="C")
        run = self.site.command("graph", "shipper", "--config", self.config)
        self.assertEqual(run.returncode, 0)
        self.assertNotIn("?", run.stdout)
        self.assertIn("\n  |\n", run.stdout)

    def test_settings_are_completed(self):
        bash = pathlib_of("data/cis490.bash")
        folder = self.site.folder / "programs"
        folder.mkdir()
        (folder / "cis490").write_text(f"#!/bin/sh\nexec {scratch.PROGRAM} \"$@\"\n")
        (folder / "cis490").chmod(0o755)
        script = f"compopt() {{ :; }}; . {bash}; COMP_WORDS=(cis490 run shipper --set pack.l); COMP_CWORD=4; _cis490; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        run = subprocess.run(["bash", "-c", script], capture_output=True, text=True,
                             env={**os.environ, **self.site.environment, "PATH": f"{folder}:{os.environ['PATH']}"})
        self.assertEqual(run.stdout, "pack.level=\n", run.stderr)

    def test_an_answer_is_shown_by_its_members(self):
        self.site.episode("refused", stamped=False)
        self.assertEqual(self.site.once().status, 65)
        reason = self.site.host / "quarantine" / "refused.json"
        reason = reason if reason.exists() else next(self.site.host.glob("quarantine/**/*reason*.json"))
        told = json.loads(reason.read_text())
        told["answer"] = json.dumps({"type": "urn:cis490:finding:too-large", "title": "Too large", "max": 7})
        reason.write_text(json.dumps(told))
        run = self.site.command("quarantine", "show", "refused", "--state", str(self.site.host))
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("answer.title     Too large\n", run.stdout)
        self.assertIn("answer.max       7\n", run.stdout)
        self.assertNotIn("{", run.stdout)


def pathlib_of(name):
    return os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), name)


if __name__ == "__main__":
    scratch.main()
