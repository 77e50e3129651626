# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion of cis490's verbs, options, pipelines and plugins.

_cis490_pipelines() {
  cis490 check 2>/dev/null | sed -n 's/^\([A-Za-z0-9._-]*\): .*/\1/p'
}

_cis490_plugins() {
  cis490 inspect --json 2>/dev/null | grep -o '"name" *: *"[a-z-]*/[a-z0-9-]*"' | sed 's/.*"\([^"]*\)"$/\1/'
}

# The options are those that `cis490 VERB --help` tells, so that this file cannot fall behind the program.
_cis490_options() {
  cis490 "$@" --help 2>/dev/null | grep -o -e '--[a-z-]*' | sort -u
}

# STAGE.KEY= of the pipelines that the line names, else of all.
_cis490_settings() {
  local name names=()

  for name in $(_cis490_pipelines); do
    [[ " ${COMP_WORDS[*]:2} " == *" $name "* ]] && names+=("$name")
  done
  ((${#names[@]})) || mapfile -t names < <(_cis490_pipelines)
  for name in "${names[@]}"; do
    cis490 graph "$name" --json 2>/dev/null | grep -o '"name":"[^"]*"[^{]*"options":\[[^]]*\]' |
      sed -n 's/^"name":"\([^"]*\)".*"options":\[\(.*\)\]$/\1 \2/p' |
      while read -r stage options; do
        tr -d '"' <<<"$options" | tr ',' '\n' | sed -n "s/..*/$stage.&=/p"
      done
  done | sort -u
}

_cis490_verbs() {
  cis490 --help 2>/dev/null | sed -n 's/^  \([a-z]\+\) \+[A-Z].*/\1/p'
}

_cis490_quarantined() {
  cis490 quarantine list --json 2>/dev/null | grep -o '"id":"[^"]*"' | sed 's/.*"\([^"]*\)"$/\1/'
}

_cis490() {
  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]}

  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    mapfile -t COMPREPLY < <(compgen -W "$(_cis490_verbs) --help --version" -- "$word")
    return
  fi
  case $previous in
    --config | --repository | -r)
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
    --set)
      compopt -o nospace
      mapfile -t COMPREPLY < <(compgen -W "$(_cis490_settings)" -- "$word")
      return
      ;;
  esac
  if [[ $word == -* ]]; then
    # A word behind `quarantine` has options of its own.
    if [[ $verb == quarantine && $COMP_CWORD -gt 2 ]]; then
      mapfile -t COMPREPLY < <(compgen -W "$(_cis490_options quarantine "${COMP_WORDS[2]}")" -- "$word")
      return
    fi
    mapfile -t COMPREPLY < <(compgen -W "$(_cis490_options "$verb")" -- "$word")
    return
  fi
  case $verb in
    run | check | graph | ping) mapfile -t COMPREPLY < <(compgen -W "$(_cis490_pipelines)" -- "$word") ;;
    inspect) mapfile -t COMPREPLY < <(compgen -W "$(_cis490_plugins)" -- "$word") ;;
    quarantine)
      if ((COMP_CWORD == 2)); then
        mapfile -t COMPREPLY < <(compgen -W "list show release purge" -- "$word")
      else
        mapfile -t COMPREPLY < <(compgen -W "$(_cis490_quarantined)" -- "$word")
      fi
      ;;
    stamp)
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -d -- "$word")
      ;;
    gate) mapfile -t COMPREPLY < <(compgen -W "explain replay" -- "$word") ;;
    index) mapfile -t COMPREPLY < <(compgen -W "backfill verify" -- "$word") ;;
    token) mapfile -t COMPREPLY < <(compgen -W "new" -- "$word") ;;
  esac
}

complete -F _cis490 cis490
