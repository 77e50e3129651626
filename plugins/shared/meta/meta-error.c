/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta-error.h"

G_DEFINE_QUARK (cis_meta_error_quark, cis_meta_error)
