# SPDX-License-Identifier: LGPL-2.1-or-later
"""After a long outage a host drains by itself."""

import time

import scratch
from scratch import Site


class Backlog(scratch.TestCase):

    def test_ten_thousand_wait_after_an_outage(self):
        site = Site(self)
        site.tune("shipper", "[pipeline]\nworkers=4\n", "workers")
        names = site.episodes(10_000, 100)
        shipper = site.shipper()
        shipper.wait_to_say("receiver-unreachable")
        site.receiver()
        began = time.monotonic()
        self.wait_shipped(site, names)
        print(f"10,000 in {time.monotonic() - began:.1f} s", end=" ", flush=True)
        self.assertEqual(shipper.stop(), 0)
        self.assert_arrived(site, names)


if __name__ == "__main__":
    scratch.main()
