#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/findings.md has every finding of the program, with its severity and HTTP status, and no other. TAP on stdout."""

import pathlib
import re
import sys

TREE = pathlib.Path(__file__).resolve().parent.parent
PAGE = TREE / "docs" / "findings.md"
STATUSES = TREE / "plugins" / "transport" / "accept" / "answer.c"
# What they make comes from elsewhere: from an answer, and from a script that plays one.
FOREIGN = {"core/cis-finding.c", "plugins/transport/mock.c"}
ID = r"[a-z0-9]+(?:-[a-z0-9]+)*"
SEVERITY = re.compile(r"CIS_SEVERITY_([A-Z]+)")


def split_arguments(text, start):
    """The arguments of the call whose "(" is at `start`: strings and nested parentheses kept whole."""
    arguments, depth, begin, in_string = [], 0, start + 1, False
    for at in range(start, len(text)):
        letter = text[at]
        if in_string:
            in_string = letter != '"' or text[at - 1] == "\\"
        elif letter == '"':
            in_string = True
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
            if depth == 0:
                return [*arguments, text[begin:at].strip()]
        elif letter == "," and depth == 1:
            arguments.append(text[begin:at].strip())
            begin = at + 1
    return arguments


def find_calls(text, function):
    """(where, arguments) of each call; a definition begins its line."""
    for match in re.finditer(rf"(?<=[\s(=*!]){function} (?=\()", text):
        if text[match.start() - 1] != "\n":
            yield match.start(), split_arguments(text, match.end())


def find_enclosing(text, at):
    """Name and parameters of the function that the place is in."""
    *_, head = re.finditer(r"^(\w+) (?=\()", text[:at], re.M)
    return head[1], split_arguments(text, head.end())


class Code:
    """id → the places that use it, and the severities that they give it."""

    def __init__(self):
        self.places, self.severities, self.unclear, self.texts = {}, {}, [], {}
        for folder in ("core", "cli", "plugins"):
            for path in sorted((TREE / folder).rglob("*.c")):
                self.name = str(path.relative_to(TREE))
                if self.name not in FOREIGN:
                    self.texts[self.name] = path.read_text(encoding="utf-8")
        for self.name, text in self.texts.items():
            self.read(text)

    def read(self, text):
        for at, arguments in find_calls(text, "cis_finding_new"):
            self.take(text, at, arguments[0], set(SEVERITY.findall(arguments[1])))

    def take(self, text, at, expression, severities):
        place = f"{self.name}:{text.count(chr(10), 0, at) + 1}"
        if found := re.findall(rf'"({ID})"', expression):
            for name in found:
                self.places.setdefault(name, place)
                self.severities.setdefault(name, set()).update(word.lower() for word in severities)
        elif macro := re.search(rf'#define {expression} "({ID})"', text):
            self.take(text, at, f'"{macro[1]}"', severities)
        else:
            self.follow(text, at, expression, severities, place)

    def follow(self, text, at, expression, severities, place):
        """The function that is given the id, and who calls it."""
        function, parameters = find_enclosing(text, at)
        numbers = [number for number, parameter in enumerate(parameters) if re.search(rf"\W{expression}$", parameter)]
        if not re.fullmatch(r"\w+", expression) or not numbers:
            self.unclear.append(f"{place}: the id is not to be seen: {expression}")
            return
        # A function with our prefix may be called from other files.
        callers = self.texts if function.startswith("cis_") else {self.name: text}
        for self.name, text in callers.items():
            for caller, arguments in find_calls(text, function):
                self.take(text, caller, arguments[numbers[0]], severities)


def read_page():
    """id → (severity, status): of a heading "### `id` · error · 412", or a row "| `id` | error | 412 |"."""
    entries, twice = {}, []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if not (match := re.match(rf"(?:### |\| )`({ID})`(.*)", line)):
            continue
        words = re.split(r"[·|]", match[2]) + ["", ""]
        status = re.match(r"\s*(\d{3})\b", words[2])
        twice += [match[1]] if match[1] in entries else []
        entries[match[1]] = (words[1].strip(), status and int(status[1]))
    return entries, twice


def check_listed(code, page):
    for name in sorted(code.places.keys() - page.keys()):
        yield f"{code.places[name]}: docs/findings.md has no “{name}”"


def check_used(code, page):
    for name in sorted(page.keys() - code.places.keys()):
        yield f"docs/findings.md: nothing uses “{name}”"


def check_severities(code, page):
    """Where the severity is a variable, any will do."""
    for name, (severity, _) in page.items():
        used = code.severities.get(name) or {"info", "warning", "error"}
        if severity not in used:
            yield f"docs/findings.md: “{name}” is {' or '.join(sorted(used))}, not “{severity}”"


def check_statuses(code, page):
    table = {name: int(status) for name, status in re.findall(rf'{{ "({ID})", (\d+) }}', STATUSES.read_text())}
    for name, status in table.items():
        if name not in code.places:
            yield f"plugins/transport/accept/answer.c: has a status for “{name}”, which nothing uses"
        elif page.get(name, (None, None))[1] != status:
            yield f"docs/findings.md: “{name}” is answered with {status}"


def main():
    code = Code()
    page, twice = read_page()
    results = {
        "clear": code.unclear,
        "once": [f"docs/findings.md: “{name}” is there twice" for name in twice],
        "listed": list(check_listed(code, page)),
        "used": list(check_used(code, page)),
        "severities": list(check_severities(code, page)),
        "statuses": list(check_statuses(code, page)),
    }
    print(f"1..{len(results)}")
    for number, (name, breaches) in enumerate(results.items(), 1):
        for breach in breaches:
            print(f"# {breach}")
        print(f"{'not ok' if breaches else 'ok'} {number} /findings/{name}")
    return int(any(results.values()))


if __name__ == "__main__":
    sys.exit(main())
