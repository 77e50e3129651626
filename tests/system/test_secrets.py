# SPDX-License-Identifier: LGPL-2.1-or-later
"""A token stands in its own file and on the wire, and nowhere else."""

import os
import pathlib
import resource

import scratch
from scratch import Site


class Secrets(scratch.TestCase):

    def setUp(self):
        super().setUp()
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        self.site = Site(self)
        self.site.environment["G_MESSAGES_DEBUG"] = "all"
        self.receiver = self.site.receiver()
        self.shipper = self.site.shipper()

    def assert_hidden(self, text, where):
        for token in (self.site.token, self.other):
            self.assertNotIn(token, text, f"a token stands in {where}")

    def test_a_token_stands_in_its_file_only(self):
        site = self.site
        self.other = "0123456789" * 4
        names = site.episodes(2)
        site.episode("unstamped", stamped=False)
        self.wait_shipped(site, names)
        site.write_secret("token", self.other)
        site.episode("refused")
        self.shipper.wait_to_say("receiver-refused-token")
        config = ("--config", str(site.folder / "cis490.ini"))
        # While there is a receiver, which refuses the token, too.
        for status, *arguments in ((0, "check", *config), (0, "graph", "shipper", *config), (1, "ping", *config),
                                   (0, "quarantine", "show", "unstamped", "--json"), (0, "inspect", "transport/http", "--json")):
            done = site.command(*arguments)
            self.assertEqual(done.returncode, status, done.stdout + done.stderr)
            self.assert_hidden(done.stdout + done.stderr, f"what {arguments[0]} prints")
        for process in (self.receiver, self.shipper):
            proc = pathlib.Path("/proc") / str(process.popen.pid)
            for name in ("cmdline", "environ"):
                self.assert_hidden((proc / name).read_text(errors="replace"), f"{name} of {process.name}")
            limit = next(line for line in (proc / "limits").read_text().splitlines() if "core file" in line)
            self.assertEqual(limit.split()[4:6], ["0", "0"])
            process.stop()
            self.assert_hidden(process.said + process.stdout, f"what {process.name} said")
        for folder in (site.host, site.receiver_state):
            for where, _, files in os.walk(folder):
                for name in files:
                    content = (pathlib.Path(where) / name).read_bytes().decode(errors="replace")
                    self.assert_hidden(content, os.path.join(where, name))


if __name__ == "__main__":
    scratch.main()
