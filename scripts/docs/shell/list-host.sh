case $XDG_RUNTIME_DIR in
/*) run=RUNTIME_DIRECTORY ;;
*) run=FALLBACK_DIRECTORY ;;
esac
{
  sed -n "s/^[[:space:]]*[Hh][Oo][Ss][Tt][[:space:]=]\{1,\}//p" \
    "$run"/SSH_CONFIG ~/.ssh/config /etc/ssh/ssh_config
  sed "s/^@[^ ]* //; s/[[:space:]].*//; s/\[\([^]]*\)\]:[0-9]*/\1/g" \
    ~/.ssh/known_hosts ~/.ssh/known_hosts2 /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2
} 2>/dev/null | tr -s "[:space:]," "\n" | grep -E "^[[:alnum:]_][[:alnum:]._:/-]*$" | sort -u
