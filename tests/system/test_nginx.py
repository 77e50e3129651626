# SPDX-License-Identifier: LGPL-2.1-or-later
"""The real nginx in front of the receiver, with the configuration of data/."""

import subprocess

import scratch
from front import NginxProxy
from proxies import ProxyCases


class Nginx(ProxyCases, scratch.TestCase):
    Proxy = NginxProxy
    KEPT_OUT = "proxy-refused"
    SMALL = {"client_max_body_size 0;": "client_max_body_size 10k;"}
    IMPATIENT = {"proxy_read_timeout 5m;": "proxy_read_timeout 1s;"}
    SEVERAL = (("/CN=lab-2/CN=lab-1", None), ("/CN=lab-1/CN=lab-1", None), ("/CN=lab-2+CN=lab-1", None),
               ("/O=Lab+CN=lab-1", None), ("/CN=lab-1/O=Lab/CN=lab-2", None))

    def test_http_2_for_all_on_the_port(self):
        """Another server may switch it on; then nothing gets through, and a person can see why."""
        self.change_proxy(**{" ssl;  ": " ssl http2;  "})
        self.proxy.start()
        self.site.receiver()
        good = self.authority.client("lab-1")
        done = subprocess.run(["curl", "--silent", "--http2", "--cacert", self.authority.pem, "--cert", good.pem, "--key", good.key,
                               "--header", f"Authorization: Bearer {self.site.token}", "--data", "", "--output", "-",
                               "--write-out", "%{http_version} %{http_code}", f"https://localhost:{self.proxy.port}/v1/ping"],
                              stdout=subprocess.PIPE, text=True, timeout=scratch.PATIENCE)
        self.assertTrue(done.stdout.endswith("2 505"), done.stdout)


if __name__ == "__main__":
    scratch.main()
