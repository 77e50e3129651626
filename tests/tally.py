#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counts the cases in meson's testlog.json files and names those that failed; the last line is the tally.

A skipped case counts as failed: what a machine lacks, tools/prepare installs.
"""

import json
import re
import sys

CASE = re.compile(r"^(not )?ok\b[ 0-9]*-? *([^#\n]*)(#\s*(?:skip|todo)\b.*)?", re.IGNORECASE | re.MULTILINE)
UNITTEST = re.compile(r"^Ran (\d+) tests? in ", re.MULTILINE)
UNITTEST_BAD = re.compile(r"^(?:FAIL|ERROR): (.*)$", re.MULTILINE)
UNITTEST_EXCUSED = re.compile(r"^(?:OK|FAILED) \(.*\bskipped=(\d+)", re.MULTILINE)


def count(test):
    """(passed, names of what failed) of one test program, which speaks TAP, or is of Python's unittest, or says nothing."""
    passed, failed = 0, []
    if match := UNITTEST.search(test.get("stderr", "")):
        failed = [f"{test['name']} {name}" for name in UNITTEST_BAD.findall(test["stderr"])]
        excused = sum(map(int, UNITTEST_EXCUSED.findall(test["stderr"])))
        failed += [f"{test['name']} (skipped)"] * excused
        return max(int(match[1]) - len(failed), 0), failed
    for match in CASE.finditer(test.get("stdout", "")):
        bad, name, excuse = match.groups()
        if bad or excuse:
            failed.append(f"{test['name']} {name.strip()} {excuse or ''}".strip())
        else:
            passed += 1
    if test["result"] not in ("OK", "EXPECTEDFAIL") and not failed:
        failed.append(f"{test['name']} ({test['result'].lower()})")
    elif passed == 0 and not failed:
        # A test without cases: one that only says by its exit status how it fared.
        passed = 1
    return passed, failed


def main():
    passed, failed = 0, []
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as log:
            for line in log:
                good, bad = count(json.loads(line))
                passed += good
                failed += bad
    for name in failed:
        print(f"failed: {name}")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
