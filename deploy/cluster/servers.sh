# shellcheck shell=bash
# Part of deploy/cluster.sh: PostgreSQL, Redis and HAProxy.

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
  ask -f -m 2 "http://127.0.0.1:${setting[GRID_STATS_PORT]}/;csv" 2> /dev/null | awk -F, -v n="silo-$1" '$1 == "silos" && $2 == n { print $18 }'
}
balancer_has() { [[ $(balancer_says "$1") == UP* ]]; }
balancer_answers() { ask -o /dev/null -m 2 "$(url)/balancerz" 2> /dev/null; }

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
