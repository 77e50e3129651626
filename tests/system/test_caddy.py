# SPDX-License-Identifier: LGPL-2.1-or-later
"""The real Caddy in front of the receiver, with the configuration of data/."""

import scratch
from front import CaddyProxy
from proxies import ProxyCases


class Caddy(ProxyCases, scratch.TestCase):
    Proxy = CaddyProxy
    KEPT_OUT = "receiver-unreachable"
    SMALL = {"\troute /v1/* {\n": "\troute /v1/* {\n\t\trequest_body {\n\t\t\tmax_size 10KB\n\t\t}\n"}
    IMPATIENT = {"response_header_timeout 5m": "response_header_timeout 1s"}
    # Of several Caddy shows the last; joined by “+” they are sorted.
    SEVERAL = (("/CN=lab-2/CN=lab-1", "lab-1"), ("/CN=lab-2+CN=lab-1", "lab-2"), ("/O=Lab+CN=lab-1", "lab-1"))


if __name__ == "__main__":
    scratch.main()
