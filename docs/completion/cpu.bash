# Completion of cpu for bash. Made by npm run docs.
# Source it, or copy it to ~/.local/share/bash-completion/completions/cpu

_cpu_list_host() {
  sh -c 'case $XDG_RUNTIME_DIR in
/*) run=$XDG_RUNTIME_DIR/cpu-harness ;;
*) run=/tmp/cpu-harness-$(id -u) ;;
esac
{
  sed -n "s/^[[:space:]]*[Hh][Oo][Ss][Tt][[:space:]=]\{1,\}//p" \
    "$run"/*/ssh_config ~/.ssh/config /etc/ssh/ssh_config
  sed "s/^@[^ ]* //; s/[[:space:]].*//; s/\[\([^]]*\)\]:[0-9]*/\1/g" \
    ~/.ssh/known_hosts ~/.ssh/known_hosts2 /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2
} 2>/dev/null | tr -s "[:space:]," "\n" | grep -E "^[[:alnum:]_][[:alnum:]._:/-]*$" | sort -u'
}

# _cpu_value COMMAND FLAG TEXT [PREFIX]: what the text can become.
_cpu_value() {
  case "$1 $2" in
    'cpu net') compgen -P "$4" -W 'tcp tcp4 tcp6 unix unix-vsock vsock' -- "$3" ;;
    'cpu files') compgen -P "$4" -W 'auto fuse 9p none' -- "$3" ;;
    'cpu export') compgen -P "$4" -W 'namespace all' -- "$3" ;;
    'cpu cache') compgen -P "$4" -W 'strict auto always none readahead mmap loose' -- "$3" ;;
    'cpu tty') compgen -P "$4" -W 'auto force no' -- "$3" ;;
    *) [[ $with_value == *" $2 "* ]] || compgen -P "$4" -W 'true false' -- "$3" ;;
  esac
}

# _cpu_complete COMMAND FIRST FLAGS WITH_VALUE OPERANDS: completes the words from word FIRST on, before which are
# those of the command itself. Bash breaks words at = : and @: here they are put together, and what readline keeps of
# the last one (all before the break; an @ belongs to what follows) is taken off the answers. Where there are none,
# readline completes names of files.
_cpu_complete() {
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
      _cpu_value "$command" "$flag" "$cur"
    elif [[ -z $over && $cur == -*=* ]]; then
      flag=${cur%%=*}
      flag=${flag#-}
      _cpu_value "$command" "${flag#-}" "${cur#*=}" "${cur%%=*}="
    elif [[ -z $over && $cur == -* ]]; then
      word=
      [[ $cur == --* ]] && word=-
      compgen -P "$word" -W "$flags" -- "${cur#"$word"}"
    else
      case $operand in
        (host) compgen -P "${cur%"${cur##*@}"}" -W "$(_cpu_list_host)" -- "${cur##*@}" ;;
        (machine) compgen -W "$(_cpu_list_machine)" -- "$cur" ;;
        (command) ((i == last)) && compgen -c -- "$cur" ;;
      esac
    fi
  )
}

_cpu() {
  COMPREPLY=()
  _cpu_complete 'cpu' 1 '-net -sp -key -useKey=false -hk -user -files -9p=false -namespace -fstab -fstab-strict -root -ro -export -ssh -env -cd -cache -msize -mountopts -direct=false -srv -srv-open -tty -timeout -timeout9p -dry-run -v -d -dbg9p -dump -version -help' 'net sp key hk user files namespace fstab root export env cd cache msize mountopts srv tty timeout timeout9p dump' 'host command'
}

complete -o default -F _cpu cpu
