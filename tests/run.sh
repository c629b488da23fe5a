#!/usr/bin/env bash
# Builds Grid and runs all of its tests: .NET and TypeScript. Installs what they need where it is lacking (Debian and its kin; as
# root, or as a user who may use sudo). The last line is "N passed, N failed"; the exit code is 0 only if something ran and nothing
# failed. Takes names of .NET test projects (Grid.UnitTests …) or "ts" to run only these.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 MSBUILDDISABLENODEREUSE=1
configuration=Release
results=$PWD/artifacts/test-results
per_project_limit=900 # Seconds, twice what a slow machine needs; a run that hangs is a failure, not a wait.
passed=0
failed=0

say() { printf '\n== %s\n' "$*"; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# need COMMAND PACKAGE…: installs the packages unless the command is there.
need() {
  local command=$1
  shift
  command -v "$command" > /dev/null && return
  if ! command -v apt-get > /dev/null; then
    echo "'$command' is missing and there is no apt-get to install it with." >&2
    return 1
  fi
  say "Installing $*"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

# PostgreSQL's server. Debian keeps its programs in a folder for each version.
need_postgres() {
  if ! command -v initdb > /dev/null && ! compgen -G '/usr/lib/postgresql/*/bin/initdb' > /dev/null; then need initdb postgresql; fi
  command -v initdb > /dev/null || PATH=$PATH:$(dirname "$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -n 1)")
}

# kubectl, whose kustomize takes folders as resources from 1.21 on. Debian 12 has 1.20; there another one has to be brought along.
need_kubectl() {
  need kubectl kubernetes-client
  if kubectl version --client --output=yaml 2> /dev/null | grep -Eq '^ +minor: "(1?[0-9]|20)\+?"$'; then
    echo "kubectl is too old to build k8s/, and tests that do will fail: version 1.21 or later is needed, on the PATH." >&2
  fi
}

wanted() {
  local name
  [ "${#only[@]}" -eq 0 ] && return
  for name in "${only[@]}"; do [ "$name" = "$1" ] && return; done
  return 1
}

# The value of an attribute of a .trx file's <Counters>.
counter() { sed -n "s/.*<Counters[^>]* $2=\"\([0-9]*\)\".*/\1/p" "$1" | head -n 1; }

run_dotnet() {
  local project=$1 name trx exit=0
  name=$(basename "$project" .csproj)
  trx=$results/$name.trx
  say "$name"
  timeout --kill-after=10 "$per_project_limit" dotnet test "$project" -c "$configuration" --no-build --results-directory "$results" \
    --logger "console;verbosity=minimal" --logger "trx;LogFileName=$name.trx" 2>&1 | tee "$results/$name.log" || exit=$?
  if [ ! -f "$trx" ]; then
    echo "$name left no results (exit code $exit)."
    failed=$((failed + 1))
    return
  fi
  local ok total bad
  ok=$(counter "$trx" passed)
  total=$(counter "$trx" total)
  # Whatever did not pass has failed: a skipped or aborted test has checked nothing.
  bad=$((total - ok))
  if { [ "$exit" -ne 0 ] || [ -z "$ok" ]; } && [ "$bad" -eq 0 ]; then bad=1; fi
  passed=$((passed + ok))
  failed=$((failed + bad))
}

run_typescript() {
  local log=$results/typescript.log exit=0 ok bad
  say "grid-client-ts"
  cd src/grid-client-ts
  timeout --kill-after=10 "$per_project_limit" npm test 2>&1 | tee "$log" || exit=$?
  # Node's runner ends with "# pass 12" or "ℹ pass 12", by its version.
  ok=$(sed -nE 's/^(#|ℹ) pass ([0-9]+).*/\2/p' "$log" | tail -n 1)
  bad=$(sed -nE 's/^(#|ℹ) (fail|cancelled|skipped|todo) ([0-9]+).*/\3/p' "$log" | awk '{ sum += $1 } END { print sum + 0 }')
  if { [ "$exit" -ne 0 ] || [ -z "$ok" ]; } && [ "$bad" -eq 0 ]; then bad=1; fi
  passed=$((passed + ${ok:-0}))
  failed=$((failed + bad))
  # What is checked in of the build is what the sources make.
  if npm run --silent check; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
  cd - > /dev/null
}

# What failed, once more and in few lines, so that it stands at the end of a long log.
failures() {
  local log
  for log in "$results"/*.log; do
    [ -f "$log" ] || continue
    awk -v name="$(basename "$log" .log)" '
      /^  Failed [^ ]/ || /^ *not ok / { if (!said++) print "\n== Failed in " name; lines = 25 }
      /^(Passed|Failed)! / || /^ *ok / { lines = 0 }
      lines-- > 0 { print }' "$log"
  done
}

finish() {
  [ "$failed" -eq 0 ] || failures
  if [ $((passed + failed)) -eq 0 ]; then echo "Nothing ran."; fi
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}

only=("$@")
if ! command -v dotnet > /dev/null; then
  echo "The .NET SDK of global.json is needed: https://dotnet.microsoft.com/download" >&2
  exit 1
fi
need node nodejs npm
need npm npm
need chromium chromium
# Debian has some servers' programs in folders that are on nobody's path, or on root's alone.
PATH=$PATH:/usr/sbin:/sbin
need redis-server redis-server
need haproxy haproxy
need ip iproute2
need setpriv util-linux
need curl curl
need shellcheck shellcheck
need_postgres
need_kubectl
rm -rf "$results"
mkdir -p "$results"

say "Build"
if ! dotnet build Grid.sln -c "$configuration" -v quiet -nodeReuse:false; then
  failed=1
  finish
  exit 1
fi

# The client's own tests need its packages, and so do the .NET tests that run the client in Node.
if [ -f src/grid-client-ts/package.json ]; then
  say "Packages of grid-client-ts"
  (cd src/grid-client-ts && npm ci --no-audit --no-fund --loglevel=error) || failed=$((failed + 1))
fi

for project in tests/*/*.csproj; do
  grep -q 'Microsoft.NET.Test.Sdk' "$project" || continue
  if wanted "$(basename "$project" .csproj)"; then run_dotnet "$project"; fi
done
if [ -f src/grid-client-ts/package.json ] && wanted ts; then run_typescript; fi

echo
finish
