# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each finding of the program that does not stand is provoked on a scratch site, its fix is pasted as it was printed, and it has to
be over then. Those that stand are of test_standing.py."""

import hashlib
import importlib.util
import itertools
import json
import os
import pathlib
import subprocess
import tempfile

import refused
import scratch
from operators import OperatorCase, OperatorSite
from relay import Relay
from scratch import wait_until
from standing import STANDING

TESTS = pathlib.Path(__file__).resolve().parent.parent

# All is well, so that there is nothing to fix.
NOTES = {"journal-available", "receiver-ok", "tokens-known", "window-available"}


def load_code():
    """What tests/check-findings.py finds in the code."""
    spec = importlib.util.spec_from_file_location("check_findings", TESTS / "check-findings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Code()


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


@rejected("commit-restamped")
def _(site):
    grants = site.folder / "grants"
    grants.write_text("")
    site.tune("receiver", f"[gate]\nrefuse-restamped=true\ngrants-file={grants}\n", "restamped")
    site.running["receiver"].reload()
    site.episode("one", version={"restamped": {"old": site.stale, "new": site.head}})
    yield "one"
    grants.write_text(f"meant {site.stale} {site.host_name} 2099-01-01\n")
    question = {"method": "POST", "body": b"", "Upload-Length": "9", "X-Cis490-Code-Restamped": site.stale}
    wait_until(lambda: refused.ask(site, path=f"/v1/episodes/{site.host_name}/another", **question)[0] == 200, "the grant counts")
    yield {"shipped": ["one"]}


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


def verified(site, archive):
    """An episode whose packed archive is another one when it goes out, to a receiver that looks into it."""
    site.tune("receiver", "[pipeline]\nstages=accept;bearer;known;gate;verify;store;index;rejections;log\n[verify]\nplugin=gate/verify\n",
              "verify")
    site.running["receiver"].stop()
    site.episode("one")
    packed = site.host / "outbox" / "one.json"
    wait_until(packed.exists, "it is packed")
    site.running["shipper"].stop()
    data = archive(site)
    (site.host / "outbox" / "one.tar.zst").write_bytes(data)
    packed.write_text(json.dumps({**json.loads(packed.read_text()), "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}))
    site.begin("receiver")
    site.begin("shipper")


@rejected("archive-malformed")
def _(site):
    verified(site, lambda site: b"this is no tar")
    yield "one"
    yield {"shipped": ["one"]}


@rejected("archive-mismatch")
def _(site):
    def pack(site):
        folder = site.folder / "older" / "one"
        folder.mkdir(parents=True)
        (folder / "meta.json").write_text(json.dumps({"code_version": {"commit": site.commits[-2]}}))
        return subprocess.run(["tar", "--zstd", "-C", folder.parent, "-c", "one"], check=True, capture_output=True).stdout

    verified(site, pack)
    yield "one"
    yield {"shipped": ["one"]}


# ---- what `check` says: a drop-in with the mistake, and what the person who is put before it makes of it

MISTAKES = {
    "config-unknown-key": ("[pack]\nlevle=3\n", None),
    "config-missing-key": ("[pipeline]\nstages=scan;stamp-check;pack;shp;retire;quarantine;log\n", None),
    "config-unknown-group": ("[pak]\nlevel=3\n", None),
    "config-bad-value": ("[pack]\nlevel=50\n", "[pack]\nlevel=5\n"),
    "config-unreadable": ("this is no ini\n", ""),
    "config-empty-value": ("[ship]\nhost=\n", None),
    "plugin-not-loaded": ("[pack]\nplugin=pack/tar-zst\n", ""),
    "stage-order": ("[pipeline]\nstages=scan;ship;pack;retire;quarantine;log\n", ""),
    "quarantine-missing": ("[pipeline]\nstages=scan;stamp-check;pack;ship;retire;log\n", ""),
    "group-unused": ("[spare]\nplugin=alert/jsonl\n", ""),
}

UNREACHABLE = "stage-unreachable"
UNUSED = "drop-ins-unused"
IDLE = "[pipeline]\nstages=idle;journal\n[idle]\nplugin=test/idle\n[journal]\nplugin=alert/journal\n"

CHANGED = "changed-while-packing"

# What `check` says of a token: whose it is, and its mode.
FILES = {"secret-exposed": (scratch.NOBODY, 0o644), "file-unreadable": (0, 0o600)}


class Findings(OperatorCase):

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

    def test_drop_ins_join_those_that_are_there(self):
        site = OperatorSite(self, tempfile.mkdtemp(prefix="cis490 it's "))
        pipelines = site.folder / "pipelines"
        (pipelines / "shiper.ini.d").mkdir()
        (pipelines / "shiper.ini.d" / "mine.ini").write_text("[pack]\nlevel=5\n")
        there = os.listdir(pipelines / "shipper.ini.d")
        self.check_and_mend(site, UNUSED)
        self.assertEqual(sorted(os.listdir(pipelines / "shipper.ini.d")), sorted(["mine.ini", *there]))

    def test_files_are_in_order_after_their_fix(self):
        site = OperatorSite(self)
        site.become_nobody()
        token = site.folder / "token"
        for finding, (owner, mode) in FILES.items():
            with self.subTest(finding):
                os.chown(token, owner, owner)
                token.chmod(mode)
                self.check_and_mend(site, finding)

    def refuse(self, site, finding, **changed):
        status, problem = refused.ask(site, **changed)
        self.assertEqual((status, problem["type"]), (problem["status"], f"urn:cis490:finding:{finding}"))
        return problem["remedy"]

    def test_a_request_that_is_in_order_is_taken(self):
        """What was wrong with one: the remedy is a whole one, to which the operator knows FILE, TOKEN-FILE and URL."""
        site = OperatorSite(self)
        site.begin("receiver")
        site.begin("shipper")
        file = site.folder / "archive"
        file.write_bytes(refused.BODY)
        for finding, changed in refused.MALFORMED.items():
            with self.subTest(finding):
                remedy = self.refuse(site, finding, **{"path": f"/v1/episodes/lab-1/{finding}", **changed})
                fill = {"TOKEN-FILE": str(site.folder / "token"), "FILE": str(file),
                        "URL": f"--silent --unix-socket {site.socket} http://receiver"}
                self.assert_pasted(site, remedy.replace("HOST/EPISODE", f"lab-1/{finding}")
                                   .replace("{repository}", str(site.folder / "repository")), fill=fill)
        self.assertEqual({row["episode"] for row in site.rows()}, refused.MALFORMED.keys())

    def test_a_request_with_the_right_credentials_is_taken(self):
        for finding, changed in refused.CREDENTIALS.items():
            with self.subTest(finding):
                site = OperatorSite(self)
                site.begin("receiver")
                remedy = self.refuse(site, finding, **changed)
                path = changed.get("path", "/v1/episodes/lab-1/one")
                refused.take_credentials(site, self.assert_pasted(site, remedy), path.split("/")[3])
                wait_until(lambda: refused.ask(site, path=path)[0] == 201, "the new token counts")
                self.end_all()

    def test_a_request_that_came_at_a_bad_time_is_taken_again(self):
        for finding, provoke in refused.TRANSIENT.items():
            with self.subTest(finding):
                site = OperatorSite(self)
                steps = provoke(site)
                problem = next(steps)[1]
                self.assertEqual(problem["type"], f"urn:cis490:finding:{finding}")
                next(steps, None)
                self.assert_pasted(site, problem["remedy"])
                wait_until(lambda: refused.ask(site)[0] in (200, 201), "the same request is taken")
                self.end_all()

    def test_what_changed_while_it_was_packed_is_packed_again(self):
        site = OperatorSite(self)
        site.tune("shipper", "[log]\nseverity=info\n[pack]\nlevel=19\n", "loud")
        site.begin("receiver")
        site.begin("shipper")
        data = site.episode("one", files={f"{number}.bin": os.urandom(1 << 17) for number in range(20)}) / "19.bin"
        wait_until((site.host / "outbox" / "one.tar.zst.partial").exists, "it is being packed")
        with open(data, "ab") as file:
            file.write(b"more")
        row = site.wait_told("shipper", CHANGED, "event")
        self.assert_pasted(site, row["fix"])
        self.wait_shipped(site, ["one"])

    def test_no_finding_is_left_out(self):
        """Each is provoked here."""
        here = {*STANDING, *REJECTED, *MISTAKES, UNREACHABLE, UNUSED, *FILES, *refused.MALFORMED, *refused.CREDENTIALS,
                *refused.TRANSIENT, CHANGED}
        used = load_code().places.keys()
        self.assertEqual(used - here - NOTES, set(), "nothing provokes these")
        self.assertEqual((here | NOTES) - used, set(), "the program does not know these")


if __name__ == "__main__":
    scratch.main()
