# Purchases as a person makes them with the installed tarball. Sourced by .ci/run; `work` is its folder.

# open_market [name [options]]: starts a market in the background, which ends with this shell.
open_market() {
  local name=${1:-market}
  "$work/user/node_modules/.bin/proof402" devnet --dir "$work/$name" "${@:2}" >"$work/$name.log" 2>&1 &
  local market=$!
  # shellcheck disable=SC2064
  trap "kill $market; wait $market || true" EXIT
  until grep -q "Ctrl-C ends it" "$work/$name.log"; do
    kill -0 "$market" || { cat "$work/$name.log"; exit 1; }
    sleep 0.2
  done
}

# purchase <home> <command...>: from an empty home, three commands and no file edited.
purchase() {
  export HOME=$1
  shift
  mkdir "$HOME"
  cd "$HOME"
  "$@" init --network devnet --devnet "$work/market" --wallet file
  "$@" doctor
  "$@" buy eth-risk --input '{"features":[-0.012,-0.034,-0.081,0.62,0.74,-0.19,1.8,0.21]}' --wait verified | tee bought
  grep -q '^VERIFIED' bought
}

first_purchase() {
  open_market
  local id started=$SECONDS
  purchase "$work/newcomer" "$work/user/node_modules/.bin/proof402"
  [ $((SECONDS - started)) -lt 60 ] || { echo "three commands took a minute"; exit 1; }
  id=$("$work/user/node_modules/.bin/proof402" receipts list --json | node -p 'JSON.parse(fs.readFileSync(0)).receipts[0].id')
  "$work/user/node_modules/.bin/proof402" receipts export "$id" "$work/receipt.json"
  "$work/user/node_modules/.bin/proof402" trust export --reported-suffices "$work/trust.json"
}

# The same in other runtimes. npm has them as packages.
install_runtimes() {
  mkdir "$work/runtimes"
  cd "$work/runtimes"
  printf '{"private":true}\n' >package.json
  local node="node-linux-$(node -p process.arch)"
  npm install --silent --no-save bun@1.4.5 "node22@npm:$node@22" "node24@npm:$node@24"
}
other_runtimes() {
  local runtimes=$work/runtimes/node_modules main=$work/user/node_modules/proof402/dist/src/cli/main.js runtime
  open_market
  for runtime in node22/bin/node node24/bin/node bun/bin/bun.exe; do
    printf '%s %s\n' "$runtime" "$("$runtimes/$runtime" --version)"
    (cd "$work/user" && "$runtimes/$runtime" import-entries.mjs with-peers)
    purchase "$work/${runtime%%/*}" "$runtimes/$runtime" "$main"
    "$runtimes/$runtime" "$main" verify "$work/receipt.json" --trust "$work/trust.json" >/dev/null
  done
}

# LangChain 0.3 beside the tarball: no conflict of peers, its tools verify a receipt, and its chat model buys.
older_langchain() {
  mkdir "$work/older"
  cd "$work/older"
  cp "$work/user/package.json" "$root/.ci/langchain-tools.mjs" "$root/.ci/langchain-chat.mjs" .
  npm install --silent --no-save "$work"/proof402-*.tgz langchain@0.3 @langchain/core@0.3 @langchain/langgraph@0.4
  PROOF402_CONFIG=$work/newcomer/.proof402/proof402.config.json node langchain-tools.mjs "$work/receipt.json"
  open_market chats --chat
  PROOF402_CONFIG=$work/chats/proof402.config.json node langchain-chat.mjs
}

# A CommonJS bundle of the library: opens a buyer and verifies a receipt.
commonjs_bundle() {
  cd "$work/user"
  cp "$root/.ci/bundled.mjs" .
  "$root/node_modules/.bin/esbuild" bundled.mjs --bundle --platform=node --format=cjs --external:libsql --outfile=bundled.cjs
  PROOF402_CONFIG=$work/newcomer/.proof402/proof402.config.json node bundled.cjs "$work/receipt.json" "$work/trust.json"
}

export -f open_market purchase first_purchase install_runtimes other_runtimes older_langchain commonjs_bundle
