#!/usr/bin/env bash
# A cluster of three Grid silos with PostgreSQL, Redis and HAProxy on this machine, on the loopback interface, without containers.
# For trying, developing and breaking a cluster; not for production. "cluster.sh help" tells how to use it.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
silos=(1 2 3)
PATH=$PATH:/usr/sbin:/sbin # Where Debian has haproxy, and where not every user looks.

usage() {
  cat << 'END'
deploy/cluster.sh COMMAND

  up [--install]   start everything that does not run; --install: install lacking packages first (apt-get)
  status           what runs, what is ready, connections per silo, membership; exit code 0 if all is well
  kill N           kill silo N (SIGKILL), as a crash would
  start N          start silo N
  stop N           drain silo N and stop it (SIGTERM)
  roll             replace silo after silo, each drained first; with what the sources are now
  logs NAME        follow a log: 1, 2, 3, postgres, redis, haproxy
  down [--wipe]    drain and stop everything; --wipe: remove its data, logs and keys too
  help             this

Settings, from the environment, kept by "up" for the other commands:

  GRID_CLUSTER_DIR      where everything is kept       artifacts/cluster of the repository
  GRID_PORT             the balancer, for clients      8080
  GRID_SILO_HTTP_PORT   silo 1's own; 2 and 3 follow   8081
  GRID_SILO_PORT        between silos; 2 and 3 follow  11111
  GRID_POSTGRES_PORT    PostgreSQL                     15432
  GRID_REDIS_PORT       Redis                          16379
  GRID_STATS_PORT       the balancer's own state       8404
  GRID_DRAIN_NOTICE     seconds; see DrainNotice       3
  GRID_DRAIN_SPAN       seconds; see DrainSpan         5
  GRID_HOST_DIR         a built host to run            published from the sources

Other settings of the host (Grid__…, Logging__…) that "up", "start" and "roll" find in the environment reach the silos.
END
}

say() { printf '%s\n' "$*"; }
die() {
  printf 'cluster.sh: %s\n' "$*" >&2
  exit 1
}

# --- Settings ----------------------------------------------------------------------------------------------------------------

declare -A defaults=(
  [GRID_PORT]=8080 [GRID_SILO_HTTP_PORT]=8081 [GRID_SILO_PORT]=11111 [GRID_POSTGRES_PORT]=15432 [GRID_REDIS_PORT]=16379
  [GRID_STATS_PORT]=8404 [GRID_DRAIN_NOTICE]=3 [GRID_DRAIN_SPAN]=5 [GRID_HOST_DIR]=""
)
declare -A setting=()
dir=${GRID_CLUSTER_DIR:-$repo/artifacts/cluster}
case $dir in /*) ;; *) dir=$PWD/$dir ;; esac
state=$dir/run       # Pids, settings, secrets, configurations; for the owner alone.
logs=$dir/logs
data=$dir/data

saved() { [ -f "$state/settings" ] && sed -n "s|^$1=||p" "$state/settings" | head -n 1; }

# What "up" kept wins while something runs: the processes were started with it.
load_settings() {
  local name kept
  for name in "${!defaults[@]}"; do
    kept=$(saved "$name" || true)
    if [ -f "$state/settings" ] && any_running; then
      if [ -n "${!name+set}" ] && [ "${!name}" != "$kept" ]; then
        die "the cluster in $dir runs with $name=${kept:-(nothing)}, not ${!name}. Unset it, or say \"down\" first."
      fi
      setting[$name]=$kept
    else
      setting[$name]=${!name-${kept:-${defaults[$name]}}}
    fi
    case $name in
      GRID_HOST_DIR) ;;
      *) [[ ${setting[$name]} =~ ^[0-9]{1,5}$ ]] || die "$name is '${setting[$name]}', which is no number." ;;
    esac
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

# What the host may need to stop: the notice, the span, and up to 25 s for what comes after.
drain_limit() { echo $((setting[GRID_DRAIN_NOTICE] + setting[GRID_DRAIN_SPAN] + 25 + 10)); }

# --- Processes ---------------------------------------------------------------------------------------------------------------

# When a process started, in ticks since the boot: together with the pid it names one process for ever. Fails if it has ended.
started_at() {
  local stat fields
  stat=$(cat "/proc/$1/stat" 2> /dev/null) || return 1
  read -ra fields <<< "${stat##*) }"
  [ "${fields[0]}" != Z ] && echo "${fields[19]}"
}

# The pid of one of this cluster's processes; fails if it does not run. A pid that was given to another process since is not it.
pid_of() {
  local pid since
  [ -f "$state/$1.pid" ] || return 1
  read -r pid since < "$state/$1.pid" || return 1
  [ "$(started_at "$pid")" = "$since" ] && echo "$pid"
}

any_running() {
  local file
  for file in "$state"/*.pid; do
    if [ -f "$file" ] && pid_of "$(basename "$file" .pid)" > /dev/null; then return; fi
  done
  return 1
}

# launch NAME COMMAND…: starts a process that outlives this shell and its terminal; what it says goes to the log of that name.
launch() {
  local name=$1 pid
  shift
  (exec setsid "$@" < /dev/null >> "$logs/$name.log" 2>&1 9>&-) &
  pid=$!
  echo "$pid $(started_at "$pid" || echo gone)" > "$state/$name.pid"
}

signal() {
  local pid
  if pid=$(pid_of "$1"); then kill "-$2" "$pid" 2> /dev/null || true; fi
}

# until_true SECONDS COMMAND…: asks until it is so; fails when the time is over.
until_true() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.1
  done
}

ended() { ! pid_of "$1" > /dev/null; }

# end NAME SIGNAL SECONDS: asks a process to end, waits for it, and kills it if it does not.
end() {
  ended "$1" || signal "$1" "$2"
  if ! until_true "$3" ended "$1"; then
    say "$1 did not end within $3 s and is killed."
    signal "$1" KILL
    until_true 10 ended "$1" || die "$1 cannot be killed."
  fi
  rm -f "$state/$1.pid"
}

# await NAME SECONDS COMMAND…: waits until a process that was started is of use.
await() {
  local name=$1 limit=$2
  shift 2
  if until_true "$limit" ended_or "$name" "$@" && ! ended "$name"; then return; fi
  tail -n 20 "$logs/$name.log" >&2
  die "$name did not come up; above is the end of $logs/$name.log"
}
ended_or() {
  local name=$1
  shift
  ended "$name" || "$@"
}

port_taken() { (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }

# free_port PORT SETTING: refuses a port that somebody else has.
free_port() {
  if port_taken "$1"; then die "port $1 is in use by another program. Choose another with $2."; fi
}

# --- What has to be there ----------------------------------------------------------------------------------------------------

# Debian keeps the server's programs out of the PATH, in a folder for each version.
postgres_bin() {
  local found
  if found=$(command -v initdb); then
    dirname "$(readlink -f "$found")"
    return
  fi
  found=$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)
  [ -x "$found" ] && dirname "$found"
}

lacking_packages() {
  local pair
  postgres_bin > /dev/null || echo postgresql
  for pair in redis-server:redis-server haproxy:haproxy curl:curl setsid:util-linux setpriv:util-linux flock:util-linux; do
    command -v "${pair%%:*}" > /dev/null || echo "${pair#*:}"
  done
}

require() {
  local lacking sudo=()
  [ "$(uname -s)" = Linux ] || die "this works on Linux only."
  if [ -z "${setting[GRID_HOST_DIR]}" ]; then
    command -v dotnet > /dev/null || die "the .NET SDK of global.json is needed: https://dotnet.microsoft.com/download"
  fi
  lacking=$(lacking_packages | sort -u | tr '\n' ' ')
  [ -n "$lacking" ] || return 0
  [ "$(id -u)" -eq 0 ] || sudo=(sudo)
  if [ "$1" != --install ]; then
    die "these packages are lacking: ${lacking% }. Install them (${sudo[*]:+sudo }apt-get install --no-install-recommends ${lacking% }), or say \"up --install\"."
  fi
  command -v apt-get > /dev/null || die "these packages are lacking, and there is no apt-get to install them with: $lacking"
  "${sudo[@]}" apt-get update -qq
  # shellcheck disable=SC2086 # Words, each a package.
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $lacking
}

make_folders() {
  mkdir -p "$dir"
  umask 077
  mkdir -p "$state" "$logs" "$data"
  # PostgreSQL may run as another user, who must get through to its folder and see nothing on the way.
  chmod 711 "$dir" "$data"
}

# Publishes the host as the sources are now into a folder of its own; what runs keeps the one that it was started from.
build_host() {
  local target platform
  [ -z "${setting[GRID_HOST_DIR]}" ] || return 0
  if [ -e "$dir/host/current" ] && [ -z "$(find "$repo/src" "$repo"/*.props "$repo/global.json" -newer "$dir/host/current/.published" \
    -type f -not -path '*/obj/*' -not -path '*/bin/*' -not -path '*/node_modules/*' -print -quit)" ]; then
    return
  fi
  say "Building the host"
  case $(uname -m) in x86_64) platform=linux-x64 ;; aarch64) platform=linux-arm64 ;; *) die "no build for $(uname -m)." ;; esac
  mkdir -p "$dir/host"
  target=$dir/host/$(date +%s)
  : > "$dir/host/.published"
  DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 dotnet publish "$repo/src/Grid.Host" -c Release -r "$platform" --self-contained false \
    -o "$target" -v quiet -nodeReuse:false 9>&- || die "the host could not be built."
  mv "$dir/host/.published" "$target/"
  ln -sfn "$target" "$dir/host/current"
  # The one before stays for silos that still run it.
  find "$dir/host" -mindepth 1 -maxdepth 1 -type d | sort | head -n -2 | xargs -r rm -rf
}

# --- PostgreSQL, Redis, HAProxy ----------------------------------------------------------------------------------------------

# as_database_user COMMAND…: PostgreSQL refuses to run as root.
as_database_user() {
  if [ "$(id -u)" -eq 0 ]; then
    setpriv --reuid=postgres --regid="$(id -g postgres)" --init-groups --inh-caps=-all -- "$@"
  else
    "$@"
  fi
}

query() {
  PGPASSWORD=$(secret postgres-password) PGCONNECT_TIMEOUT=2 "$(postgres_bin)/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1 \
    -p "${setting[GRID_POSTGRES_PORT]}" -U grid -d "$1" -c "$2"
}
postgres_ready() { query postgres 'select 1' > /dev/null 2>&1; }

make_database() {
  local root=$data/postgres password=$data/postgres/password
  [ ! -d "$root/data" ] || return 0
  rm -rf "$root"
  mkdir -p "$root"
  (umask 077 && secret postgres-password > "$password")
  if [ "$(id -u)" -eq 0 ]; then
    id postgres > /dev/null 2>&1 || die "there is no user 'postgres' for PostgreSQL to run as. Debian's package postgresql makes it."
    chown -R postgres: "$root"
    as_database_user test -x "$root" || die "the user 'postgres' cannot reach $root. Name a folder in GRID_CLUSTER_DIR that all can pass."
  fi
  # Under another name until it is whole, so that a start that was cut off begins anew.
  (cd "$root" && as_database_user "$(postgres_bin)/initdb" -D "$root/new" -U grid --pwfile="$password" --auth=scram-sha-256 \
    --encoding=UTF8 --locale=C --data-checksums --no-instructions) >> "$logs/postgres.log" 2>&1 9>&- || {
    tail -n 10 "$logs/postgres.log" >&2
    die "PostgreSQL's data could not be made."
  }
  rm -f "$password"
  mv "$root/new" "$root/data"
}

start_postgres() {
  ended postgres || return 0
  free_port "${setting[GRID_POSTGRES_PORT]}" GRID_POSTGRES_PORT
  make_database
  # No socket in the file system: the port on loopback, with a password, is the one way in. The log goes to standard error.
  local run=("$(postgres_bin)/postgres" -D "$data/postgres/data" -c listen_addresses=127.0.0.1 -c port="${setting[GRID_POSTGRES_PORT]}"
    -c unix_socket_directories= -c max_connections=300)
  if [ "$(id -u)" -eq 0 ]; then
    run=(setpriv --reuid=postgres --regid="$(id -g postgres)" --init-groups --inh-caps=-all -- "${run[@]}")
  fi
  (cd "$data/postgres/data" 2> /dev/null || cd /; launch postgres "${run[@]}")
  await postgres 60 postgres_ready
  if [ -z "$(query postgres "select 1 from pg_database where datname = 'grid'")" ]; then query postgres 'create database grid'; fi
}

redis_ready() {
  [ "$(REDISCLI_AUTH=$(secret redis-password) redis-cli -h 127.0.0.1 -p "${setting[GRID_REDIS_PORT]}" ping 2> /dev/null)" = PONG ]
}

start_redis() {
  ended redis || return 0
  free_port "${setting[GRID_REDIS_PORT]}" GRID_REDIS_PORT
  mkdir -p "$data/redis"
  cat > "$state/redis.conf" << END
bind 127.0.0.1
port ${setting[GRID_REDIS_PORT]}
requirepass $(secret redis-password)
dir "$data/redis"
# Sessions: a second of them may be lost with the machine, none with the process.
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
END
  launch redis redis-server "$state/redis.conf"
  await redis 30 redis_ready
}

# What the balancer says of silo N: UP, DOWN, …
balancer_says() {
  curl -fsS -m 2 "http://127.0.0.1:${setting[GRID_STATS_PORT]}/;csv" 2> /dev/null | awk -F, -v n="silo-$1" '$1 == "silos" && $2 == n { print $18 }'
}
balancer_has() { [[ $(balancer_says "$1") == UP* ]]; }
balancer_answers() { curl -sS -o /dev/null -m 2 "$(url)/balancerz" 2> /dev/null; }

start_haproxy() {
  ended haproxy || return 0
  local most
  free_port "${setting[GRID_PORT]}" GRID_PORT
  free_port "${setting[GRID_STATS_PORT]}" GRID_STATS_PORT
  # Two descriptors a connection, within what this user may have.
  most=$(ulimit -Hn)
  if [ "$most" = unlimited ] || [ "$most" -gt 40200 ]; then most=20000; else most=$(((most - 200) / 2)); fi
  export GRID_BIND=127.0.0.1:${setting[GRID_PORT]} GRID_STATS_BIND=127.0.0.1:${setting[GRID_STATS_PORT]} GRID_MAXCONN=$most
  export GRID_SILO_1 GRID_SILO_2 GRID_SILO_3
  GRID_SILO_1=127.0.0.1:$(http_port 1) GRID_SILO_2=127.0.0.1:$(http_port 2) GRID_SILO_3=127.0.0.1:$(http_port 3)
  launch haproxy haproxy -db -f "$repo/deploy/haproxy.cfg"
  await haproxy 15 balancer_answers
}

# --- Silos -------------------------------------------------------------------------------------------------------------------

readiness() { curl -sS -m 3 "http://127.0.0.1:$(http_port "$1")/readyz" 2> /dev/null || true; }
silo_ready() { [[ $(readiness "$1") == *'"status":"ready"'* ]]; }

launch_silo() {
  local host=${setting[GRID_HOST_DIR]:-$(readlink -f "$dir/host/current")}
  [ -f "$host/Grid.Host.dll" ] || die "there is no Grid.Host.dll in '$host'. Say \"up\" first."
  free_port "$(http_port "$1")" GRID_SILO_HTTP_PORT
  free_port "$(silo_port "$1")" GRID_SILO_PORT
  (
    # In the environment, not on the command line, which everybody on the machine can read.
    export ConnectionStrings__Postgres ConnectionStrings__Redis Grid__Bootstrap__ApiKey
    ConnectionStrings__Postgres="Host=127.0.0.1;Port=${setting[GRID_POSTGRES_PORT]};Database=grid;Username=grid;Password=$(secret postgres-password)"
    ConnectionStrings__Redis="127.0.0.1:${setting[GRID_REDIS_PORT]},password=$(secret redis-password)"
    Grid__Bootstrap__ApiKey=$(secret api-key)
    export Grid__ClusterId=grid Grid__AdvertisedAddress=127.0.0.1 Grid__SiloPort Grid__DrainNotice Grid__DrainSpan ASPNETCORE_URLS
    Grid__SiloPort=$(silo_port "$1")
    Grid__DrainNotice=$(span "${setting[GRID_DRAIN_NOTICE]}")
    Grid__DrainSpan=$(span "${setting[GRID_DRAIN_SPAN]}")
    ASPNETCORE_URLS=http://127.0.0.1:$(http_port "$1")
    # The balancer alone says who the client is; it throws away what clients claim.
    export ASPNETCORE_FORWARDEDHEADERS_ENABLED=true
    cd "$dir"
    launch "silo-$1" dotnet "$host/Grid.Host.dll"
  )
}

await_silo() {
  await "silo-$1" 90 silo_ready "$1"
  if ! ended haproxy; then until_true 30 balancer_has "$1" || die "silo $1 is ready, but the balancer says that it is $(balancer_says "$1")."; fi
}

start_silo() {
  if ! ended "silo-$1"; then
    say "Silo $1 runs."
    return
  fi
  ended postgres || ended redis && die "PostgreSQL or Redis does not run. Say \"up\"."
  launch_silo "$1"
  await_silo "$1"
  say "Silo $1 is ready."
}

stop_silo() {
  end "silo-$1" TERM "$(drain_limit)"
  say "Silo $1 has drained and stopped."
}

silo_number() {
  [[ ${1-} =~ ^[123]$ ]] || die "name a silo: 1, 2 or 3."
}

# --- Commands ----------------------------------------------------------------------------------------------------------------

up() {
  local n
  case ${1-} in '' | --install) ;; *) die "up takes --install or nothing." ;; esac
  require "${1-}"
  save_settings
  start_postgres
  start_redis
  build_host
  for n in "${silos[@]}"; do
    if ended "silo-$n"; then
      launch_silo "$n"
      # The first makes the schema and the first tenant; the others need not race for it.
      [ "$n" != 1 ] || await silo-1 90 silo_ready 1
    fi
  done
  start_haproxy
  for n in "${silos[@]}"; do await_silo "$n"; done
  cat << END

The cluster is up: three silos behind $(url)

  playground   $(url)/   (open it in two tabs)
  API          $(url)/docs
  dashboard    http://127.0.0.1:$(http_port 1)/dashboard   (any user, the key as password)
  the key      $state/api-key

  KEY=\$(cat "$state/api-key")
  curl -H "Authorization: Bearer \$KEY" -d '{"data":"hello"}' $(url)/v1/channels/room:1/messages

  deploy/cluster.sh status | kill 2 | start 2 | roll | down
END
}

line() { printf '%-10s %-9s %-12s %-26s %s\n' "$@"; }

status() {
  local n pid report word well=0 connections
  line part state pid address ''
  for n in postgres redis haproxy; do
    case $n in
      postgres) report=127.0.0.1:${setting[GRID_POSTGRES_PORT]} word=postgres_ready ;;
      redis) report=127.0.0.1:${setting[GRID_REDIS_PORT]} word=redis_ready ;;
      haproxy) report=$(url) word=balancer_answers ;;
    esac
    if ! pid=$(pid_of "$n"); then
      line "$n" down - "$report" '' && well=1
    elif "$word"; then
      line "$n" up "$pid" "$report" ''
    else
      line "$n" silent "$pid" "$report" '' && well=1
    fi
  done
  for n in "${silos[@]}"; do
    if ! pid=$(pid_of "silo-$n"); then
      line "silo $n" down - "http://127.0.0.1:$(http_port "$n")" '' && well=1
      continue
    fi
    report=$(readiness "$n")
    word=$(sed -n 's/.*"status":"\([A-Za-z]*\)".*/\1/p' <<< "$report")
    [ "$word" = ready ] || well=1
    connections=$(curl -fsS -m 3 "http://127.0.0.1:$(http_port "$n")/metrics" 2> /dev/null |
      awk '/^grid_connections[ {]/ { sub(/\{.*\}/, ""); sum += $2; seen = 1 } END { if (seen) print sum }') || true
    line "silo $n" "${word:-silent}" "$pid" "http://127.0.0.1:$(http_port "$n")" \
      "connections: ${connections:-?}; balancer: $(balancer_says "$n")$([ "$word" = ready ] || sed -n 's/.*"checks":/; checks: /p' <<< "${report%\}}")"
  done
  membership
  return "$well"
}

# Who the silos think belongs to them, from Orleans' membership table, wherever it lies.
membership() {
  local schema
  ended postgres && return
  schema=$(query grid "select schemaname from pg_tables where tablename = 'orleansmembershiptable' limit 1" 2> /dev/null) || return 0
  [ -n "$schema" ] || return 0
  say ''
  say 'membership (the dead of the last hour included)'
  query grid "select '  ' || address || ':' || port || '  ' ||
      (array['none','created','joining','active','shutting down','stopping','dead'])[status + 1] || '  since ' ||
      to_char(starttime, 'YYYY-MM-DD HH24:MI:SS') || ' UTC'
    from \"$schema\".orleansmembershiptable
    where status <> 6 or iamalivetime > (now() at time zone 'utc') - interval '1 hour' order by status, port"
}

roll() {
  local n other
  ended haproxy && die "the cluster does not run. Say \"up\"."
  for n in "${silos[@]}"; do silo_ready "$n" || die "silo $n is not ready: rolling now would leave too few. See \"status\"."; done
  build_host
  for n in "${silos[@]}"; do
    for other in "${silos[@]}"; do
      [ "$other" = "$n" ] || until_true 30 balancer_has "$other" || die "silo $other is not in the balancer any more; stopped before silo $n."
    done
    stop_silo "$n"
    launch_silo "$n"
    await_silo "$n"
    say "Silo $n is ready again."
  done
}

down() {
  local n
  case ${1-} in '' | --wipe) ;; *) die "down takes --wipe or nothing." ;; esac
  # All at once: there is nobody left to take over.
  for n in "${silos[@]}"; do signal "silo-$n" TERM; done
  for n in "${silos[@]}"; do end "silo-$n" TERM "$(drain_limit)"; done
  end haproxy TERM 15
  end redis TERM 30
  end postgres INT 60
  if [ "${1-}" = --wipe ]; then
    rm -rf "$data" "$logs" "$dir/host" "$state"
    rm -f "$dir/lock"
    rmdir "$dir" 2> /dev/null || true
    say "Everything is stopped, and its data is gone."
  else
    say "Everything is stopped; its data stays in $dir."
  fi
}

follow() {
  local name=${1-}
  case $name in 1 | 2 | 3) name=silo-$name ;; postgres | redis | haproxy) ;; *) die "name a log: 1, 2, 3, postgres, redis or haproxy." ;; esac
  [ -f "$logs/$name.log" ] || die "there is no log of it yet."
  exec tail -n 100 -F "$logs/$name.log"
}

# One command at a time changes something.
lock() {
  exec 9> "$dir/lock"
  flock -w 300 9 || die "another command of this cluster still runs."
}

command=${1-help}
[ $# -eq 0 ] || shift
case $command in
  help | -h | --help) usage ;;
  up)
    make_folders
    lock
    load_settings
    up "$@"
    ;;
  down | status | kill | start | stop | roll | logs)
    if [ ! -d "$state" ]; then
      case $command in
        down) say "Nothing runs: there is no cluster in $dir." && exit 0 ;;
        *) die "there is no cluster in $dir. Say \"up\"." ;;
      esac
    fi
    umask 077
    case $command in status | logs) ;; *) lock ;; esac
    load_settings
    case $command in
      down) down "$@" ;;
      status) status ;;
      logs) follow "$@" ;;
      roll) roll ;;
      kill)
        silo_number "$@"
        ended "silo-$1" && die "silo $1 does not run."
        signal "silo-$1" KILL
        until_true 10 ended "silo-$1"
        say "Silo $1 is killed."
        ;;
      start) silo_number "$@" && start_silo "$1" ;;
      stop) silo_number "$@" && stop_silo "$1" ;;
    esac
    ;;
  *)
    usage >&2
    exit 2
    ;;
esac
