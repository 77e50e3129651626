# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each finding that stands goes over to the pipeline of a reload."""

import scratch
from standing import STANDING, StandingCase


class Takeover(StandingCase):

    def test_a_reload_keeps_what_stands(self):
        for finding, provoke in STANDING.items():
            with self.subTest(finding):
                self.assert_over(finding, provoke, reload=True)


if __name__ == "__main__":
    scratch.main()
