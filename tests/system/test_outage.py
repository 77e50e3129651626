# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whatever goes down comes up again, and nothing is lost, quarantined or stored twice because of it."""

import scratch
from relay import Relay
from scratch import Site, wait_until

BIG = 4_000_000


class Outage(scratch.TestCase):

    def test_the_receiver_is_down_and_comes_up(self):
        site = Site(self)
        names = site.episodes(20)
        shipper = site.shipper()
        shipper.wait_to_say("receiver-unreachable")
        self.assertEqual((site.names("episodes"), site.names("quarantine")), (names, []))
        site.receiver()
        self.wait_shipped(site, names)
        shipper.wait_to_say("over: No answer")
        self.assertEqual(shipper.said.count("error: receiver-unreachable"), 1)
        self.assert_arrived(site, names)

    def test_the_receiver_is_killed_in_mid_body(self):
        site = Site(self)
        site.episode("big", BIG)
        relay = Relay.between(self, site)
        relay.requests.allow(BIG // 2)
        receiver = site.receiver()
        site.shipper()
        wait_until(lambda: any(path.stat().st_size > 100_000 for path in site.partials()), "half of it is there")
        receiver.kill()
        relay.requests.open()
        self.assertEqual((site.rows(), site.archive("big").exists()), ([], False))
        site.receiver()
        self.wait_shipped(site, ["big"])
        self.assert_arrived(site, ["big"])
        self.assert_same_content(site, "big")

    def test_the_receiver_is_killed_again_and_again(self):
        site = Site(self)
        site.tune("shipper", "[pipeline]\nworkers=4\n", "workers")
        names = site.episodes(300, 20_000)
        shipper = site.shipper()
        for number in range(1, 5):
            receiver = site.receiver()
            wait_until(lambda: len(site.rows()) >= 40 * number, "some arrived")
            receiver.kill()
        site.receiver()
        self.wait_shipped(site, names)
        self.assertEqual(shipper.stop(), 0)
        self.assert_arrived(site, names)
        self.assertEqual(site.names("quarantine"), [])

    def test_the_shipper_is_killed_again_and_again(self):
        site = Site(self)
        names = site.episodes(200, 20_000)
        site.receiver()
        for number in range(1, 5):
            shipper = site.shipper()
            wait_until(lambda: len(site.names("shipped")) >= 30 * number, "some are home")
            shipper.kill()
        self.assertEqual(site.once().status, 0)
        self.assert_arrived(site, names)

    def test_an_acknowledgement_is_lost(self):
        site = Site(self)
        site.episode("one")
        relay = Relay.between(self, site)
        relay.answers.shut()
        site.receiver()
        site.shipper()
        wait_until(site.rows, "it is stored")
        self.assertEqual(site.names("shipped"), [])
        relay.cut()
        relay.answers.open()
        self.wait_shipped(site, ["one"])
        self.assertEqual(site.receipt("one")["status"], "duplicate")
        self.assert_arrived(site, ["one"])


class Credentials(scratch.TestCase):
    """The set-up is wrong, not the episodes."""

    def assert_waiting(self, site, shipper, finding, remedy):
        shipper.wait_to_say(finding)
        self.assertIn(remedy, shipper.said)
        self.assertEqual((site.names("episodes"), site.names("quarantine")), (["one"], []))

    def test_a_wrong_token_is_corrected_while_it_runs(self):
        site = Site(self)
        site.episode("one")
        site.receiver()
        site.write_secret("token", "0" * 64)
        shipper = site.shipper()
        self.assert_waiting(site, shipper, "receiver-refused-token", "cis490 token new lab-1")
        site.write_secret("token", site.token)
        self.wait_shipped(site, ["one"])
        shipper.wait_to_say("receiver-refused-token: over")
        self.assert_arrived(site, ["one"])

    def test_a_token_that_belongs_to_another_host(self):
        site = Site(self)
        site.episode("one")
        site.receiver()
        site.write_secret("token", site.add_token("lab-2"))
        shipper = site.shipper()
        self.assert_waiting(site, shipper, "receiver-refused-host", "host-id=")
        site.write_secret("token", site.add_token("lab-1"))
        self.wait_shipped(site, ["one"])
        self.assert_arrived(site, ["one"])

    def test_ping_says_what_a_ship_would_meet(self):
        site = Site(self)

        def ping(status):
            run = site.command("ping", "--config", str(site.folder / "cis490.ini"))
            self.assertEqual(run.returncode, status)
            return run.stdout + run.stderr

        self.assertEqual(ping(1).count("No answer from"), 1)
        others = site.add_token("lab-2")
        site.receiver()
        self.assertEqual(len(ping(0).splitlines()), 1)
        site.write_secret("token", "wrong")
        self.assertIn("cis490 token new", ping(1))
        site.write_secret("token", others)
        self.assertIn("as host lab-1: they belong to the host lab-2", ping(1))


class Cut(scratch.TestCase):
    """What is cut in the middle of an upload."""

    def setUp(self):
        super().setUp()
        self.site = Site(self)
        self.site.episode("big", BIG)
        self.relay = Relay.between(self, self.site)
        self.relay.requests.allow(BIG // 2)
        # Neither gives the other up while a test lasts.
        self.site.tune("shipper", "[ship]\ntimeout=1h\n", "patient")
        self.site.tune("receiver", "[accept]\nrate-period=1h\n", "patient")
        self.receiver = self.site.receiver()
        self.shipper = self.site.shipper()
        wait_until(self.site.partials, "the upload began")

    def test_the_shipper_is_asked_to_stop(self):
        self.assertEqual(self.shipper.stop(), 0)
        self.assertEqual((self.site.names("episodes"), self.site.names("quarantine")), (["big"], []))
        self.assertIn("big.tar.zst", self.site.names("outbox"))
        self.relay.requests.open()
        run = self.site.once()
        self.assertEqual(run.status, 0)
        self.assert_arrived(self.site, ["big"])

    def test_the_receiver_is_asked_to_stop(self):
        self.assertEqual(self.receiver.stop(), 0)
        self.relay.requests.open()
        self.site.receiver()
        self.wait_shipped(self.site, ["big"])
        self.assert_arrived(self.site, ["big"])

    def test_the_network_is_gone_for_a_while(self):
        self.relay.cut()
        self.relay.requests.open()
        self.wait_shipped(self.site, ["big"])
        self.assert_arrived(self.site, ["big"])
        self.assertEqual(self.site.names("quarantine"), [])


if __name__ == "__main__":
    scratch.main()
