"""Functions of each shell for files and for names inside images, which shtab's scripts lack.

A shell completes files by itself. It asks this command (`names_inside`) for an argument that names
what is inside an image, and where the word goes on behind the name of a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs.cli.completed import options_with_values, subcommands

if TYPE_CHECKING:
    import argparse

__all__ = ["BEFORE", "COMPLETED_BY", "after"]

COMPLETED_BY = {
    "image": {
        "bash": "_s3archivefs_image_files",
        "zsh": "_s3archivefs_image_files",
        "fish": "(_s3archivefs_image_files)",
    },
    "file": {
        "bash": "_s3archivefs_files",
        "zsh": "_s3archivefs_files",
        "fish": "(_s3archivefs_files)",
    },
    "directory": {
        "bash": "_s3archivefs_dirs",
        "zsh": "_path_files -/",
        "fish": "(_s3archivefs_directories)",
    },
    "inside": {
        "bash": "_s3archivefs_inside",
        "zsh": "_s3archivefs_inside",
        "fish": "(_s3archivefs_inside)",
    },
    "inside or file": {
        "bash": "_s3archivefs_inside_or_here",
        "zsh": "_s3archivefs_inside_or_here",
        "fish": "(_s3archivefs_inside_or_here)",
    },
}
"""By kind of argument and by shell what completes it."""

_BASH = r"""
# The first line that a function writes is an option of complete, for _s3archivefs to set: default
# and dirnames have readline complete, which knows ~, $ and quotes; filenames has it quote names.
_s3archivefs_ask() {
  local word found
  for word in "${words[@]}"; do  # the command expands variables of the environment
    [[ $word =~ \$\{?([A-Za-z_][A-Za-z0-9_]*) ]] && export "${BASH_REMATCH[1]}"
  done
  found=$(s3archivefs completion bash "$@" -- "${words[@]:1}" 2>/dev/null)
  [[ $found ]] && printf '%s\n' :filenames: "$found"
}

_s3archivefs_files() { echo :default:; }
_s3archivefs_dirs() { echo :dirnames:; }
_s3archivefs_inside() { _s3archivefs_ask; }
_s3archivefs_inside_or_here() { _s3archivefs_ask || _s3archivefs_files; }

_s3archivefs_image_files() {
  local file=${words[${#words[@]} - 1]}
  IFS= read file <<<"${file#[\"\']}"  # without its backslashes
  file=${file/#~\//$HOME/}
  while [[ $file == ?*/* ]]; do
    file=${file%/*}
    if [[ -f $file || -f ${file//[\"\']/} || $file == *\$* ]]; then
      _s3archivefs_ask --joined && return
    fi
  done
  _s3archivefs_files
}
"""
_BASH_AFTER = r"""
# Calls shtab's function with words that bash took apart at = and :, options apart from values, and
# without words such as -lh, which hold options or their values.
_s3archivefs() {
  local line=${COMP_LINE:0:COMP_POINT} words=() kept=() last=-1 apart=1 word behind
  for word in "${COMP_WORDS[@]:0:COMP_CWORD}" ""; do
    while [[ $line == [[:blank:]]* ]]; do line=${line:1} apart=1; done
    word=${word:-$line}  # the last as far as it is typed
    [[ $apart ]] && ((last += 1))
    words[last]+=$word line=${line#"$word"} apart=
    [[ $word == *[\<\>] ]] && apart=1
  done
  for word in "${words[@]:0:last}"; do
    case $word in
      --*=*) kept+=("${word%%=*}" "${word#*=}") ;;
      -[!-]?*) ;;
      *) kept+=("$word") ;;
    esac
  done
  word=${words[last]}
  behind=${word%"$2"}  # stays before what readline completes
  if [[ $word == --*=* ]]; then
    kept+=("${word%%=*}")
    word=${word#*=} behind=${behind#*=}
  fi
  kept+=("$word")
  local COMP_WORDS=("${kept[@]}") COMP_CWORD=$((${#kept[@]} - 1))
  _shtab_s3archivefs "$@"
  word=${COMPREPLY-}
  [[ $word == :*: ]] && COMPREPLY=("${COMPREPLY[@]:1}")
  compopt +o filenames 2>/dev/null
  case $word in
    :default: | :dirnames:)
      word=${word//:/}
      compopt -o "$word" 2>/dev/null ||  # bash < 4 has no compopt
        while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -o "$word" -- "$2")
      ;;
    :filenames:)
      compopt -o filenames
      [[ ${#COMPREPLY[@]} == 1 && $COMPREPLY == */ ]] && compopt -o nospace
      ;;
  esac
  IFS= read behind <<<"${behind#[\"\']}"
  COMPREPLY=("${COMPREPLY[@]#"$behind"}")
}

complete -o bashdefault -F _s3archivefs s3archivefs
"""

_ZSH = r"""
# Offers what the command answers, which expands variables of the environment. What stands before
# the last slash stays as it is typed.
_s3archivefs_ask() {
  local -a found names
  local word
  found=(${(f)"$(
    for word in $words; do
      [[ $word =~ '\$\{?([A-Za-z_][A-Za-z0-9_]*)' ]] && export $match[1]
    done
    s3archivefs completion zsh "$@" -- "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null
  )"})
  (( $#found )) || return 1
  if compset -P '*/'; then
    for word in $found; do names+=("${${word%/}##*/}${(M)word%/}"); done
    found=($names)
  fi
  compadd -S '' -- ${(M)found:#*/}
  compadd -- ${found:#*/}
}

_s3archivefs_files() {
  _files || { compset -P '*=' && _files }  # PREFIX=IMAGE
}

_s3archivefs_inside() { _s3archivefs_ask }
_s3archivefs_inside_or_here() { _s3archivefs_ask || _files }

_s3archivefs_image_files() {
  local file=${${(Q)PREFIX}/#\~\//$HOME/}
  while [[ $file == ?*/* ]]; do
    file=${file%/*}
    if [[ -f $file || $file == *\$* ]] && _s3archivefs_ask --joined; then return; fi
  done
  _files
}
"""

_FISH = r"""
function _s3archivefs_ask
  set -l word (commandline -ct)
  set -l variables  # which the command expands
  for name in (string match -r '\$[A-Za-z_][A-Za-z0-9_]*' -- (commandline -opc) $word)
    set name (string sub -s 2 -- $name)
    set -a variables $name="$$name"
  end
  set -l meant (string unescape -- $word); or set meant $word
  env $variables s3archivefs completion fish $argv -- (commandline -opc)[2..] "$meant" 2>/dev/null
end

function _s3archivefs_files
  complete -C "'' "(string replace -r -- '^--[^=]*=' '' (commandline -ct))
end

function _s3archivefs_directories
  _s3archivefs_files | string match -r '.*/$'
end

function _s3archivefs_inside
  _s3archivefs_ask
end

function _s3archivefs_inside_or_here
  _s3archivefs_ask | string match -r '.+'; or _s3archivefs_files
end

function _s3archivefs_image_files
  set -l word (commandline -ct)
  set -l file (string unescape -- $word); or set file $word
  set file (string replace -r '^~/' $HOME/ -- $file)
  while string match -qr './' -- $file
    set file (string replace -r '/[^/]*$' '' -- $file)
    if test -f "$file"; or string match -qr '\$' -- $file
      _s3archivefs_ask --joined | string match -r '.+'; and return
    end
  end
  _s3archivefs_files
end
"""

_FISH_AFTER = """
# shtab has one list for all subcommands, in some of which the same letter is a flag.
functions -e _s3archivefs_scan
functions -c _shtab_s3archivefs_scan _s3archivefs_scan
function _shtab_s3archivefs_scan
  set -l words (commandline -opc)
  switch "$words[2]"
{cases}
  end
  _s3archivefs_scan
end
"""
_FISH_CASE = """\
    case {command}
      set -g _shtab_s3archivefs_opts_with_value {options}
"""


def after(shell: str, parser: argparse.ArgumentParser) -> str:
    """Return what comes behind shtab's script."""
    if shell == "fish":
        cases = [
            _FISH_CASE.format(command=name, options=" ".join(options_with_values(command)))
            for name, command in subcommands(parser).items()
        ]
        return _FISH_AFTER.format(cases="".join(cases).rstrip())
    return _BASH_AFTER if shell == "bash" else ""


BEFORE = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
"""By shell the functions that shtab's script calls."""
