# bash completion of qanat. It reads each command's own --help, so it knows what the installed program knows.
_qanat() {
  local current=${COMP_WORDS[COMP_CWORD]} word
  local -a command=()
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word == -* ]] && break
    command+=("$word")
  done
  local offers
  offers=$("${COMP_WORDS[0]}" "${command[@]}" --help 2>/dev/null | awk '
    /^[A-Z][A-Za-z ]*:/ { part = $1; next }
    part == "Subcommands:" && /^  [a-z]/ { print $1 }
    part == "Options:" && /^  +-/ { n = split($1, names, ","); for (i = 1; i <= n; i++) if (names[i] ~ /^--/) print names[i] }')
  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(grep -e '^--' <<<"$offers")" -- "$current")
  else
    mapfile -t COMPREPLY < <(compgen -W "$(grep -ve '^--' <<<"$offers")" -- "$current")
  fi
}
complete -o default -F _qanat qanat
