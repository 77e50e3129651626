#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a reader of the source may rely on. Prints each breach with file and line; TAP on stdout."""

import functools
import pathlib
import re
import subprocess
import sys

TREE = pathlib.Path(__file__).resolve().parent.parent
LONGEST = 500
LICENCE = "SPDX-License-Identifier: LGPL-2.1-or-later"
# cis_file_open() itself, and what gets its path.
OPENERS = {"core/cis-file-read.c", "core/cis-authorities.c"}
CODE = {".c", ".h", ".py", ".sh", ".bash"}
# Written so that this file passes its own check.
MARKERS = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")


def list_files():
    """What git tracks or would, or where there is no git, all that is not a build folder."""
    command = ["git", "-C", TREE, "-c", f"safe.directory={TREE}", "ls-files", "-z", "-co", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        paths = [TREE / name for name in listed.stdout.decode().split("\0") if name]
    else:
        paths = [p for p in TREE.rglob("*") if not re.match(r"build|\.git$", p.relative_to(TREE).parts[0])]
    return sorted(p for p in paths if p.is_file() and not p.is_symlink())


def read_texts():
    for path in list_files():
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def is_code(path, text):
    return path.suffix in CODE or text.startswith("#!")


def find(pattern, text):
    """The numbers of the lines in which the pattern occurs."""
    return [text.count("\n", 0, match.start()) + 1 for match in re.finditer(pattern, text)]


def check_length(path, text):
    lines = text.count("\n")
    if is_code(path, text) and lines > LONGEST and path.name != "cis490.h":
        yield lines, f"has {lines} lines; {LONGEST} is the longest that a file may be"


def check_licence(path, text):
    if is_code(path, text) and LICENCE not in "\n".join(text.split("\n", 3)[:3]):
        yield 1, f"needs “{LICENCE}” in its first lines"


def check_markers(path, text):
    for line in find(MARKERS, text) if is_code(path, text) or path.suffix in (".build", ".ini") else []:
        yield line, "has a marker of unfinished work; finish it, or open an issue"


def check_calls(path, text):
    if path.suffix not in (".c", ".h"):
        return
    for line in find(r"\bg_test_(skip|incomplete)\b", text):
        yield line, "skips a test; what a machine lacks, tools/prepare installs"
    for line in find(r"^\s*goto\b|\bgoto\s+\w+;", text):
        yield line, "jumps by goto; use an auto variable"
    for line in find(r"\b(system|sprintf|strcat) \(", text):
        yield line, "calls a shell, or what knows no bounds"
    if path.parts[len(TREE.parts)] in ("core", "cli", "plugins"):
        for line in find(r"[(,] (g_str_hash|g_string_hash|g_bytes_hash|g_int64_hash|g_double_hash)\b", text):
            yield line, "hashes without a key, so that whoever chooses the strings lets them collide; use cis_str_hash"
    if path.parts[len(TREE.parts)] == "plugins":
        for line in find(r"\b(g_error|g_assert\w*|exit|abort) \(", text):
            yield line, "ends the program; a plugin returns an error"


def check_opens(path, text):
    """Of a file that is there, cis_file_open() opens: it looks first. Others open folders, or make what was not there."""
    name = str(path.relative_to(TREE))
    if path.suffix != ".c" or not name.startswith(("core/", "cli/", "plugins/")) or name in OPENERS:
        return
    for match in re.finditer(r"(?<![\w>.])(?:open|openat|fopen|g_open|g_fopen|g_file_get_contents|g_mapped_file_new"
                             r"|g_tls_certificate_new_from_files?|g_tls_file_database_new) \(([^;]*);", text):
        if not re.search(r"O_DIRECTORY|OPEN_FOLDER|O_EXCL|O_NONBLOCK|O_PATH|flags", match[1]):
            yield text.count("\n", 0, match.start()) + 1, "opens a file that nobody looked at; use cis_file_open()"


def check_header(path, text):
    if path.suffix == ".h" and "#pragma once" not in text:
        yield 1, "needs #pragma once"


def check_executable(path, text):
    if text.startswith("#!") and not path.stat().st_mode & 0o100:
        yield 1, "begins with #! and is not executable"


def check_whitespace(path, text):
    if path.suffix in CODE | {".build", ".ini", ".service", ".in"}:
        for line in find(r"[ \t]+(?=\n)|\t(?=\S)", text):
            yield line, "has a tab, or blanks at the line's end"
    # A fuzzer's seed is whatever it is.
    if text and not text.endswith("\n") and "seeds" not in path.parts:
        yield text.count("\n") + 1, "does not end with a newline"


@functools.cache
def find_misformatted():
    """The first line of each file that clang-format would change: one process for all, as its start costs more than a file."""
    files = [path for path in list_files() if path.suffix in (".c", ".h")]
    told = subprocess.run(["clang-format-14", "--dry-run", "-Werror", *files], capture_output=True, text=True, check=False, cwd=TREE)
    found = {}
    for path, line in re.findall(r"^(\S.*?):(\d+):\d+: error: code should be clang-formatted", told.stderr, re.MULTILINE):
        found.setdefault(TREE / path, int(line))
    if told.returncode != 0 and not found:
        raise RuntimeError(told.stderr)
    return found


def check_format(path, text):
    if line := find_misformatted().get(path):
        yield line, "is not what “clang-format-14 -i” makes of it"


def check_translations(path, text):
    """That it has each message of the program. Not by POTFILES, which may lack a file."""
    if path.suffix != ".po":
        return
    missing = b""
    for command in (["xgettext", "--from-code=UTF-8", "--keyword=_", "--keyword=N_", "--keyword=ngettext:1,2",
                     "--output=-", *sorted((TREE / "cli").glob("*.[ch]"))],
                    ["msgmerge", "--quiet", "--no-fuzzy-matching", path, "-"],
                    ["msgattrib", "--untranslated", "--no-obsolete", "--no-location", "-"]):
        missing = subprocess.run(command, input=missing, capture_output=True, check=True).stdout
    for message in re.findall(r'^msgid (.+(?:\n".+)*)', missing.decode(), re.MULTILINE):
        if message != '""':  # the header
            yield 1, "does not translate " + message.replace("\n", "")


def check_tables(path, text):
    """A bar in a cell begins the next one, in code too, unless there is a backslash before it."""
    if path.suffix != ".md":
        return
    columns = 0
    for line, row in enumerate(text.split("\n"), 1):
        bars = len(re.findall(r"(?<!\\)\|", row)) if row.startswith("|") else 0
        if columns and bars and bars != columns:
            yield line, f"has {bars - 1} cells, and its table {columns - 1} columns"
        columns = bars and (columns or bars)


CHECKS = [check_length, check_licence, check_markers, check_calls, check_opens, check_header, check_executable, check_whitespace,
          check_format, check_tables, check_translations]


def main():
    texts = list(read_texts())
    status = 0
    print(f"1..{len(CHECKS)}")
    for number, check in enumerate(CHECKS, 1):
        breaches = [(path, *breach) for path, text in texts for breach in check(path, text)]
        for path, line, message in breaches:
            print(f"# {path.relative_to(TREE)}:{line}: {message}")
        name = check.__name__.removeprefix("check_")
        print(f"{'not ok' if breaches else 'ok'} {number} /source/{name}")
        status |= bool(breaches)
    return status


if __name__ == "__main__":
    sys.exit(main())
