#!/usr/bin/env bash
# Packs the MCP server as an MCP bundle, for this machine's kind of system: it holds a native database.
# bundle.sh <file.mcpb> [tarball of npm pack]
set -euo pipefail
out=$(realpath -m "$1")
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tarball=${2:-}
if [ -z "$tarball" ]; then
  (cd "$root" && npm pack --silent --pack-destination "$work" >/dev/null)
  tarball=$(echo "$work"/proof402-*.tgz)
fi
mkdir "$work/bundle"
cp "$root/mcpb/manifest.json" "$work/bundle/"
printf '{"name":"bundle","private":true}\n' >"$work/bundle/package.json"
(cd "$work/bundle" && npm install --silent --no-save --omit=peer --ignore-scripts "$tarball")
find "$work/bundle/node_modules" \( -name '*.map' -o -name '*.d.ts' -o -name '*.md' \) -delete
npx -y @anthropic-ai/mcpb@2.1.2 validate "$work/bundle/manifest.json"
npx -y @anthropic-ai/mcpb@2.1.2 pack "$work/bundle" "$out" >/dev/null
printf '%s: %d MB\n' "$out" $(($(stat -c %s "$out") >> 20))
