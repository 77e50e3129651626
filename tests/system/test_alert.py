# SPDX-License-Identifier: LGPL-2.1-or-later
"""Alerts come after everything else: a slow or dead one changes nothing."""

import json
import os
import pathlib
import signal

import scratch
from scratch import Site

PLUGINS = pathlib.Path(os.environ["G_TEST_BUILDDIR"]) / "system" / "plugins"
STAGES = "stages=scan;stamp-check;pack;ship;retire;quarantine"


class Alert(scratch.TestCase):

    def hanging(self):
        """A shipper whose alert hangs over the first episode of all."""
        site = Site(self)
        site.environment["CIS490_PLUGIN_PATH"] += f":{PLUGINS}"
        site.tune("shipper", f"[pipeline]\n{STAGES};mail\nafterwards-queue=5\nafterwards-timeout=200ms\n\n[mail]\nplugin=alert/hang\n", "mail")
        for number in range(30):
            site.episode(f"unstamped-{number}", stamped=False)
        return site

    def test_a_dead_alert_holds_up_nothing(self):
        site = self.hanging()
        site.receiver()
        shipper = site.shipper()
        shipper.wait_to_say("hanging over unstamped")
        names = site.episodes(20)
        self.wait_shipped(site, names)
        shipper.wait_to_say("alerts are too slow")
        self.assertEqual(len(site.names("quarantine")), 30)
        self.assert_arrived(site, names)
        self.assertEqual(shipper.stop(), 0)

    def test_once_ends_all_the_same(self):
        site = self.hanging()
        self.assertEqual(site.once().status, 65)

    def test_a_second_signal_ends_at_once(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                shipper = self.hanging().shipper()
                shipper.wait_to_say("hanging over unstamped")
                shipper.send(signal.SIGTERM)
                shipper.wait_to_say("once more ends it at once")
                shipper.send(number)
                self.assertEqual(shipper.wait(), -number)

    def test_a_reload_is_not_held_up_for_good(self):
        site = self.hanging()
        site.receiver()
        shipper = site.shipper()
        shipper.wait_to_say("hanging over unstamped")
        (site.folder / "pipelines" / "shipper.ini.d" / "mail.ini").unlink()
        shipper.reload()
        names = site.episodes(5, prefix="later")
        self.wait_shipped(site, names)

    def test_findings_end_in_the_file(self):
        site = Site(self)
        site.tune("shipper", f"[pipeline]\n{STAGES};log\n\n[log]\nplugin=alert/jsonl\n", "log")
        site.episode("unstamped", stamped=False)
        site.episode("good")
        shipper = site.shipper()
        shipper.wait_to_say("receiver-unreachable")
        site.receiver()
        self.wait_shipped(site, ["good"])
        shipper.wait_to_say("receiver-unreachable: over")
        self.assertEqual(shipper.stop(), 0)
        told = [json.loads(line) for line in (site.host / "findings.jsonl").read_text().splitlines()]
        self.assertEqual(sorted(row["finding"] for row in told),
                         ["receiver-unreachable", "receiver-unreachable", "unstamped"])


if __name__ == "__main__":
    scratch.main()
