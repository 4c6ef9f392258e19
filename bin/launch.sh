# Sourced by the three programs with $root (the folder above bin/) and $program set: finds a Node that runs them and becomes it.
# One process id from first to last, so that signals sent to the program reach Node.

node_of() {
  if [ -n "${CULVERT_NODE:-}" ]; then
    printf '%s\n' "$CULVERT_NODE"
    return
  fi
  folder=$root
  while :; do
    if [ -x "$folder/node_modules/node/bin/node" ]; then
      printf '%s\n' "$folder/node_modules/node/bin/node"
      return
    fi
    [ "$folder" = / ] && break
    folder=$(dirname "$folder")
  done
  if found=$(command -v node) && [ "$("$found" -p 'process.versions.node.split(".")[0] >= 24')" = true ]; then
    printf '%s\n' "$found"
  fi
}

node=$(node_of)
if [ -z "$node" ]; then
  echo "$program: needs Node.js 24 or newer: install it, run 'npm ci' in $root, or set CULVERT_NODE to its path" >&2
  exit 1
fi
if ! command -v "$node" >/dev/null 2>&1; then
  echo "$program: CULVERT_NODE is $node, which cannot be run: set it to the path of Node.js 24 or newer" >&2
  exit 1
fi
entry=$root/src/cli/$program.ts
[ -e "$entry" ] || entry=$root/dist/cli/$program.js

# Names resolve in the thread pool (dns.lookup), four at a time by default: too few for an agent.
export UV_THREADPOOL_SIZE="${UV_THREADPOOL_SIZE:-16}"
# A larger young generation: short-lived buffers of a busy tunnel die before they are copied (bulk +10 %).
exec "$node" --max-semi-space-size=32 "$entry" "$@"
