# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each finding of the program is provoked on a scratch site, its fix is pasted as it was printed, and it has to be over then."""

import hashlib
import importlib.util
import itertools
import json
import os
import pathlib
import re

import scratch
import test_disk
from operators import OperatorSite
from relay import Relay
from scratch import Connection, wait_until
from standing import STANDING

TESTS = pathlib.Path(__file__).resolve().parent.parent

# Provoked, and looked at, in another test.
ELSEWHERE = {
    "archive-malformed": "system/test_index.py", "archive-mismatch": "system/test_index.py",
    "body-cut": "test-resume.c", "body-too-slow": "test-accept.c", "busy": "test-accept-limits.c",
    "changed-while-packing": "test-tar-zstd.c", "digest-malformed": "system/test_receiver.py",
    "digest-mismatch": "system/test_receiver.py", "digest-missing": "system/test_receiver.py",
    "expectation-unknown": "test-http-head.c", "head-too-large": "test-accept-limits.c",
    "head-too-slow": "test-accept-limits.c", "http-version-unsupported": "test-accept.c",
    "in-flight": "test-holds.c", "journal-unavailable": "test-journal.c", "length-required": "system/test_receiver.py",
    "media-type-unsupported": "system/test_resume.py", "not-identified": "test-accept.c",
    "receiver-error": "test-accept.c", "request-malformed": "system/test_receiver.py", "shutting-down": "test-accept-limits.c",
    "upload-offset-mismatch": "system/test_resume.py",
}

# All is well, so that there is nothing to fix.
NOTES = {"journal-available", "receiver-ok", "tokens-known", "window-available"}


def load_code():
    """What tests/check-findings.py finds in the code."""
    spec = importlib.util.spec_from_file_location("check_findings", TESTS / "check-findings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Code()


def setUpModule():
    test_disk.setUpModule()


# ---- what is rejected: a generator as in standing.py, that yields what to look for in quarantine

REJECTED = {}


def rejected(finding):
    def register(function):
        REJECTED[finding] = function
        return function
    return register


@rejected("unstamped")
def _(site):
    site.episode("one", stamped=False)
    yield "one"
    yield {"shipped": ["one"]}


@rejected("meta-malformed")
def _(site):
    (site.episode("one") / "meta.json").write_text("{")
    yield "one"
    site.editor(site.host / "quarantine" / "one" / "meta.json", '{"experiment": "test"}')
    yield {"shipped": ["one"]}


@rejected("unsupported-file")
def _(site):
    os.mkfifo(site.episode("one") / "pipe")
    yield "one"
    (site.host / "quarantine" / "one" / "pipe").unlink()
    yield {"shipped": ["one"]}


@rejected("commit-not-in-window")
def _(site):
    site.episode("old", commit=site.stale)
    yield "old"
    site.episode("new")
    yield {"shipped": ["new"]}


@rejected("too-large")
def _(site):
    site.tune("receiver", "[accept]\nmax-body=1000\n", "a-size")
    site.running["receiver"].reload()
    site.episode("one", 100_000)
    yield "one"
    yield {"edited": "receiver/size", "shipped": ["one"]}


@rejected("episode-conflict")
def _(site):
    site.episode("one")
    wait_until(lambda: site.names("shipped") == ["one"], "the first one is shipped")
    site.episode("one")
    yield "one"
    yield {"shipped": ["one", "one-2"]}


@rejected("changed-after-shipping")
def _(site):
    relay = Relay.between(site.test, site)
    site.running["shipper"].reload()
    relay.answers.shut()
    path = site.episode("one")
    wait_until(site.rows, "it is stored")
    with open(path / "data.bin", "ab") as data:
        data.write(b"too late")
    relay.answers.open()
    yield "one"
    yield {"shipped": ["one-changed"]}


# ---- what `check` says: a drop-in with the mistake, and what the person who is put before it makes of it

MISTAKES = {
    "config-unknown-key": ("[pack]\nlevle=3\n", None),
    "config-missing-key": ("[pipeline]\nstages=scan;stamp-check;pack;shp;retire;quarantine;log\n", None),
    "config-unknown-group": ("[pak]\nlevel=3\n", None),
    "config-bad-value": ("[pack]\nlevel=50\n", "[pack]\nlevel=5\n"),
    "config-unreadable": ("this is no ini\n", ""),
    "plugin-not-loaded": ("[pack]\nplugin=pack/tar-zst\n", ""),
    "stage-order": ("[pipeline]\nstages=scan;ship;pack;retire;quarantine;log\n", ""),
    "quarantine-missing": ("[pipeline]\nstages=scan;stamp-check;pack;ship;retire;log\n", ""),
    "group-unused": ("[spare]\nplugin=alert/jsonl\n", ""),
}

UNREACHABLE = "stage-unreachable"
UNUSED = "drop-ins-unused"
IDLE = "[pipeline]\nstages=idle;journal\n[idle]\nplugin=test/idle\n[journal]\nplugin=alert/journal\n"

# What `check` says of a token: whose it is, and its mode.
FILES = {"secret-exposed": (scratch.NOBODY, 0o644), "file-unreadable": (0, 0o600)}

# ---- what a request is told that is not in order: method, path and headers, beside those of one that is

BODY = b"what an archive holds"
REQUESTS = {
    "archive-empty": {"body": b""},
    "commit-malformed": {"X-Cis490-Code-Commit": "HEAD"},
    "commit-missing": {"X-Cis490-Code-Commit": None},
    "id-invalid": {"path": "/v1/episodes/lab-1/a%20b"},
    "method-not-allowed": {"method": "DELETE"},
    "not-found": {"path": "/v2/episodes/lab-1/one"},
    "not-your-host": {"path": "/v1/episodes/lab-2/one"},
    "token-missing": {"Authorization": None},
    "token-unknown": {"Authorization": "Bearer " + "0" * 64},
}


class Findings(scratch.TestCase):

    def assert_pasted(self, site, fix, stdin="", fill=(), edited="", **_):
        self.assertTrue(fix, "there is a fix")
        for word, value in dict(fill).items():
            self.assertIn(word, fix)
            fix = fix.replace(word, value)
        site.paste(fix, stdin, edited)

    def provoke_standing(self, finding, provoke):
        site = OperatorSite(self)
        steps = provoke(site)
        who = next(steps)
        row = site.wait_told(who, finding, "raised", "replaced")
        options = next(steps)
        n_told = len(site.told(who))
        self.assert_pasted(site, row["fix"], **options)
        if options.get("over") == "gone":
            site.episode("proof")
            if "shipper" not in site.running or site.running["shipper"].popen.poll() is not None:
                site.begin("shipper")
            wait_until(lambda: "proof" in site.names("shipped"), "another one is shipped")
            again = [told for told in site.told(who)[n_told:] if told["finding"] == finding and told["change"] != "cleared"]
            self.assertEqual(again, [])
        else:
            site.wait_told(who, finding, "cleared")
        if "shipped" in options:
            self.wait_shipped(site, options["shipped"])

    def provoke_rejected(self, finding, provoke):
        site = OperatorSite(self)
        site.begin("receiver")
        site.begin("shipper")
        steps = provoke(site)
        name = next(steps)
        reason = site.reason(name)
        self.assertEqual(reason["finding"], finding)
        options = next(steps)
        self.assert_pasted(site, reason["fix"], **options)
        self.wait_shipped(site, options["shipped"])

    def provoke_mistake(self, finding, bad, good):
        site = OperatorSite(self)
        drop_in = site.folder / "pipelines" / "shipper.ini.d" / "mistake.ini"
        site.tune("shipper", bad, "mistake")
        if good is not None:
            site.editor(drop_in, good)
        self.check_and_mend(site, finding, good is not None and (lambda: drop_in.write_text(good)))

    def check_and_mend(self, site, finding, edit=None, pipeline="shipper"):
        said = iter(site.check(pipeline).stderr.split("\n"))
        self.assertTrue(any(line.endswith(f"[{finding}]") for line in said), site.check(pipeline).stderr)
        fix = "\n".join(line.strip() for line in itertools.takewhile(lambda line: line.startswith("    "), said))
        if edit and "${EDITOR" not in fix:
            edit()
        self.assert_pasted(site, fix)
        again = site.check(pipeline)
        self.assertEqual((again.returncode, again.stderr.count(finding)), (0, 0), again.stderr)

    def test_what_stands_is_over_after_its_fix(self):
        for finding, provoke in STANDING.items():
            with self.subTest(finding):
                self.provoke_standing(finding, provoke)
                self.end_all()

    def test_what_was_rejected_goes_out_after_its_fix(self):
        for finding, provoke in REJECTED.items():
            with self.subTest(finding):
                self.provoke_rejected(finding, provoke)
                self.end_all()

    def test_a_configuration_is_in_order_after_its_fix(self):
        for finding, (bad, good) in MISTAKES.items():
            with self.subTest(finding):
                self.provoke_mistake(finding, bad, good)

    def test_a_stage_that_nothing_reaches_is_taken_out(self):
        site = OperatorSite(self)
        site.environment["CIS490_PLUGIN_PATH"] += f":{os.environ['G_TEST_BUILDDIR']}/plugins"
        site.write_pipeline("idle", IDLE.replace("idle;", "idle;stamp;") + "[stamp]\nplugin=gate/stamp\n")
        site.editor(site.folder / "pipelines" / "idle.ini", IDLE)
        self.check_and_mend(site, UNREACHABLE, pipeline="idle")

    def test_drop_ins_find_their_pipeline(self):
        site = OperatorSite(self)
        pipelines = site.folder / "pipelines"
        (pipelines / "shipper.ini.d").rename(pipelines / "shiper.ini.d")
        self.check_and_mend(site, UNUSED)
        self.assertTrue((pipelines / "shipper.ini.d").is_dir())

    def test_files_are_in_order_after_their_fix(self):
        site = OperatorSite(self)
        site.become_nobody()
        token = site.folder / "token"
        for finding, (owner, mode) in FILES.items():
            with self.subTest(finding):
                os.chown(token, owner, owner)
                token.chmod(mode)
                self.check_and_mend(site, finding)

    def test_a_request_that_is_in_order_is_taken(self):
        site = OperatorSite(self)
        site.begin("receiver")

        def ask(method="PUT", path="/v1/episodes/lab-1/one", body=BODY, **changed):
            headers = {"Authorization": f"Bearer {site.token}", "X-Cis490-Code-Commit": site.head,
                       "X-Cis490-Sha256": hashlib.sha256(body).hexdigest(), **changed}
            connection = Connection(site.socket)
            self.addCleanup(connection.close)
            connection.request(method, path, body, {name: value for name, value in headers.items() if value is not None})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

        for finding, changed in REQUESTS.items():
            with self.subTest(finding):
                status, problem = ask(**changed)
                self.assertEqual((status, problem["type"]), (problem["status"], f"urn:cis490:finding:{finding}"))
        self.assertEqual(ask()[0], 201)

    def test_no_finding_is_left_out(self):
        """Each is provoked here, or in the test that is named."""
        here = {*STANDING, *REJECTED, *MISTAKES, UNREACHABLE, UNUSED, *FILES, *REQUESTS}
        used = load_code().places.keys()
        self.assertEqual(here & ELSEWHERE.keys(), set())
        self.assertEqual(used - here - ELSEWHERE.keys() - NOTES, set(), "nothing provokes these")
        self.assertEqual((here | ELSEWHERE.keys() | NOTES) - used, set(), "the program does not know these")
        for finding, test in ELSEWHERE.items():
            named = re.search(rf'[":]{finding}"', (TESTS / test).read_text())
            self.assertTrue(named, f"{test} does not name {finding}")

    def end_all(self):
        for process in self.processes:
            process.stop()


if __name__ == "__main__":
    scratch.main()
