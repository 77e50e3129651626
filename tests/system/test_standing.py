# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each finding that stands is provoked on a scratch site, its fix is pasted as it was told, and it has to be over then."""

import tempfile

import scratch
from standing import STANDING, StandingCase, closed_file, closed_folder

# In whose fixes are paths of the site, with whatever somebody has put into their names.
PATHS = ["outbox-full", "directory-unavailable", "window-unavailable", "window-cut", "window-not-saved", "remedy-unreadable",
         "grants-unreadable", "grant-expired"]


class Standing(StandingCase):

    def test_what_stands_is_over_after_its_fix(self):
        for finding, provoke in STANDING.items():
            with self.subTest(finding):
                self.assert_over(finding, provoke)

    def test_a_fix_quotes_the_paths_in_it(self):
        for finding in PATHS:
            with self.subTest(finding):
                self.assert_over(finding, STANDING[finding], folder=tempfile.mkdtemp(prefix="cis490 it's "))

    def test_a_file_that_nobody_may_read_is_opened(self):
        self.assert_over("episode-unreadable", closed_file)

    def test_a_folder_that_cannot_be_moved_is_given_away(self):
        self.assert_over("episode-unreadable", closed_folder)


if __name__ == "__main__":
    scratch.main()
