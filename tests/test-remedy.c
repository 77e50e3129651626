/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include "../plugins/gate/window/remedy.h"

static void
test_filled (void)
{
  const CisRemedy remedy = { "{host}", "b", "main", "lab-7", NULL };
  g_autofree char *text =
      cis_remedy_fill ("# {your_commit} {head_commit} {branch} on {host}: {episode} {other} {\ngit pull\n\n",
                       &remedy);

  g_assert_cmpstr (text, ==, "# {host} b main on lab-7: {episode} {other} {\ngit pull");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/remedy/filled", test_filled);
  return g_test_run ();
}
