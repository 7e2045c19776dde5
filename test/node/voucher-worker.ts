// A seller in a process of its own, which a test can kill. Reads its options from the environment and says its address.
import { serveLocally } from "../../src/devnet/serve.ts";
import { createInferenceNode, type InferenceNodeOptions } from "../../src/node/index.ts";

const { dies, ...options } = JSON.parse(process.env["PROOF402_TEST_NODE"] ?? "null") as InferenceNodeOptions & {
  /** Dies as processes do, once the answer's payment is taken and before the answer leaves. */
  dies?: boolean;
};
const node = await createInferenceNode(options);
const served = await serveLocally(async (request) => {
  const paid = request.headers.has("payment-signature");
  const response = await node.fetch(request);
  if (dies === true && paid && response.ok) process.kill(process.pid, "SIGKILL");
  return response;
});
process.stdout.write(`${served.origin}\n`);
