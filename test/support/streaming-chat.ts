import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { requiredHeader, requirementOf } from "./chat-server.ts";
import type { Market } from "./devnet.ts";

/** A seller of chats that is paid first, and then streams frame by frame as the test lets it. */
export type StreamingChat = {
  origin: string;
  stop(): Promise<void>;
  /** Sends the next frames. Text is sent as the content of a delta. */
  say(...frames: (string | object)[]): void;
  /** Ends the stream as it should end, or breaks it off. */
  end(how?: "broken off"): void;
  /** How often it was paid. */
  paid(): number;
};

/** Starts it. Each paid request is one stream; `say` speaks to the newest, and `onStream` hears of each. */
export async function streamingChat(market: Market, onStream?: () => void): Promise<StreamingChat> {
  let paid = 0;
  let stream: ServerResponse | null = null;
  const server = createServer((request, response) => {
    void (async () => {
      if (request.method === "GET") {
        const data = [{ id: "devnet-chat", object: "model", owned_by: "x" }];
        response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ object: "list", data }));
        return;
      }
      request.resume();
      const { "payment-signature": header } = request.headers;
      if (typeof header !== "string") {
        response.writeHead(402, { "payment-required": requiredHeader([requirementOf(market)]) }).end("{}");
        return;
      }
      const paymentPayload = JSON.parse(atob(header)) as Record<string, unknown>;
      const asked = { x402Version: 2, paymentPayload, paymentRequirements: paymentPayload["accepted"] };
      const answer = await fetch(`${market.devnet.facilitatorUrl}/settle`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(asked),
      });
      response.writeHead(200, {
        "content-type": "text/event-stream",
        "payment-response": btoa(JSON.stringify(await answer.json())),
      });
      response.flushHeaders();
      stream = response;
      paid += 1;
      onStream?.();
    })();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const send = (frame: object): void => void stream?.write(`data: ${JSON.stringify(frame)}\n\n`);
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
    say(...frames) {
      for (const frame of frames) {
        const delta = typeof frame === "string" ? { content: frame } : frame;
        send({ model: "devnet-chat", choices: [{ index: 0, delta }] });
      }
    },
    end(how) {
      if (how !== "broken off") {
        const usage = { prompt_tokens: 2, completion_tokens: 3, total_tokens: 5 };
        send({ model: "devnet-chat", choices: [{ index: 0, delta: {}, finish_reason: "stop" }], usage });
        stream?.write("data: [DONE]\n\n");
      }
      stream?.end();
    },
    paid: () => paid,
  };
}
