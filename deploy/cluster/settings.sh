# shellcheck shell=bash
# Part of deploy/cluster.sh: its settings and secrets, and what follows from them.

declare -A defaults=(
  [GRID_PORT]=8080 [GRID_SILO_HTTP_PORT]=8081 [GRID_SILO_PORT]=11111 [GRID_POSTGRES_PORT]=15432 [GRID_REDIS_PORT]=16379
  [GRID_STATS_PORT]=8404 [GRID_DRAIN_NOTICE]=3 [GRID_DRAIN_SPAN]=5 [GRID_HOST_DIR]=""
)
declare -A setting=()
dir=${GRID_CLUSTER_DIR:-$repo/artifacts/cluster}
case $dir in /*) ;; *) dir=$PWD/$dir ;; esac
mark=$dir/.grid-cluster # In every folder that "up" made a cluster's.
state=$dir/run       # Pids, settings, secrets, configurations; for the owner alone.
logs=$dir/logs
data=$dir/data

saved() { [ -f "$state/settings" ] && sed -n "s|^$1=||p" "$state/settings" | head -n 1; }

# plain NAME VALUE: numbers in decimal (bash takes 08080 for octal), the host's folder from the root on.
plain() {
  case $1:$2 in
    GRID_HOST_DIR: | GRID_HOST_DIR:/*) echo "$2" ;;
    GRID_HOST_DIR:*) echo "$PWD/$2" ;;
    *)
      [[ $2 =~ ^[0-9]{1,5}$ ]] || die "$1 is '$2', which is no number."
      echo $((10#$2))
      ;;
  esac
}

# load_settings kept: as "up" kept them; what this shell has in its environment is about another cluster, or the next one.
# load_settings given: the environment's, then what "up" kept. While something runs the two must agree: it was started with the latter.
load_settings() {
  local name kept given
  for name in "${!defaults[@]}"; do
    # A setting that a later version brought was not kept.
    kept=$(saved "$name" || true)
    kept=$(plain "$name" "${kept:-${defaults[$name]}}") || exit 1
    setting[$name]=$kept
    if [ "$1" = kept ] || [ -z "${!name+set}" ]; then continue; fi
    given=$(plain "$name" "${!name}") || exit 1
    if [ "$given" != "$kept" ] && any_running; then
      die "the cluster in $dir runs with $name=${kept:-(nothing)}, not ${given:-(nothing)}. Unset it, or say \"down\" first."
    fi
    setting[$name]=$given
  done
}

save_settings() {
  local name
  for name in "${!defaults[@]}"; do printf '%s=%s\n' "$name" "${setting[$name]}"; done | sort > "$state/settings"
}

# secret NAME: made at random when it is first asked for.
secret() {
  local file=$state/$1
  if [ ! -s "$file" ]; then
    od -An -N 24 -tx1 /dev/urandom | tr -d ' \n' > "$file.new"
    mv "$file.new" "$file"
  fi
  cat "$file"
}

http_port() { echo $((setting[GRID_SILO_HTTP_PORT] + $1 - 1)); }
silo_port() { echo $((setting[GRID_SILO_PORT] + $1 - 1)); }
url() { echo "http://127.0.0.1:${setting[GRID_PORT]}"; }
span() { printf '%02d:%02d:%02d' $(($1 / 3600)) $(($1 / 60 % 60)) $(($1 % 60)); }

# What the host may need to stop: the notice, the span, 5 s for webhooks on their way, and up to 25 s for what comes after.
drain_limit() { echo $((setting[GRID_DRAIN_NOTICE] + setting[GRID_DRAIN_SPAN] + 5 + 25 + 10)); }
