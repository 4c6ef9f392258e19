# Sourced by the three programs with $root (the folder above bin/) and $program set: finds a Node that runs them and becomes it.
# One process id from first to last, so that signals sent to the program reach Node.

# Asked of each candidate: that of a project above may be older, and one made for another C library does not start.
is_new_enough() {
  version=$("$1" --version 2>/dev/null) || return 1
  version=${version#v}
  [ "${version%%.*}" -ge 24 ] 2>/dev/null
}

# Sets $node to the first that will do: that of the node package beside or above, else the one on the path.
# Sets $empty to the project whose node package has no Node in it: npm leaves it so where it runs no install scripts.
find_node() {
  empty=
  folder=$root
  while :; do
    node=$folder/node_modules/node/bin/node
    if [ -x "$node" ]; then
      is_new_enough "$node" && return
    elif [ -d "$folder/node_modules/node" ]; then
      empty=${folder%%/node_modules/*}
    fi
    [ -n "$folder" ] || break
    folder=${folder%/*}
  done
  node=$(command -v node) && is_new_enough "$node" && return
  node=
}

# Whether the container or service that this is in may use less than half a GiB of memory, by cgroups of either version.
is_small_container() {
  [ -r /proc/self/cgroup ] || return 1
  while IFS=: read -r _ controllers path; do
    case $controllers in
    '') name=memory.max folder=/sys/fs/cgroup ;;
    memory) name=memory.limit_in_bytes folder=/sys/fs/cgroup/memory ;;
    *) continue ;;
    esac
    for file in "$folder/$name" "$folder$path/$name"; do # a container sees its own at the root
      [ -r "$file" ] && read -r limit <"$file" || continue
      case $limit in
      '' | *[!0-9]*) ;; # max
      *) [ "$limit" -ge 536870912 ] || return 0 ;;
      esac
    done
  done </proc/self/cgroup
  return 1
}

refuse() {
  echo "$program: $1" >&2
  exit 1
}

entry=$root/src/cli/$program.ts
[ -e "$entry" ] || entry=$root/dist/cli/$program.js

if [ -n "${CULVERT_NODE:-}" ]; then
  node=$CULVERT_NODE
  is_new_enough "$node" ||
    refuse "CULVERT_NODE is $node, which is not Node.js 24 or newer or cannot be run: set it to the path of one"
else
  find_node
fi
if [ -z "$node" ]; then
  if [ "$entry" = "$root/src/cli/$program.ts" ]; then
    way="run 'npm ci' in $root,"
  elif [ -n "$empty" ]; then
    way="run 'npm install-scripts approve node && npm rebuild node' in $empty,"
  else
    way=
  fi
  refuse "needs Node.js 24 or newer: install it, ${way:+$way }or set CULVERT_NODE to its path"
fi

# Names resolve in half of the thread pool (dns.lookup), two at a time by default: too few for an agent (src/proxy-agent/lookups.ts).
export UV_THREADPOOL_SIZE="${UV_THREADPOOL_SIZE:-32}"
# Node keeps what it has compiled of a checkout, which it would else strip of its types at every start: 30 MiB that stay resident.
# (Not under a measurement of coverage, which is less precise then. A package has nothing to strip.)
if [ "$entry" = "$root/src/cli/$program.ts" ] && [ -d "$root/node_modules" ] && [ -z "${NODE_V8_COVERAGE:-}" ]; then
  export NODE_COMPILE_CACHE="${NODE_COMPILE_CACHE-$root/node_modules/.cache/culvert}"
fi
# A larger young generation: short-lived buffers of a busy tunnel die before they are copied (bulk +10 %).
# Buffers outside V8's heap count against the size of all, not by themselves: a busy tunnel's otherwise force a full collection
# every 70 ms (processor time of bulk -25 to -50 %, round trips beside it wait a third, resident memory as before).
# The old generation may hold 96 MiB before it is collected: 64 MiB of young buffers, after which V8 looks only at the young, and
# what lives. Below that all is collected several times a second under bulk (uploads 1.2x, processor time of the agent -30 %).
# Garbage may so be 40 MiB more, which would end a program that may have 128 MiB: not in a small container.
old_space=--initial-old-space-size=96
is_small_container && old_space=
# No debugger: Node would open a port for one at SIGUSR1, to whoever is on this machine.
exec "$node" --max-semi-space-size=32 --external-memory-accounted-in-global-limit $old_space --disable-sigusr1 "$entry" "$@"
