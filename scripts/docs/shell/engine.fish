# The operands before the cursor, one a line.
function PREFIX_operands
    set -l words (commandline -opc)
    set -e words[1..FIRST]
    while set -q words[1]
        switch $words[1]
            case --
                set -e words[1]
                break
            case WITH_VALUE
                set -e words[1]
                set -q words[1]; and set -e words[1]
            case '-?*'
                set -e words[1]
            case '*'
                break
        end
    end
    set -q words[1]; and string join -- \n $words
end

# PREFIX_at TEST N [SUBCOMMAND]: compares the number of these operands, within a subcommand.
function PREFIX_at
    set -l words (commandline -opc)
    set -q argv[3]; and test "$words[2]" != $argv[3]; and return 1
    test (count (PREFIX_operands)) $argv[1] $argv[2]
end

# Completes a command that starts behind so many operands.
function PREFIX_list_command
    set -l words (PREFIX_operands) (commandline -ct)
    complete --do-complete=(string join -- ' ' (string escape -- $words[(math $argv[1] + 1)..-2]) "$words[-1]")
end
