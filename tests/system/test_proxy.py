# SPDX-License-Identifier: LGPL-2.1-or-later
"""nginx in front, as in an installation: what it answers by itself says nothing of an episode."""

import os
import socket
import subprocess

import scratch
from scratch import Site, hold_port, wait_until

CONFIGURATION = """
daemon off;
user root;
worker_processes 1;
pid nginx.pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  map $ssl_client_s_dn $name {{ default -; "~^CN=(?<common>[a-z0-9-]+)$" $common; }}
  client_body_temp_path temp; proxy_temp_path temp; fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate server.pem;
    ssl_certificate_key server.key;
    ssl_client_certificate authority.pem;
    ssl_verify_client on;
    {settings}
    location / {{
      {answer}
      proxy_pass http://unix:{socket}:;
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_set_header X-Cis490-Client-Name $name;
    }}
  }}
}}
"""


def make_certificate(folder, name, *options):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem", *options],
                   cwd=folder, check=True, capture_output=True)
    (folder / f"{name}.key").chmod(0o600)


class Nginx:

    def __init__(self, test, site, **settings):
        self.site, self.port = site, hold_port(test)
        self.folder = site.folder / "nginx"
        (self.folder / "temp").mkdir(parents=True)
        make_certificate(self.folder, "authority")
        signed = ("-CA", "authority.pem", "-CAkey", "authority.key")
        make_certificate(self.folder, "server", "-addext", "subjectAltName=DNS:localhost", *signed)
        make_certificate(self.folder, "lab-1", *signed)
        make_certificate(self.folder, "stranger")
        self.use_certificate("lab-1")
        site.write_site(receiver_url=f"https://localhost:{self.port}", ca_file=self.folder / "authority.pem",
                        certificate_file=site.folder / "client.pem", key_file=site.folder / "client.key")
        self.start(**settings)
        test.addCleanup(self.stop)

    def use_certificate(self, name):
        for suffix in ("pem", "key"):
            target = self.site.folder / f"client.{suffix}"
            target.write_bytes((self.folder / f"{name}.{suffix}").read_bytes())
            target.chmod(0o600)

    def start(self, settings="", answer=""):
        text = CONFIGURATION.format(port=self.port, socket=self.site.socket, settings=settings, answer=answer)
        (self.folder / "nginx.conf").write_text(text)
        with open(self.folder / "log", "ab") as log:
            self.popen = subprocess.Popen(["nginx", "-e", "stderr", "-p", f"{self.folder}/", "-c", "nginx.conf"], stderr=log)
        wait_until(self.is_listening, "nginx listens")

    def restart(self, **settings):
        self.stop()
        self.start(**settings)

    def is_listening(self):
        with socket.socket() as connection:
            return connection.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        self.popen.terminate()
        self.popen.wait()


class Proxy(scratch.TestCase):

    def setUp(self):
        super().setUp()
        self.site = Site(self)

    def assert_deferred_until(self, mend, finding, remedy):
        """What is there waits, a person is told what to do, and once that is done all goes on by itself."""
        shipper = self.site.shipper()
        shipper.wait_to_say(finding)
        self.assertIn(remedy, shipper.said)
        self.assertEqual((self.site.names("episodes"), self.site.names("quarantine")), (["one"], []))
        self.assertEqual(self.site.rows(), [])
        mend()
        self.wait_shipped(self.site, ["one"])
        shipper.wait_to_say(f"{finding}: over")
        self.assert_arrived(self.site, ["one"])

    def test_all_goes_through(self):
        Nginx(self, self.site, settings="client_max_body_size 0;")
        names = self.site.episodes(20, 30_000)
        self.site.episode("large", 6_000_000)
        self.site.episode("stale", 6_000_000, commit=self.site.stale)
        self.site.receiver()
        self.assertEqual(self.site.once().status, 65)
        self.assertEqual(self.site.names("quarantine"), ["stale"])
        self.assertEqual(self.site.reason("stale")["finding"], "commit-not-in-window")
        self.assert_arrived(self.site, [*names, "large"])

    def test_its_400_to_a_strangers_certificate(self):
        nginx = Nginx(self, self.site)
        nginx.use_certificate("stranger")
        self.site.episode("one")
        self.site.receiver()
        self.assert_deferred_until(lambda: nginx.use_certificate("lab-1"), "proxy-refused", "openssl x509")

    def test_its_400_to_no_certificate(self):
        Nginx(self, self.site)
        del self.site.values["certificate-file"], self.site.values["key-file"]
        self.site.write_site()
        self.site.episode("one")
        self.site.receiver()
        run = self.site.once()
        self.assertEqual(run.status, 75)
        self.assertIn("set certificate-file= and key-file= in cis490.ini", run.said)
        self.assertEqual(self.site.names("quarantine"), [])

    def test_its_413(self):
        nginx = Nginx(self, self.site, settings="client_max_body_size 10k;")
        self.site.episode("one", 100_000)
        self.site.receiver()
        self.assert_deferred_until(lambda: nginx.restart(settings="client_max_body_size 0;"), "proxy-refused",
                                   "client_max_body_size")

    def test_its_502(self):
        Nginx(self, self.site)
        self.site.episode("one")
        self.assert_deferred_until(self.site.receiver, "receiver-busy", "systemctl status")

    def test_its_own_pages(self):
        nginx = Nginx(self, self.site)
        self.site.episode("one")
        self.site.receiver()
        for answer, finding in (("return 200 'Welcome!';", "receipt-mismatch"),
                                ("return 302 https://elsewhere.example/;", "proxy-refused"),
                                ("return 404;", "receiver-not-found"), ("return 401;", "receiver-refused-token"),
                                ("return 451;", "proxy-refused"), ("return 503;", "receiver-busy"),
                                ("return 444;", "receiver-unreachable")):
            with self.subTest(answer):
                nginx.restart(answer=answer)
                run = self.site.once()
                self.assertEqual(run.status, 75)
                self.assertIn(f"{finding}: ", run.said)
                self.assertEqual((self.site.names("episodes"), self.site.names("quarantine")), (["one"], []))
        nginx.restart()
        self.assertEqual(self.site.once().status, 0)
        self.assert_arrived(self.site, ["one"])

    def test_an_authority_that_did_not_sign_it(self):
        nginx = Nginx(self, self.site)
        ours = nginx.folder / "ca.pem"
        ours.write_bytes((nginx.folder / "stranger.pem").read_bytes())
        self.site.write_site(ca_file=ours)
        self.site.episode("one")
        self.site.receiver()
        self.assert_deferred_until(lambda: os.replace(nginx.folder / "authority.pem", ours), "receiver-unreachable", "ca-file=")


if __name__ == "__main__":
    scratch.main()
