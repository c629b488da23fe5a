#!/usr/bin/env bash
# Compares the server of two commits: both are built in worktrees of their own, and one generator, that of this working tree, loads them
# in turns (A B A B) in one run. Prints ratios, with the range of the pairs, and a table.
#
#   tests/compare.sh COMMIT_A COMMIT_B [BENCHMARK ARGUMENTS]
#   tests/compare.sh main HEAD
#   tests/compare.sh v1 HEAD rooms --only-closed --pairs 5 --threshold 1.05
#   tests/compare.sh main HEAD fanout --silos 2 --window 64 --chart compare.svg
#
# The arguments are a verb of tests/Grid.Benchmarks that takes --hosts (fanout, rooms, publish, idle, history) and its options; without
# them it is "short": fan-out, rooms and publishes, about five minutes. A commit may also be "." for the working tree as it is.
#
# Exit code: 0; 3 when B needed more server CPU for the same work than A by more than the threshold (--threshold, a factor, 1.10 if left
# out) in the median of the pairs of any row; 1 when something could not be built or measured; 64 for bad arguments.
set -euo pipefail

if [ $# -lt 2 ] || [ "${1#-}" != "$1" ]; then
  sed -n '2,/^set -/p' "${BASH_SOURCE[0]}" | sed -e '/^set -/d' -e 's/^# \{0,1\}//' >&2
  exit 64
fi

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
a=$1
b=$2
shift 2
if [ $# -eq 0 ]; then set -- short; fi
case " $* " in *" --threshold "*) ;; *) set -- "$@" --threshold 1.10 ;; esac
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 MSBUILDDISABLENODEREUSE=1

work=$(mktemp -d)
clean_up() {
  local side
  for side in a b; do
    if [ -e "$work/$side/.git" ]; then git -C "$root" worktree remove --force "$work/$side" || true; fi
  done
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

for commit in "$a" "$b"; do
  [ "$commit" = . ] && continue
  git -C "$root" rev-parse --verify --quiet "$commit^{commit}" > /dev/null || { echo "'$commit' is no commit." >&2; exit 64; }
done

# build SIDE COMMIT: leaves the path of its server in $host.
build() {
  local tree=$root
  if [ "$2" != . ]; then
    tree=$work/$1
    git -C "$root" worktree add --quiet --detach "$tree" "$2^{commit}"
  fi
  echo "$1: $(if [ "$2" = . ]; then echo "the working tree, on $(git -C "$root" log -1 --format='%h %s')"; else git -C "$tree" log -1 --format='%h %s'; fi)"
  quietly dotnet build "$tree/src/Grid.Host" -c Release -v quiet -p:UseSharedCompilation=false
  host=$(compgen -G "$tree/src/Grid.Host/bin/Release/net*/Grid.Host.dll" | head -n 1)
}

# Runs a command and shows what it printed only if it failed.
quietly() {
  if ! "$@" > "$work/log" 2>&1; then
    cat "$work/log" >&2
    exit 1
  fi
}

build a "$a"
host_a=$host
build b "$b"
host_b=$host
quietly dotnet build "$root/tests/Grid.Benchmarks" -c Release -v quiet -p:UseSharedCompilation=false
dll=$(compgen -G "$root/tests/Grid.Benchmarks/bin/Release/net*/Grid.Benchmarks.dll" | head -n 1)
# In the background, so that a signal to this script reaches it at once; it takes its servers with it.
dotnet "$dll" "$@" --hosts "A=$host_a,B=$host_b" &
generator=$!
trap 'kill "$generator" 2> /dev/null || true; wait "$generator" || true; exit 130' INT TERM
wait "$generator"
