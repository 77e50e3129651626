# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the build folder installs works from its prefix, and a third party's plugin builds against it.

The prefix gets it in the mount namespace of the test only: there, what was installed lies over it.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import seclusion

SOURCE = pathlib.Path(os.environ["G_TEST_SRCDIR"]).parent
BUILD = pathlib.Path(os.environ["G_TEST_BUILDDIR"]).parent
EXAMPLE = SOURCE / "docs" / "examples" / "alert-say"


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          stdin=subprocess.DEVNULL, **options)
    if done.returncode != options.get("status", 0):
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="cis490-install-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        options = {option["name"]: option["value"]
                   for option in json.loads((BUILD / "meson-info" / "intro-buildoptions.json").read_text())}
        cls.prefix = pathlib.Path(options["prefix"])
        # Nothing of the build folder under test may leak in.
        cls.environment = {key: value for key, value in os.environ.items()
                           if not key.startswith("CIS490_") and key != "LD_LIBRARY_PATH"}
        staged = cls.folder / "staged"
        run("/usr/bin/meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", staged, env=cls.environment)
        cls.lay(staged, cls.prefix)
        configuration = cls.prefix / options["sysconfdir"]
        if not configuration.is_relative_to(cls.prefix):
            cls.lay(staged, configuration)
        cls.program = cls.prefix / "bin" / "cis490"

    @classmethod
    def lay(cls, staged, over):
        over.mkdir(parents=True, exist_ok=True)
        work = tempfile.mkdtemp(dir=cls.folder, prefix="work-")
        run("mount", "-t", "overlay", "-o", f"lowerdir={over},upperdir={staged}{over},workdir={work}", "overlay", over)
        cls.addClassCleanup(run, "umount", "--lazy", over)

    def cis490(self, *arguments, status=0):
        done = subprocess.run([self.program, *arguments], env={**self.environment, "STATE_DIRECTORY": str(self.folder / "state")},
                              capture_output=True, text=True, timeout=60, cwd=self.folder)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout

    def test_works_from_its_prefix(self):
        plugins = json.loads(self.cis490("inspect", "--json"))
        self.assertGreaterEqual(len(plugins), 17)
        for plugin in plugins:
            self.assertTrue(plugin["file"].startswith(str(self.prefix)), plugin["file"])
        self.assertIn("dev: ok", self.cis490("check", "dev"))

    def test_manual(self):
        self.assertTrue((self.prefix / "share" / "man" / "man1" / "cis490.1").exists())

    def test_a_reload_looks_first(self):
        """systemctl ends with what the first command of ExecReload= that fails ends with."""
        for name in ("shipper", "receiver"):
            unit, = self.prefix.glob(f"lib*/systemd/system/cis490-{name}.service")
            look, hang_up = re.findall(r"^ExecReload=(.*)$", unit.read_text(), re.MULTILINE)
            self.assertEqual(look, f"{self.program} check {name}")
            self.assertTrue(hang_up.endswith("kill -HUP $MAINPID"))

    def test_completion(self):
        completion = self.prefix / "share" / "bash-completion" / "completions" / "cis490"

        def complete(*words):
            script = f'. {completion}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _cis490; echo "${{COMPREPLY[@]}}"'
            path = f"{self.program.parent}:{os.environ['PATH']}"
            return run("bash", "-euc", script, "bash", *words, env={**self.environment, "PATH": path}).split()

        self.assertEqual(complete("cis490", ""), ["run", "check", "inspect", "graph", "ping", "index", "quarantine", "gate",
                                                  "stamp", "token", "--help", "--version"])
        self.assertEqual(complete("cis490", "run", "s"), ["shipper"])
        self.assertEqual(complete("cis490", "run", "--o"), ["--once"])

    def test_third_party_plugin(self):
        text = (SOURCE / "docs" / "writing-a-plugin.md").read_text()
        for file in EXAMPLE.iterdir():
            self.assertIn(file.read_text(), text, f"docs/writing-a-plugin.md does not show {file.name} as it is")

        self.environment["PKG_CONFIG_PATH"] = str(next(self.prefix.glob("lib*/**/cis490-1.pc")).parent)
        build = self.folder / "example"
        run("/usr/bin/meson", "setup", "--prefix", self.prefix, "--buildtype", "plain", build, EXAMPLE, env=self.environment)
        run("ninja", "-C", build, "install", env=self.environment)
        self.assertIn("alert/say", self.cis490("inspect"))

        told = self.folder / "told"
        episode = self.folder / "state" / "episodes" / "unstamped"
        episode.mkdir(parents=True)
        (episode / "meta.json").write_text("{}")
        (self.folder / "pipelines").mkdir()
        (self.folder / "cis490.ini").write_text("[site]\n")
        (self.folder / "pipelines" / "say.ini").write_text(f"""[pipeline]
stages=scan;stamp-check;quarantine;say

[scan]
plugin=scan/episodes
quiet=100ms

[stamp-check]
plugin=gate/stamp

[quarantine]
plugin=store/quarantine

[say]
plugin=alert/say
command=sh;-c;echo "$0" >>{told}
""")
        self.cis490("run", "say", "--once", "--config", "cis490.ini", status=65)
        self.assertIn("unstamped", told.read_text())


if __name__ == "__main__":
    seclusion.enter()
    unittest.main(verbosity=2)
