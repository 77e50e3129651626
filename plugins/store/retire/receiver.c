/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "receiver.h"

#define LOST "lost-by-receiver"

#define UNCONFIRMED "shipped-unconfirmed"

/* What both are about. */
#define SUBJECT "shipped"

/* How many are named. */
#define NAMES_MAX 3

void
receiver_init (Receiver *self, CisStage *stage)
{
  *self = (Receiver){ .stage = stage,
                      .lost = g_ptr_array_new_with_free_func (g_free),
                      .refused = g_ptr_array_new_with_free_func (g_free),
                      .unknown = g_ptr_array_new_with_free_func (g_free) };
}

void
receiver_clear (Receiver *self)
{
  g_clear_pointer (&self->lost, g_ptr_array_unref);
  g_clear_pointer (&self->refused, g_ptr_array_unref);
  g_clear_pointer (&self->unknown, g_ptr_array_unref);
  g_clear_object (&self->refusal);
  g_clear_pointer (&self->reason, g_free);
}

static void
note_unknown (Receiver *self, const char *name, const char *reason)
{
  g_ptr_array_add (self->unknown, g_strdup (name));
  if (self->reason == NULL)
    self->reason = g_strdup (reason);
}

static const char *
get_reason (CisOutcome *outcome)
{
  CisFinding *finding = cis_outcome_get_finding (outcome);
  const GError *error = cis_outcome_get_error (outcome);

  if (finding != NULL)
    return cis_finding_get_summary (finding);
  return error != NULL ? error->message : "it was given no reason";
}

/* Whether what the answer brought is a receipt, another than ours, for just these bytes. */
static gboolean
is_confirmed (CisEpisode *episode, JsonObject *ours)
{
  JsonObject *receipt = cis_episode_get_receipt (episode);

  return receipt != ours && cis_receipt_matches (receipt, episode, NULL, NULL);
}

static ReceiverAnswer
judge (Receiver *self, CisEpisode *episode, JsonObject *receipt, CisOutcome *outcome)
{
  const char *name = cis_episode_get_name (episode);
  CisVerdict verdict = cis_outcome_get_verdict (outcome);

  if (verdict == CIS_VERDICT_DONE && is_confirmed (episode, receipt))
    return RECEIVER_HAS;
  if (verdict == CIS_VERDICT_PASSED)
    {
      g_ptr_array_add (self->lost, g_strdup (name));
      return RECEIVER_LACKS;
    }
  if (verdict == CIS_VERDICT_REJECTED)
    {
      g_ptr_array_add (self->refused, g_strdup (name));
      if (self->refusal == NULL)
        self->refusal = g_object_ref (cis_outcome_get_finding (outcome));
    }
  else if (verdict != CIS_VERDICT_NONE)
    note_unknown (self, name, get_reason (outcome));
  self->silent = verdict == CIS_VERDICT_DEFERRED && cis_outcome_get_scope (outcome) == CIS_SCOPE_STAGE;
  return RECEIVER_UNKNOWN;
}

/* The episode as it was shipped; full. */
static CisEpisode *
make_episode (const char *name, JsonObject *receipt)
{
  CisEpisode *episode = cis_episode_new (NULL, name, NULL);
  const char *commit = cis_json_get_string (receipt, "commit");

  cis_episode_set_archive (episode, NULL, cis_json_get_string (receipt, "sha256"),
                           (guint64) cis_json_get_size (receipt, "size", 0));
  if (commit != NULL && cis_hex_is_valid (commit, 40))
    cis_episode_set_commit (episode, commit);
  cis_episode_set_receipt (episode, receipt);
  return episode;
}

ReceiverAnswer
receiver_ask (Receiver *self, const char *name, JsonObject *receipt, GCancellable *cancellable)
{
  g_autoptr (CisEpisode) episode = make_episode (name, receipt);
  g_autoptr (CisOutcome) outcome = NULL;

  if (!self->silent)
    outcome = cis_stage_ask_receipt (self->stage, CIS_ITEM (episode), cancellable);
  if (outcome != NULL)
    return judge (self, episode, receipt, outcome);
  note_unknown (self, name, "no stage of this pipeline can ask for them");
  self->silent = TRUE;
  return RECEIVER_UNKNOWN;
}

/* ---- what is told */

/* "3 episodes (a, b, c)"; full. */
static char *
describe_names (GPtrArray *names)
{
  g_autoptr (GString) text = g_string_new (NULL);

  g_string_append_printf (text, "%u episode%s (", names->len, names->len == 1 ? "" : "s");
  for (guint i = 0; i < MIN (names->len, NAMES_MAX); i++)
    g_string_append_printf (text, "%s%s", i > 0 ? ", " : "", (const char *) names->pdata[i]);
  g_string_append (text, names->len > NAMES_MAX ? ", …)" : ")");
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static CisFinding *
describe_lost (Receiver *self)
{
  g_autofree char *lost = describe_names (self->lost);
  g_autofree char *refused = describe_names (self->refused);
  g_autoptr (GString) text = g_string_new ("The receiver no longer has what it acknowledged: ");
  CisFinding *finding;

  if (self->lost->len > 0)
    g_string_append_printf (text, "%s, shipped anew by itself", lost);
  if (self->refusal != NULL)
    g_string_append_printf (text, "%s%s, which it would not take now (%s) and which stay in shipped/",
                            self->lost->len > 0 ? "; " : "", refused,
                            cis_finding_get_summary (self->refusal));
  finding = cis_finding_new (LOST, CIS_SEVERITY_ERROR, SUBJECT, "%s", text->str);
  if (self->refusal != NULL)
    cis_finding_set_detail (finding, "refusal", cis_finding_get_id (self->refusal));
  cis_finding_set_fix (
      finding, "%s",
      self->refusal == NULL
          ? "# nothing to do on this host; what else is gone or damaged, tells on the receiver:\n"
            "#   cis490 index verify"
          : "# what else is gone or damaged, tells on the receiver:\n"
            "#   cis490 index verify\n"
            "# restore it from a backup, or admit the commit in grants-file=; what the receiver takes "
            "then is shipped anew by itself");
  return finding;
}

static CisFinding *
describe_unconfirmed (Receiver *self)
{
  g_autofree char *names = describe_names (self->unknown);
  CisFinding *finding = cis_finding_new (
      UNCONFIRMED, CIS_SEVERITY_WARNING, SUBJECT,
      "%s past keep-days= stay in shipped/, as nobody says that the receiver still has them: %s", names,
      self->reason);

  cis_finding_set_fix (finding, "# it is asked again by itself; whether it answers:\n"
                                "cis490 ping");
  return finding;
}

void
receiver_tell (Receiver *self)
{
  CisPart *part = CIS_PART (self->stage);

  if (self->unknown->len > 0)
    cis_part_raise (part, describe_unconfirmed (self));
  else
    cis_part_clear (part, UNCONFIRMED, SUBJECT);
  if (self->lost->len > 0 || self->refused->len > 0)
    cis_part_raise (part, describe_lost (self));
  else if (self->unknown->len == 0)
    cis_part_clear (part, LOST, SUBJECT);
}

void
receiver_tell_nothing_due (CisPart *part)
{
  cis_part_clear (part, UNCONFIRMED, SUBJECT);
  cis_part_clear (part, LOST, SUBJECT);
}
