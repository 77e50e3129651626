# SPDX-License-Identifier: LGPL-2.1-or-later
"""Findings that stand until what is wrong is mended.

A generator provokes one on a site. It yields who tells it; edits then what the fix asks for; and yields what the pasting needs:
what is typed (`stdin`), what is filled in for a placeholder (`fill`), the drop-in for lines of an ini (`edited`), and which episodes
are shipped afterwards (`shipped`).
"""

import json
import os
import shlex
import socket
import subprocess

import scratch
import test_disk
from authority import Authority
from operators import OperatorCase, OperatorSite
from relay import Relay
from scratch import wait_until
from test_gate import Forge

STANDING = {}

# An episode waits, as it counts as still being written, and the receiver is asked about it all the time.
PINGING = "[scan]\nquiet=1h\n[ship]\nforecast-interval=300ms\n"


class Front(Relay):
    """A proxy that gives an answer of its own for as long as it has one."""

    def __init__(self, test, path, target, own):
        self.own = own
        super().__init__(test, path, target)

    def _accept(self):
        while self.own is not None:
            client, _ = self.listener.accept()
            with client:
                client.settimeout(5)
                client.recv(65536)
                client.sendall(self.own or page("503 Later"))
        super()._accept()

    def step_aside(self):
        self.own = None
        # accept() is waited in for one that still gets that answer.
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(str(self.path))
            last.send(b"x")
            # Where the receiver gets it, as nobody waited any more, it has nothing to wait for.
            last.shutdown(socket.SHUT_WR)
            last.recv(1)


def page(status, body="<html>"):
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()


def standing(finding):
    def register(function):
        STANDING[finding] = function
        return function
    return register


@standing("receiver-unreachable")
def _(site):
    site.episode("one")
    site.begin("shipper")
    yield "shipper"
    site.begin("receiver")
    yield {}


@standing("receiver-refused-token")
def _(site):
    site.episode("one")
    site.begin("receiver")
    site.write_secret("token", "0" * 64)
    site.begin("shipper")
    yield "shipper"
    yield {"stdin": site.add_token("lab-1")}


@standing("receiver-refused-host")
def _(site):
    site.episode("one")
    site.begin("receiver")
    site.write_secret("token", site.add_token("lab-2"))
    site.begin("shipper")
    yield "shipper"
    yield {"stdin": site.add_token("lab-1")}


def behind_a_front(own):
    def provoke(site):
        front = Front(site.test, site.folder / "run" / "front.sock", site.socket, own)
        site.write_site(receiver_url=f"unix:{front.path}")
        site.episode("one")
        site.begin("receiver")
        site.begin("shipper")
        yield "shipper"
        front.step_aside()
        yield {}
    return provoke


standing("receiver-not-found")(behind_a_front(page("404 Not Found")))
standing("proxy-refused")(behind_a_front(page("451 No")))
standing("receiver-busy")(behind_a_front(page("503 Later")))
standing("receipt-mismatch")(behind_a_front(page("200 OK", "Welcome!")))


@standing("token-unreadable")
def _(site):
    site.begin("receiver")
    site.begin("shipper")
    (site.folder / "token").unlink()
    site.episode("one")
    yield "shipper"
    yield {"stdin": site.add_token("lab-1")}


@standing("certificate-unreadable")
def _(site):
    certificate = site.folder / "ca.pem"
    certificate.write_text("this is no certificate")
    site.write_site(ca_file=certificate)
    site.begin("receiver")
    site.begin("shipper")
    site.episode("one")
    yield "shipper"
    Authority(site.folder / "authority").root.install(certificate, site.folder / "ca.key")
    yield {}


@standing("commit-leaves-window")
def _(site):
    site.tune("shipper", PINGING + "forecast-warning=1d\n")
    site.episode("one", commit=site.commits[-2])
    site.begin("receiver")
    site.begin("shipper")
    yield "shipper"
    (site.host / "episodes" / "one").rename(site.folder / "one")
    site.wait_told("shipper", "commit-leaves-window", "cleared")
    yield {}


@standing("outbox-full")
def _(site):
    site.tune("shipper", scratch.QUICK + "[pack]\noutbox-max=150000\n")
    for number in range(4):
        site.episode(f"ep-{number}", 100_000)
    site.begin("shipper")
    yield "shipper"
    site.begin("receiver")
    yield {}


@standing("episode-name-invalid")
def _(site):
    site.episode("a b")
    site.begin("receiver")
    site.begin("shipper")
    yield "shipper"
    yield {"shipped": ["a-b"]}


@standing("episode-is-link")
def _(site):
    site.episode("one").rename(site.folder / "elsewhere")
    (site.host / "episodes" / "one").symlink_to("../../elsewhere")
    site.begin("receiver")
    site.begin("shipper")
    yield "shipper"
    yield {"shipped": ["one"]}


def ship_long_ago(site, name):
    """An episode that is past keep-days; the receiver and the shipper are off."""
    site.episode(name)
    site.begin("receiver")
    site.once()
    site.running["receiver"].stop()
    receipt = site.host / "receipts" / f"{name}.json"
    receipt.write_text(json.dumps({**json.loads(receipt.read_text()), "received_at": "2020-01-01T00:00:00Z"}))
    site.tune("shipper", f"{scratch.QUICK}[retire]\nconfirm-after=0s\ncleanup-interval=300ms\n")
    return site.host / "shipped" / name


@standing("episode-unfinished")
def _(site):
    path = site.host / "episodes" / "one"
    path.mkdir()
    (path / "data.bin").write_bytes(b"data")
    site.tune("shipper", f"{scratch.QUICK}unfinished-after=500ms\n")
    site.begin("receiver")
    site.begin("shipper")
    yield "shipper"
    (path / "data.bin").unlink()
    path.rmdir()
    site.episode("one")
    yield {"shipped": ["one"]}


@standing("episode-not-movable")
def _(site):
    path = site.episode("one")
    # In the mount namespace of the tests.
    subprocess.run(["mount", "--bind", path, path], check=True)
    site.test.addCleanup(subprocess.run, ["umount", "--quiet", "--lazy", path])
    site.begin("receiver")
    site.begin("shipper")
    yield "shipper"
    yield {"shipped": ["one"]}


@standing("shipped-unconfirmed")
def _(site):
    path = ship_long_ago(site, "one")
    site.begin("shipper")
    yield "shipper"
    site.begin("receiver")
    yield {}
    wait_until(lambda: not path.exists(), "it is removed")


@standing("lost-by-receiver")
def _(site):
    ship_long_ago(site, "one")
    site.archive("one").unlink()
    site.begin("receiver")
    site.begin("shipper")
    yield "shipper"
    yield {"shipped": ["one"]}


@standing("not-removable")
def _(site):
    path = ship_long_ago(site, "one")
    (path / "sub").mkdir()
    (path / "sub" / "data.bin").write_bytes(b"data")
    site.become_nobody()
    site.begin("receiver")
    os.chown(path / "sub", 0, 0)
    site.begin("shipper")
    yield "shipper"
    yield {}
    wait_until(lambda: not path.exists(), "it is removed")


@standing("episode-unreadable")
def _(site):
    path = site.episode("one")
    site.become_nobody()
    os.chown(path, 0, 0)
    path.chmod(0o700)
    site.begin("receiver")
    site.begin("shipper")
    yield "shipper"
    yield {"shipped": ["one"]}


def closed_file(site):
    """The same, of a file in it."""
    (site.episode("one") / "data.bin").chmod(0)
    site.become_nobody()
    site.begin("receiver")
    site.begin("shipper")
    yield "shipper"
    yield {"shipped": ["one"]}


def closed_folder(site):
    """The same, where all can be read but the episode cannot be moved: its folder is of somebody else's."""
    path = site.episode("one")
    site.become_nobody()
    os.chown(path, 0, 0)
    path.chmod(0o755)
    site.begin("receiver")
    site.begin("shipper")
    yield "shipper"
    yield {"shipped": ["one"]}


@standing("keeps-failing")
def _(site):
    obstacle = site.host / "receipts" / "one.json" / "x"
    obstacle.mkdir(parents=True)
    site.tune("shipper", scratch.QUICK + "[pipeline]\nattempts=2\n")
    site.episode("one")
    site.begin("receiver")
    site.begin("shipper")
    yield "shipper"
    obstacle.rmdir()
    obstacle.parent.rmdir()
    yield {"shipped": ["one"]}


@standing("directory-unavailable")
def _(site):
    folder = site.folder / "mirror"
    site.tune("shipper", f"[ship]\nplugin=transport/directory\ndirectory={folder}\n", "forecast")
    site.episode("one")
    site.begin("shipper")
    yield "shipper"
    folder.mkdir()
    yield {"shipped": ["one"]}


@standing("host-quota-used-up")
def _(site):
    site.tune("receiver", "[store]\nhost-quota=1000\n", "a-quota")
    site.episode("one", 100_000)
    site.begin("receiver")
    site.begin("shipper")
    yield "shipper"
    yield {"fill": {"SIZE": "10MiB"}, "edited": "receiver/quota"}


@standing("archive-damaged")
def _(site):
    site.tune("receiver", "[store]\nresume-keep=1s\n", "often")
    site.episode("one")
    site.begin("receiver")
    site.begin("shipper")
    wait_until(lambda: site.names("shipped") == ["one"], "it is shipped")
    os.truncate(site.archive("one"), 100)
    (site.host / "shipped" / "one").rename(site.host / "episodes" / "one")
    yield "receiver"
    yield {"shipped": ["one"]}


@standing("storage-full")
def _(site):
    test_disk.mount_small(site.test, site.receiver_state, "12M")
    # Less than the receiver keeps free, and enough to tell it.
    filler = test_disk.fill(site.receiver_state, leave=500_000)
    site.begin("receiver")
    site.begin("shipper")
    site.episode("one")
    yield "receiver"
    filler.unlink()
    yield {"shipped": ["one"]}


@standing("window-unavailable")
def _(site):
    elsewhere = (site.folder / "repository").rename(site.folder / "elsewhere")
    site.tune("receiver", "[gate]\nttl=500ms\n", "gate")
    site.begin("receiver")
    yield "receiver"
    yield {"fill": {"ADDRESS-OF-THE-REPOSITORY": shlex.quote(str(elsewhere))}}


@standing("window-fallback")
def _(site):
    forge = Forge(site.test, site)
    forge.set("500")
    site.write_site(forgejo_url=forge.url, forgejo_repository="lab/code")
    site.tune("receiver", "[gate]\nttl=500ms\n", "gate")
    site.begin("receiver")
    yield "receiver"
    forge.set("ok")
    yield {}


@standing("window-cut")
def _(site):
    shallow = site.folder / "shallow"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", f"file://{site.folder}/repository", shallow], check=True)
    site.write_site(repository=shallow)
    site.tune("receiver", "[gate]\nttl=500ms\n", "gate")
    site.begin("receiver")
    yield "receiver"
    yield {}


@standing("window-not-saved")
def _(site):
    obstacle = site.receiver_state / "window.json" / "x"
    obstacle.mkdir(parents=True)
    site.tune("receiver", "[gate]\nttl=500ms\n", "gate")
    site.begin("receiver")
    yield "receiver"
    obstacle.rmdir()
    obstacle.parent.rmdir()
    yield {}


@standing("remedy-unreadable")
def _(site):
    remedy = site.folder / "remedy"
    remedy.write_text("echo pull\n")
    site.tune("receiver", f"[gate]\nremedy-file={remedy}\n", "gate")
    site.begin("receiver")
    site.begin("shipper")
    remedy.unlink()
    site.episode("one", commit=site.stale)
    yield "receiver"
    remedy.write_text("echo pull again\n")
    remedy.chmod(0)
    site.episode("two", commit=site.stale)
    yield {}


@standing("tokens-unreadable")
def _(site):
    tokens = site.folder / "tokens"
    good = tokens.read_text()
    site.begin("receiver")
    site.tune("shipper", PINGING)
    site.episode("one")
    site.begin("shipper")
    tokens.write_text(good + "nonsense\n")
    yield "receiver"
    site.editor(tokens, good)
    yield {}


@standing("grants-unreadable")
def _(site):
    grants = site.folder / "grants"
    grants.write_text("nonsense\n")
    site.write_site(grants_file=grants)
    site.begin("receiver")
    yield "receiver"
    site.editor(grants, f"thesis {site.stale} lab-1 2090-01-01\n")
    yield {}


@standing("grant-expired")
def _(site):
    grants = site.folder / "grants"
    grants.write_text(f"thesis {site.stale} lab-1 2020-01-01\n")
    site.write_site(grants_file=grants)
    site.begin("receiver")
    yield "receiver"
    yield {}


@standing("gate-disabled")
def _(site):
    site.tune("receiver", "[gate]\nenabled=false\n", "gate")
    site.begin("receiver")
    yield "receiver"
    site.tune("receiver", "", "gate")
    yield {}


@standing("journal-unavailable")
def _(site):
    # In the mount namespace of the tests.
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
    site.test.addCleanup(subprocess.run, ["umount", "--lazy", "/run"], check=True)
    bind = "import socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).bind('/run/systemd/journal/socket')"
    site.program("systemctl", f'[ "$2" = systemd-journald.socket ] && mkdir -p /run/systemd/journal && exec python3 -c "{bind}"')
    site.begin("receiver")
    yield "receiver"
    yield {}


@standing("index-row-torn")
def _(site):
    site.episode("one")
    site.begin("receiver")
    site.begin("shipper")
    wait_until(lambda: site.names("shipped") == ["one"], "it is shipped")
    for process in site.running.values():
        process.stop()
    with open(site.receiver_state / "index.jsonl", "ab") as index:
        index.write(b'{"ts":"20')
    site.begin("receiver")
    yield "receiver"
    site.running["receiver"].reload()
    yield {}


class StandingCase(OperatorCase):

    def assert_over(self, finding, provoke, reload=False, folder=None):
        """After its fix; with a reload, it is told once, and once that it is over, whichever pipeline sees that."""
        site = OperatorSite(self, folder)
        steps = provoke(site)
        who = next(steps)
        row = site.wait_told(who, finding, "raised", "replaced")
        if reload:
            site.running[who].reload()
        options = next(steps)
        self.assert_pasted(site, row["fix"], **options)
        site.wait_told(who, finding, "cleared")
        if "shipped" in options:
            self.wait_shipped(site, options["shipped"])
        if reload:
            changes = [told["change"] for told in site.told(who) if told["finding"] == finding and told["change"] != "replaced"]
            self.assertEqual(changes, ["raised", "cleared"])
        self.end_all()
