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

Settings, from the environment, kept by "up" for the other commands; while the cluster runs, those that were kept count:

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

# shellcheck source=cluster/settings.sh
source "$repo/deploy/cluster/settings.sh"
# shellcheck source=cluster/processes.sh
source "$repo/deploy/cluster/processes.sh"
# shellcheck source=cluster/host.sh
source "$repo/deploy/cluster/host.sh"
# shellcheck source=cluster/servers.sh
source "$repo/deploy/cluster/servers.sh"
# shellcheck source=cluster/silos.sh
source "$repo/deploy/cluster/silos.sh"

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
    connections=$(ask -f -m 3 "http://127.0.0.1:$(http_port "$n")/metrics" 2> /dev/null |
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
    rm -f "$dir/lock" "$mark"
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
    refuse_others
    make_folders
    lock
    load_settings given
    up "$@"
    ;;
  down | status | kill | start | stop | roll | logs)
    refuse_others
    if [ ! -f "$mark" ]; then
      case $command in
        down) say "Nothing runs: there is no cluster in $dir." && exit 0 ;;
        *) die "there is no cluster in $dir. Say \"up\"." ;;
      esac
    fi
    umask 077
    case $command in status | logs) ;; *) lock ;; esac
    case $command in start | roll) load_settings given ;; *) load_settings kept ;; esac
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
