# SPDX-License-Identifier: LGPL-2.1-or-later
"""A site with somebody who does what a finding says: pastes its fix, line by line."""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile

import scratch
from scratch import PATIENCE, PROGRAM, Site, wait_until

INI_LINE = re.compile(r"\[[\w-]+\]|[a-z][a-z-]*=\S*")
STAGES = "scan;stamp-check;pack;ship;retire;quarantine;log"


class OperatorSite(Site):
    """With the programs that fixes call. Those of the machine's manager are played, as there is none here."""

    def __init__(self, test, folder=None):
        super().__init__(test, folder=folder)
        # ${EDITOR:-vi} may be a program and its options, so there is no blank in its path.
        self.programs = pathlib.Path(tempfile.mkdtemp(prefix="cis490-programs-"))
        test.addCleanup(shutil.rmtree, self.programs)
        self.running = {}
        self.tune("shipper", f"[pipeline]\nstages={STAGES}\n[log]\nplugin=alert/jsonl\n", "log")
        # Four commits within a second: none of them stays for long.
        self.tune("shipper", "[ship]\nforecast-warning=0\n", "forecast")
        config = shlex.quote(str(self.folder / "cis490.ini"))
        self.program("cis490", f'export STATE_DIRECTORY={shlex.quote(str(self.host))}\n'
                     f'case "$1" in index) export STATE_DIRECTORY={shlex.quote(str(self.receiver_state))};; esac\n'
                     f'case "$1" in check|gate|graph|index|ping) exec {PROGRAM} "$@" --config {config};; esac\n'
                     f'exec {PROGRAM} "$@"')
        run = shlex.quote(str(self.folder / "run"))
        self.program("systemctl", f'case "$1" in reload|restart) kill -HUP "$(cat {run}/"${{2#cis490-}}".pid)";; esac')
        for name in ("journalctl", "ninja"):
            self.program(name, "exit 0")
        self.program("sudo", 'exec "$@"')
        # The checkout of a host's code is the receiver's repository here, and up to date.
        self.program("git", f'[ "$*" = "-C {self.folder / "repository"} pull --ff-only" ] && exit 0\nexec {subprocess.getoutput("command -v git")} "$@"')

    def program(self, name, text):
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def begin(self, name):
        state = self.host if name == "shipper" else self.receiver_state
        process = self.running[name] = self.start(name, state=state).wait_for_notice("READY=1")
        (self.folder / "run" / f"{name}.pid").write_text(str(process.popen.pid))
        return process

    def paste(self, fix, stdin, edited):
        """What a person does with a fix: lines of an ini go into `edited`, a drop-in, the others into a shell, one after the
        other. The editor is the program of that name, where a case made one. Returns what was printed."""
        ini = [line for line in fix.split("\n") if INI_LINE.fullmatch(line)]
        if edited:
            pipeline, name = edited.split("/")
            self.tune(pipeline, "\n".join(ini) + "\n", name)
        inherited = {key: value for key, value in self.environment.items() if key != "STATE_DIRECTORY"}
        environment = {**inherited, "EDITOR": str(self.programs / "editor"), "PATH": f"{self.programs}:{os.environ['PATH']}"}
        printed = ""
        checkout = self.folder / "repository" if (self.folder / "repository").exists() else self.folder
        for line in fix.split("\n"):
            if line not in ini and not line.startswith("#"):
                run = subprocess.run(["bash", "-c", line], cwd=checkout, input=stdin, capture_output=True, text=True,
                                     timeout=PATIENCE, env=environment)
                self.test.assertEqual(run.returncode, 0, f"{line}:\n{run.stdout}{run.stderr}")
                printed += run.stdout
                for name in re.findall(r"systemctl re(?:load|start) cis490-(\w+)", line):
                    self.running[name].wait_for_notice("READY=1")
        return printed

    def editor(self, file, text):
        """What the person writes who is put before `file`."""
        wanted = self.folder / "wanted"
        wanted.write_text(text)
        self.program("editor", f'for file; do :; done\n[ "$file" = {shlex.quote(str(file))} ] && cat {shlex.quote(str(wanted))} > "$file"')

    # ---- what is told

    def told(self, name):
        path = (self.host if name == "shipper" else self.receiver_state) / "findings.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def wait_told(self, name, finding, *changes):
        """The last such line, once there is one."""
        def find():
            return [row for row in self.told(name) if row["finding"] == finding and row["change"] in changes]

        return wait_until(find, f"{finding} is {changes[0]}")[-1]


class OperatorCase(scratch.TestCase):

    def assert_pasted(self, site, fix, stdin="", fill=(), edited="", **_):
        self.assertTrue(fix, "there is a fix")
        for word, value in dict(fill).items():
            self.assertIn(word, fix)
            fix = fix.replace(word, value)
        return site.paste(fix, stdin, edited)

    def end_all(self):
        for process in self.processes:
            process.stop()
