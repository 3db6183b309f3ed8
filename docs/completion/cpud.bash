# Completion of cpud for bash. Made by npm run docs.
# Source it, or copy it to ~/.local/share/bash-completion/completions/cpud

# _cpud_value COMMAND FLAG TEXT [PREFIX]: what the text can become.
_cpud_value() {
  case "$1 $2" in
    'cpud net') compgen -P "$4" -W 'tcp tcp4 tcp6 unix unix-vsock vsock' -- "$3" ;;
    *) [[ $with_value == *" $2 "* ]] || compgen -P "$4" -W 'true false' -- "$3" ;;
  esac
}

# _cpud_complete COMMAND FIRST FLAGS WITH_VALUE OPERANDS: completes the words from word FIRST on, before which are
# those of the command itself. Bash breaks words at = : and @: here they are put together, and what readline keeps of
# the last one (all before the break; an @ belongs to what follows) is taken off the answers. Where there are none,
# readline completes names of files.
_cpud_complete() {
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
      _cpud_value "$command" "$flag" "$cur"
    elif [[ -z $over && $cur == -*=* ]]; then
      flag=${cur%%=*}
      flag=${flag#-}
      _cpud_value "$command" "${flag#-}" "${cur#*=}" "${cur%%=*}="
    elif [[ -z $over && $cur == -* ]]; then
      word=
      [[ $cur == --* ]] && word=-
      compgen -P "$word" -W "$flags" -- "${cur#"$word"}"
    else
      case $operand in
        (host) compgen -P "${cur%"${cur##*@}"}" -W "$(_cpud_list_host)" -- "${cur##*@}" ;;
        (machine) compgen -W "$(_cpud_list_machine)" -- "$cur" ;;
        (command) ((i == last)) && compgen -c -- "$cur" ;;
      esac
    fi
  )
}

_cpud() {
  COMPREPLY=()
  _cpud_complete 'cpud' 1 '-net -addr -sp -pk -hk -insecure-no-auth -user -login-grace -max-startups -register -registerTO -klog -init -d -version -help' 'net addr sp pk hk user login-grace max-startups register registerTO' ''
}

complete -o default -F _cpud cpud
