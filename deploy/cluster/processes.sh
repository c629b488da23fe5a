# shellcheck shell=bash
# Part of deploy/cluster.sh: processes that outlive the shell, and are never taken for others.

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

# On loopback, past any proxy that the environment names.
ask() { curl -sS --noproxy '*' "$@"; }

port_taken() { (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }

# free_port PORT SETTING: refuses a port that somebody else has.
free_port() {
  if port_taken "$1"; then die "port $1 is in use by another program. Choose another with $2."; fi
}
