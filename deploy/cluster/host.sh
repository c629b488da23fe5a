# shellcheck shell=bash
# Part of deploy/cluster.sh: what has to be there first: packages, folders, the host.

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
  # Packages may start servers of their own, which must not hold this cluster's lock.
  "${sudo[@]}" apt-get update -qq 9>&-
  # shellcheck disable=SC2086 # Words, each a package.
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $lacking 9>&-
}

# What holds something and is not marked is not this script's: nothing is made, signalled or removed there.
refuse_others() {
  # In this order: the mark is the first thing that "up" makes, and another one may be at it.
  if [ -n "$(ls -A "$dir" 2> /dev/null)" ] && [ ! -f "$mark" ]; then
    die "$dir is not empty, and no cluster's: it has no file ${mark##*/}. Name another folder in GRID_CLUSTER_DIR," \
      "or, if a cluster of an older version is there, say: touch '$mark'"
  fi
}

make_folders() {
  mkdir -p "$dir"
  umask 077
  : >> "$mark"
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
  # Nothing of the build outlives it: neither MSBuild's nodes nor the compiler's server.
  DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 dotnet publish "$repo/src/Grid.Host" -c Release -r "$platform" --self-contained false \
    -o "$target" -v quiet -nodeReuse:false -p:UseSharedCompilation=false 9>&- || die "the host could not be built."
  mv "$dir/host/.published" "$target/"
  ln -sfn "$target" "$dir/host/current"
  # The one before stays, and so does any that a silo still runs.
  local old
  while IFS= read -r -d '' old; do
    grep -qsF -- "$old/" /proc/[0-9]*/cmdline || rm -rf -- "$old"
  done < <(find "$(readlink -f "$dir/host")" -mindepth 1 -maxdepth 1 -type d -print0 | sort -z | head -z -n -2)
}
