# SPDX-License-Identifier: LGPL-2.1-or-later
"""SIGHUP: a new configuration while episodes travel."""

import threading
import time

import scratch
from operators import OperatorSite
from scratch import Connection, Site, wait_until


class Caller(threading.Thread):
    """Connects again and again, and notes whom nobody answered."""

    def __init__(self, test, site):
        super().__init__(daemon=True)
        self.site = site
        self.ended = threading.Event()
        self.answers, self.failures = [], []
        test.addCleanup(self.end)
        self.start()

    def run(self):
        while not self.ended.wait(0.002):
            connection = Connection(self.site.socket)
            began = time.monotonic()
            try:
                connection.request("POST", "/v1/ping", body=b"", headers={"Authorization": f"Bearer {self.site.token}"})
                self.answers.append(connection.getresponse().status)
            except OSError as error:
                # The old pipeline waits a quarter of a second (LINGER) for a head, which a busy machine can miss.
                if isinstance(error, ConnectionRefusedError) or time.monotonic() - began < 0.2:
                    self.failures.append(error)
            finally:
                connection.close()

    def end(self):
        self.ended.set()
        self.join()


class Reload(scratch.TestCase):

    def test_both_reload_under_load(self):
        site = Site(self)
        names = site.episodes(200, 50_000)
        receiver = site.receiver()
        caller = Caller(self, site)
        shipper = site.shipper()
        for round in range(1, 6):
            wait_until(lambda: len(site.rows()) >= 25 * round, "some arrived")
            site.tune("shipper", f"[pipeline]\nworkers={round + 1}\n", "workers")
            site.tune("receiver", f"[pipeline]\nworkers={16 * round}\n", "workers")
            receiver.reload()
            shipper.reload()
        self.wait_shipped(site, names)
        caller.end()
        self.assertEqual((shipper.stop(), receiver.stop()), (0, 0))
        self.assert_arrived(site, names)
        self.assertEqual(site.names("quarantine"), [])
        self.assertEqual(receiver.said.count("runs with its new configuration"), 5)
        self.assertEqual([error for error in caller.failures if isinstance(error, ConnectionRefusedError)], [])
        self.assertLessEqual(set(caller.answers), {200, 503})
        self.assertGreater(caller.answers.count(200), 10)

    def test_nobody_is_ever_refused_a_connection(self):
        site = Site(self)
        receiver = site.receiver()
        inode = site.socket.stat().st_ino
        caller = Caller(self, site)
        for _ in range(10):
            receiver.reload()
        caller.end()
        self.assertEqual(site.socket.stat().st_ino, inode)
        self.assertEqual(caller.failures, [])

    def test_a_reload_right_after_the_start(self):
        site = Site(self)
        for _ in range(8):
            receiver = site.receiver().reload()
            self.assertEqual(receiver.stop(), 0)

    def test_a_broken_ini_changes_nothing(self):
        site = Site(self)
        receiver, shipper = site.receiver(), site.shipper()
        site.tune("shipper", "[scan]\nquite=1s\n", "broken")
        site.tune("receiver", "[accept]\nmax-body=lots\n", "broken")
        for process, words in ((shipper, ("broken.ini:2", "“quiet”", "[config-unknown-key]", "sed -i")), (receiver, ("broken.ini:2", "max-body"))):
            process.reload()
            for word in (*words, "the old configuration stays in use"):
                process.wait_to_say(word)
        site.episode("one")
        self.wait_shipped(site, ["one"])
        self.assert_arrived(site, ["one"])

    def test_one_that_does_not_open_changes_nothing(self):
        site = Site(self)
        shipper = site.shipper()
        (site.folder / "a-file").touch()
        stages = ("scan", "pack", "ship", "retire", "quarantine")
        site.tune("shipper", "".join(f"[{name}]\nstate={site.folder}/a-file\n" for name in stages), "broken")
        shipper.reload()
        shipper.wait_to_say("goes on with its old configuration")
        site.receiver()
        site.episode("one")
        self.wait_shipped(site, ["one"])

    def test_a_receiver_that_does_not_open_listens_where_it_did(self):
        site = Site(self)
        receiver = site.receiver()
        other = site.folder / "other.sock"
        (site.folder / "a-file").touch()
        stages = ("known", "store", "index", "rejections")
        site.tune("receiver", f"[accept]\nlisten=unix:{other}\n"
                  + "".join(f"[{name}]\ndirectory={site.folder}/a-file\n" for name in stages), "broken")
        receiver.reload()
        receiver.wait_to_say("goes on with its old configuration")
        wait_until(lambda: not other.exists(), "nobody is led to where nobody answers")
        site.shipper()
        site.episode("one")
        self.wait_shipped(site, ["one"])

    def test_the_hold_survives_a_configuration_without_its_stage_that_did_not_open(self):
        site = Site(self)
        site.episode("one")
        shipper = site.shipper()
        shipper.wait_to_say("receiver-unreachable")
        (site.folder / "a-file").touch()
        stages = ("scan", "pack", "send", "retire", "quarantine")
        texts = [f"[pipeline]\nstages={';'.join(stages)}\n", *(f"[{name}]\nstate={site.folder}/a-file\n" for name in stages)]
        site.tune("shipper", "".join(texts).replace("[send]\n", "[send]\nplugin=transport/http\n"), "broken")
        shipper.reload()
        shipper.wait_to_say("goes on with its old configuration")
        site.receiver()
        self.wait_shipped(site, ["one"])
        shipper.wait_to_say("receiver-unreachable: over")

    def test_what_is_new_takes_effect(self):
        site = Site(self)
        site.receiver()
        site.write_site(receiver_url=f"unix:{site.folder}/run/nowhere.sock")
        site.episode("one")
        shipper = site.shipper()
        shipper.wait_to_say("receiver-unreachable")
        site.write_site(receiver_url=f"unix:{site.socket}")
        shipper.reload()
        self.wait_shipped(site, ["one"])
        self.assert_arrived(site, ["one"])

    def test_another_receiver_that_does_not_answer_either_is_told_of(self):
        site = Site(self)
        site.episode("one")
        shipper = site.shipper()
        shipper.wait_to_say(f"No answer from unix:{site.socket}")
        site.write_site(receiver_url=f"unix:{site.folder}/run/nowhere.sock")
        shipper.reload()
        shipper.wait_to_say(f"over: No answer from unix:{site.socket}")
        shipper.wait_to_say(f"error: receiver-unreachable: No answer from unix:{site.folder}/run/nowhere.sock")

    def test_what_no_stage_can_tell_any_more_is_over(self):
        site = OperatorSite(self)
        site.tune("receiver", "[gate]\nenabled=false\n", "gate")
        site.begin("receiver")
        site.wait_told("receiver", "gate-disabled", "raised")
        site.tune("receiver", "[pipeline]\nstages=accept;bearer;known;store;index;rejections;log;journal\n", "gate")
        site.running["receiver"].reload()
        site.wait_told("receiver", "gate-disabled", "cleared")

    def test_another_address_to_listen_at(self):
        site = Site(self)
        receiver = site.receiver()
        old, site.socket = site.socket, site.folder / "run" / "other.sock"
        site.write_site(listen=f"unix:{site.socket}", receiver_url=f"unix:{site.socket}")
        receiver.reload()
        site.episode("one")
        self.assertEqual(site.once().status, 0)
        self.assert_arrived(site, ["one"])
        with self.assertRaises(OSError):
            Connection(old).connect()


if __name__ == "__main__":
    scratch.main()
