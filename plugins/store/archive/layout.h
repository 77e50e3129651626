/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where the receiver keeps what. Below the state folder:
 *
 *   incoming/<host>/<episode>.<sha256>.<commit>.part   an upload, and the intent to finish it
 *   store/<host>/<episode>.tar.zst                     an archive, for good
 *   damaged/<host>/<episode>.<sha256>.tar.zst          what was one, until a good one came; for a person
 *
 * A .part and an archive that are one inode are an episode that is stored and has not come home: its index
 * row may be missing. The archive's receipt rests in an extended attribute, so that nothing needs to be
 * hashed again. */

#include "cis490.h"

#include <sys/stat.h>

typedef struct
{
  int state; /* the folder that holds all of it */
  int incoming;
  int store;
} CisLayout;

#define CIS_LAYOUT_CLOSED                                                                                    \
  {                                                                                                          \
    -1, -1, -1                                                                                               \
  }

/* Opens incoming/ and store/ below @directory, made where missing. Both on one file system, or
 * CIS_ERROR_CONFIG. */
gboolean cis_layout_open (CisLayout *self, const char *directory, GError **error);
void cis_layout_close (CisLayout *self);

char *cis_layout_archive_name (const char *episode);
char *cis_layout_part_name (CisEpisode *episode);

/* What a .part's name says of it. */
typedef struct
{
  char *episode;
  char *sha256;
  char *commit; /* nullable */
} CisPartName;

/* %NULL where @name is not one of ours; full. */
CisPartName *cis_part_name_parse (const char *name);
void cis_part_name_free (CisPartName *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisPartName, cis_part_name_free)
/* Whether the .part @name is of the bytes that @episode announces. */
gboolean cis_part_name_is_of (const char *name, CisEpisode *episode);

/* The names in a folder, below @dirfd; none (an empty array) where it is not there. full */
GPtrArray *cis_layout_list (int dirfd, const char *folder, GError **error);

/* Looks at what is called @path, no symlink followed. 1; 0 where nothing is, any more; -1 with @error where
 * nobody knows: of a disk that answers nothing, every intent would seem to be gone. */
int cis_layout_look (int dirfd, const char *path, struct stat *st, GError **error);

/* The name of the host's .part for @episode that is the inode of @stored; %NULL without error where none is.
 * full */
char *cis_layout_find_intent (CisLayout *self, const char *host, const char *episode,
                              const struct stat *stored, GError **error);

/* Writes the receipt and the item's marks beside the bytes. A file system that cannot is no error (and no
 * loss but time): %FALSE then, with the reason in errno. */
gboolean cis_layout_write_receipt (int fd, JsonObject *receipt, CisItem *item);
/* The digest that was noted beside the bytes when they were put there, whatever has become of them since, and
 * their commit; %NULL (both full) where none was noted. %FALSE with @error where nobody knows. */
gboolean cis_layout_read_promise (int fd, CisEpisode *episode, char **sha256, char **commit, GError **error);
/* The receipt that was written, as long as it is @episode's and its size the file's; marks go to @item
 * (nullable). full, nullable. */
JsonObject *cis_layout_read_receipt (int fd, CisEpisode *episode, CisItem *item);
