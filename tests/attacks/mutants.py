# SPDX-License-Identifier: LGPL-2.1-or-later
"""The tests themselves: builds of a copy of the tree from which one flush, one check, one comparison is missing each.

Every one must be caught by the tests that are named for it. A text that is not there any more, or there twice, is
an error: then the mutant has to follow the code.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXTS = pathlib.Path(__file__).with_suffix(".txt")


def read_mutants():
    """(what is missing, file, what must notice, text, what stands there instead) of each block."""
    text = "".join(line for line in TEXTS.read_text(encoding="utf-8").splitlines(keepends=True) if line[0] != "#")
    for block in text.strip().split("\n\n"):
        what, file, checks, *lines = block.split("\n")
        before, after = ("\n".join(line[1:] for line in lines if line[0] == sign) for sign in "-+")
        yield what, file.strip(), checks.split(), before, after


class Copy:
    """Of the tree, and its build folder."""

    def __init__(self, folder):
        self.tree = pathlib.Path(folder) / "tree"
        self.build = pathlib.Path(folder) / "build"
        shutil.copytree(ROOT, self.tree, symlinks=True, ignore=shutil.ignore_patterns(".git", "build*", "__pycache__"))
        self.run(["/usr/bin/meson", "setup", self.build, self.tree, "-Dbuildtype=debug"])
        self.run(["ninja", "-C", self.build])
        self.environment = {
            **os.environ, "CIS490_PROGRAM": str(self.build / "cli" / "cis490"),
                            "CIS490_PLUGIN_PATH": str(self.build / "plugins"),
            "CIS490_PIPELINE_PATH": str(self.tree / "pipelines"), "G_TEST_SRCDIR": str(self.tree / "tests"),
            "G_TEST_BUILDDIR": str(self.build / "tests"), "PYTHONDONTWRITEBYTECODE": "1"}

    @staticmethod
    def run(command):
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{command} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")

    def passes(self, check):
        """Whether one test or attack finds nothing."""
        name = check.removeprefix("attack/")
        command = [self.tree / "tests" / "attacks" / "run", "--seed", "1",
                   name] if name != check else [self.build / "tests" / f"test-{name}"]
        try:
            return subprocess.run(command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  timeout=300,
                                  stderr=subprocess.DEVNULL, check=False, cwd=self.tree).returncode == 0
        except subprocess.TimeoutExpired:
            return False


def mutate(tally, copy, mutant):
    what, file, checks, text, instead = mutant
    path = copy.tree / file
    before = path.read_text(encoding="utf-8")
    tally.attempt()
    if before.count(text) != 1:
        tally.violation(what, f"{file} has this {before.count(text)} times: {text}")
        return
    path.write_text(before.replace(text, instead), encoding="utf-8")
    try:
        copy.run(["ninja", "-C", copy.build])
        caught = next((check for check in checks if not copy.passes(check)), None)
        print(f"  {what}: {'caught by ' + caught if caught else 'NOT caught'}", flush=True)
        if caught is None:
            tally.violation(what, f"nobody notices; {file} without {text!r} passes {checks}")
    finally:
        path.write_text(before, encoding="utf-8")


def attack(tally):
    with tempfile.TemporaryDirectory(prefix="cis490-mutants-") as folder:
        copy = Copy(folder)
        mutants = list(read_mutants())
        checks = {check for mutant in mutants for check in mutant[2]}
        # What fails on the tree as it is proves nothing about a mutant.
        broken = sorted(check for check in checks if not copy.passes(check))
        tally.violations_of("without any mutant", (f"{check} fails" for check in broken))
        for mutant in mutants:
            mutate(tally, copy, mutant)
