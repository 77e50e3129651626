#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Installs cis490.ini where there is none: the one that an operator has edited is never overwritten.
set -eu
source=$1
folder=${MESON_INSTALL_DESTDIR_PREFIX:?}
case $2 in
  /*) folder=${DESTDIR:-}$2 ;;
  *) folder=$folder/$2 ;;
esac

mkdir -p "$folder/pipelines"
if [ -e "$folder/cis490.ini" ]; then
  echo "Keeping $folder/cis490.ini; the new example is beside the documentation."
else
  install -m 0644 "$source" "$folder/cis490.ini"
fi
