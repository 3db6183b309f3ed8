# Completion of cpu-vm for bash. Made by npm run docs.
# Source it, or copy it to ~/.local/share/bash-completion/completions/cpu-vm

_cpu_vm_list_machine() {
  sh -c 'case $XDG_RUNTIME_DIR in
/*) run=$XDG_RUNTIME_DIR/cpu-harness ;;
*) run=/tmp/cpu-harness-$(id -u) ;;
esac
for state in "$run"/*/machine.json; do
  [ -f "$state" ] && basename "$(dirname "$state")"
done | grep -E "^[[:alnum:]][[:alnum:]._-]*$"'
}

# _cpu_vm_value COMMAND FLAG TEXT [PREFIX]: what the text can become.
_cpu_vm_value() {
  case "$1 $2" in
    'cpu-vm start arch') compgen -P "$4" -W 'x86_64 aarch64' -- "$3" ;;
    'cpu-vm start machine') compgen -P "$4" -W 'q35 microvm virt' -- "$3" ;;
    'cpu-vm start net') compgen -P "$4" -W 'auto vsock vhost-user tcp serial both none' -- "$3" ;;
    'cpu-vm start accel') compgen -P "$4" -W 'auto kvm tcg' -- "$3" ;;
    'cpu-vm run arch') compgen -P "$4" -W 'x86_64 aarch64' -- "$3" ;;
    'cpu-vm run machine') compgen -P "$4" -W 'q35 microvm virt' -- "$3" ;;
    'cpu-vm run net') compgen -P "$4" -W 'auto vsock vhost-user tcp serial both none' -- "$3" ;;
    'cpu-vm run accel') compgen -P "$4" -W 'auto kvm tcg' -- "$3" ;;
    'cpu-vm run snapshot') compgen -P "$4" -W 'auto never' -- "$3" ;;
    'cpu-vm image arch') compgen -P "$4" -W 'x86_64 aarch64' -- "$3" ;;
    *) [[ $with_value == *" $2 "* ]] || compgen -P "$4" -W 'true false' -- "$3" ;;
  esac
}

# _cpu_vm_complete COMMAND FIRST FLAGS WITH_VALUE OPERANDS: completes the words from word FIRST on, before which are
# those of the command itself. Bash breaks words at = : and @: here they are put together, and what readline keeps of
# the last one (all before the break; an @ belongs to what follows) is taken off the answers. Where there are none,
# readline completes names of files.
_cpu_vm_complete() {
  local command=$1 flags=$3 with_value=" $4 " operands=($5)
  local words=() places=() word i last cur kept flag= over= count=0 operand
  for ((i = $2; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    last=$((${#words[@]} - 1))
    if ((last >= 0)) && [[ $word == [=:@]* || ${words[last]} == *[=:@] ]]; then
      words[last]+=$word
    else
      words+=("$word")
      places+=("$i")
    fi
  done
  last=$((${#words[@]} - 1))
  cur=${words[last]}
  kept=$cur
  [[ $word == [=:@]* ]] || kept=${cur%"$word"}
  kept=${kept%@}
  operand=${operands[0]-}
  for ((i = 0; i < last; i++)); do
    word=${words[i]}
    if [[ -n $flag ]]; then
      flag=
    elif [[ -z $over && $word == -- ]]; then
      over=1
    elif [[ -z $over && $word == -?* ]]; then
      word=${word#-}
      word=${word#-}
      [[ $with_value == *" $word "* ]] && flag=$word
    else
      over=1
      [[ $operand == command ]] && break
      ((++count < ${#operands[@]})) && operand=${operands[count]}
    fi
  done
  if [[ -z $flag && $operand == command && (-n $over || $cur != -*) ]] && declare -F _command_offset >/dev/null; then
    _command_offset "${places[i]}"
    return
  fi
  while IFS= read -r word; do
    COMPREPLY+=("${word#"$kept"}")
  done < <(
    if [[ -n $flag ]]; then
      _cpu_vm_value "$command" "$flag" "$cur"
    elif [[ -z $over && $cur == -*=* ]]; then
      flag=${cur%%=*}
      flag=${flag#-}
      _cpu_vm_value "$command" "${flag#-}" "${cur#*=}" "${cur%%=*}="
    elif [[ -z $over && $cur == -* ]]; then
      word=
      [[ $cur == --* ]] && word=-
      compgen -P "$word" -W "$flags" -- "${cur#"$word"}"
    else
      case $operand in
        (host) compgen -P "${cur%"${cur##*@}"}" -W "$(_cpu_vm_list_host)" -- "${cur##*@}" ;;
        (machine) compgen -W "$(_cpu_vm_list_machine)" -- "$cur" ;;
        (command) ((i == last)) && compgen -c -- "$cur" ;;
      esac
    fi
  )
}

_cpu_vm() {
  COMPREPLY=()
  case "$COMP_CWORD ${COMP_WORDS[1]}" in
    '1 '*) COMPREPLY=($(compgen -W 'start run test config exec console log wait stop list kernel image doctor' -- "${COMP_WORDS[1]}")) ;;
    *' start') _cpu_vm_complete 'cpu-vm start' 2 '-name -arch -kernel -modules -module -machine -append -memory -cpus -share -disk -root -net -accel -nested -boot-timeout -gdb -debug -qemu-arg -keep -dry-run -v -help' 'name arch kernel modules module machine append memory cpus share disk root net accel boot-timeout qemu-arg' '' ;;
    *' run') _cpu_vm_complete 'cpu-vm run' 2 '-name -arch -kernel -modules -module -machine -append -memory -cpus -share -disk -root -net -accel -nested -boot-timeout -gdb -debug -qemu-arg -keep -dry-run -namespace -fstab -timeout -fail-on-oops=false -fail-on-warning -snapshot -result -v -help' 'name arch kernel modules module machine append memory cpus share disk root net accel boot-timeout qemu-arg namespace fstab timeout snapshot result' 'command' ;;
    *' test') _cpu_vm_complete 'cpu-vm test' 2 '-only -fail-fast -timeout -jobs -memory-budget -junit -json -output -list -dry-run -v -help' 'only timeout jobs memory-budget junit json output' 'file' ;;
    *' config') _cpu_vm_complete 'cpu-vm config' 2 '-json -v -help' '' '' ;;
    *' exec') _cpu_vm_complete 'cpu-vm exec' 2 '-namespace -fstab -timeout -v -help' 'namespace fstab timeout' 'machine command' ;;
    *' console') _cpu_vm_complete 'cpu-vm console' 2 '-monitor -v -help' '' 'machine' ;;
    *' log') _cpu_vm_complete 'cpu-vm log' 2 '-f -v -help' '' 'machine' ;;
    *' wait') _cpu_vm_complete 'cpu-vm wait' 2 '-ended -timeout -v -help' 'timeout' 'machine' ;;
    *' stop') _cpu_vm_complete 'cpu-vm stop' 2 '-v -help' '' 'machine' ;;
    *' list') _cpu_vm_complete 'cpu-vm list' 2 '-json -v -help' '' '' ;;
    *' kernel') _cpu_vm_complete 'cpu-vm kernel' 2 '-fetch -json -v -help' 'fetch' 'file' ;;
    *' image') _cpu_vm_complete 'cpu-vm image' 2 '-arch -kernel -modules -module -list -o -keys -hk -hostname -json -v -help' 'arch kernel modules module o keys hk hostname' '' ;;
    *' doctor') _cpu_vm_complete 'cpu-vm doctor' 2 '-json -v -help' '' '' ;;
  esac
}

complete -o default -F _cpu_vm cpu-vm
