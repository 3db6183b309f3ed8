case $XDG_RUNTIME_DIR in
/*) run=RUNTIME_DIRECTORY ;;
*) run=FALLBACK_DIRECTORY ;;
esac
for state in "$run"/MACHINE_STATE; do
  [ -f "$state" ] && basename "$(dirname "$state")"
done | grep -E "^[[:alnum:]][[:alnum:]._-]*$"
