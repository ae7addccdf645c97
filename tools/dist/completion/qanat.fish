# fish completion of qanat. It reads each command's own --help, so it knows what the installed program knows.
function __qanat_offers
    set -l command
    for word in (commandline -opc)
        string match -q -- '-*' $word; and break
        set -a command $word
    end
    $command --help 2>/dev/null | awk '
        /^[A-Z][A-Za-z ]*:/ { part = $1; next }
        part == "Subcommands:" && /^  [a-z]/ { name = $1; $1 = ""; print name "\t" substr($0, 2) }
        part == "Options:" && /^  +-/ { n = split($1, names, ","); for (i = 1; i <= n; i++) if (names[i] ~ /^--/) print names[i] }'
end
complete -c qanat -f -a '(__qanat_offers)'
