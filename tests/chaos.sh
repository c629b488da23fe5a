#!/usr/bin/env bash
# The long chaos run: three silos under load while everything around them breaks, then the judgement of the whole history.
# Usage: tests/chaos.sh [minutes, 30 by default] [seed, by default a random one]. Needs root, for network namespaces; the servers and
# packages that tests/run.sh installs; Linux. The time line is shown as it grows and stays in artifacts/test-results/chaos/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 MSBUILDDISABLENODEREUSE=1
export GRID_CHAOS_MINUTES=${1:-30}
export GRID_SEED=${2:-$((RANDOM * 32768 + RANDOM))}
log=artifacts/test-results/chaos/seed-$GRID_SEED.log

if [ "$(id -u)" -ne 0 ]; then
  echo "The chaos run cuts networks and needs root." >&2
  exit 1
fi
dotnet build tests/Grid.ClusterTests -c Release -v quiet -nodeReuse:false
if [ ! -d src/grid-client-ts/node_modules/ws ]; then
  (cd src/grid-client-ts && npm ci --no-audit --no-fund --loglevel=error)
fi

echo "GRID_SEED=$GRID_SEED, $GRID_CHAOS_MINUTES minutes"
mkdir -p "$(dirname "$log")"
rm -f "$log"
touch "$log"
tail -n +1 -F "$log" 2> /dev/null &
follow=$!
trap 'kill "$follow" 2> /dev/null || true' EXIT

exit_code=0
dotnet test tests/Grid.ClusterTests -c Release --no-build --filter FullyQualifiedName~Chaos.ChaosTests \
  --logger "console;verbosity=minimal" > "$log.out" 2>&1 || exit_code=$?
sleep 1
if [ "$exit_code" -eq 0 ]; then
  echo "CLEAN. GRID_SEED=$GRID_SEED"
else
  echo "FAILED. GRID_SEED=$GRID_SEED; everything that was printed is in $log.out"
fi
exit "$exit_code"
