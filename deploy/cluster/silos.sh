# shellcheck shell=bash
# Part of deploy/cluster.sh: the silos.

readiness() { ask -m 3 "http://127.0.0.1:$(http_port "$1")/readyz" 2> /dev/null || true; }
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
