#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""reach.py BUILD [COMMIT]: names the tests that a change since COMMIT can reach, one a line.

COMMIT is where the branch left its upstream, or HEAD. What a test program is built from, ninja knows; which plugins it loads,
its text and its helpers' say. A whole process loads any plugin, so of the system tests only those whose own files changed are
named, and where code changed the others are left to a whole run.
"""

import collections
import json
import os
import pathlib
import re
import subprocess
import sys

TREE = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^#include "([\w/.-]+)"', re.MULTILINE)
IMPORT = re.compile(r"^(?:from|import) (\w+)", re.MULTILINE)
PLUGIN = re.compile(r"\b[a-z]+/[a-z-]+\b")
# What any change may break, and what takes no time.
ALWAYS = {"source", "findings", "options"}


def ask(*command):
    return subprocess.run(command, cwd=TREE, check=True, capture_output=True, text=True).stdout


def list_changes(commit):
    """Paths relative to the tree."""
    if commit is None:
        upstream = subprocess.run(["git", "merge-base", "HEAD", "@{upstream}"], cwd=TREE, check=False, capture_output=True, text=True)
        commit = upstream.stdout.strip() or "HEAD"
    return {*ask("git", "diff", "--name-only", commit).split("\n"),
            *ask("git", "ls-files", "--others", "--exclude-standard").split("\n")} - {""}


class Sources:
    """What the build's files are made from."""

    def __init__(self, build):
        self.build = build
        self.inputs = collections.defaultdict(set)
        targets = [line.split(":")[0] for line in self._ask("targets", "all")]
        self._read(self._ask("query", *targets), "  input:", "  outputs:")
        self._read(self._ask("deps"), None, None)

    def _ask(self, *tool):
        return ask("ninja", "-C", str(self.build), "-t", *tool).rstrip("\n").split("\n")

    def _read(self, lines, begin, end):
        """Blocks of a target's line and, indented below it, between those two lines, what it is made from."""
        target, inside = None, False
        for line in lines:
            if line and line[0] != " ":
                target, inside = line.split(":")[0], begin is None
            elif begin and line.startswith((begin, end)):
                inside = line.startswith(begin)
            elif inside and line:
                self.inputs[target].add(line.split()[-1])

    def of(self, target):
        """The files of the tree that `target` is built from, relative to it."""
        found, left = {target}, [target]
        while left:
            new = self.inputs.get(left.pop(), set()) - found
            found |= new
            left += new
        paths = (os.path.relpath(os.path.join(self.build, path), TREE) for path in found if not path.startswith("/"))
        return {path for path in paths if not path.startswith("../")}


def with_helpers(path, pattern, suffix):
    """The file, and those beside it that it includes or imports."""
    found, left = set(), [path]
    while left:
        path = left.pop()
        if path in found or not path.exists():
            continue
        found.add(path)
        for name in pattern.findall(path.read_text(encoding="utf-8")):
            left.append(path.parent / f"{name}{suffix}")
            left.append((path.parent / name).with_suffix(".c"))
    return found


def reach_program(program, sources, plugins, changed):
    """Whether the change is in a test program, or in a plugin that it loads."""
    if sources.of(program) & changed:
        return True
    own = with_helpers(TREE / "tests" / f"{program.split('/')[-1]}.c", INCLUDE, "")
    text = "\n".join(path.read_text(encoding="utf-8") for path in own)
    whole = "CIS490_PROGRAM" in text or "CIS490_PIPELINE_PATH" in text
    loaded = plugins.keys() if whole else plugins.keys() & set(PLUGIN.findall(text))
    return any(plugins[name] & changed for name in loaded)


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    changed = list_changes(sys.argv[2] if len(sys.argv) > 2 else None)
    sources = Sources(build)
    modules = [target["filename"][0] for target in json.loads(ask("meson", "introspect", "--targets", str(build)))
               if target["type"] == "shared module" and target["installed"]]
    plugins = {"/".join(pathlib.Path(module).with_suffix("").parts[-2:]): sources.of(str(pathlib.Path(module).relative_to(build)))
               for module in modules}
    set_up = any(path.endswith("meson.build") for path in changed)
    code = set_up or any(path.endswith((".c", ".h", ".ini")) and not path.startswith("tests/") for path in changed)
    names, left = set(ALWAYS), []
    for test in json.loads(ask("meson", "introspect", "--tests", str(build))):
        name, program = test["name"], test["cmd"][0]
        suite = test["suite"][0].split(":")[-1]
        if suite == "attacks":
            continue
        if suite == "system":
            scripts = {str(path.relative_to(TREE)) for path in with_helpers(pathlib.Path(test["cmd"][-1]).resolve(), IMPORT, ".py")}
            if scripts & changed:
                names.add(name)
            elif code:
                left.append(name)
        elif pathlib.Path(program).is_relative_to(build):
            seeds = f"tests/fuzz/seeds/{name.removeprefix('fuzz-')}/"
            if set_up or any(path.startswith(seeds) for path in changed) or reach_program(
                    str(pathlib.Path(program).relative_to(build)), sources, plugins, changed):
                names.add(name)
        elif any(path.endswith(".po") for path in changed):
            names.add(name)
    print("\n".join(sorted(names)))
    if left:
        print(f"{len(left)} system tests are left to a whole run: {' '.join(left)}", file=sys.stderr)


if __name__ == "__main__":
    main()
