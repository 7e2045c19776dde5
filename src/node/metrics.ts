import type { Observe } from "./observe.ts";
import { openSocket } from "./socket.ts";

/** What is read when metrics are asked for. */
type Gauges = { inFlight: () => number; proofsPending: () => number };

/** Counts of a node's work, in Prometheus' text format. No label comes from a request. */
export type Metrics = {
  observe: Observe;
  /** Counts a response to a request. */
  responded(request: Request, status: number): void;
  /** Serves `GET /metrics` on loopback. Throws Proof402Error `port_taken`. */
  serve(port: number, gauges: Gauges): Promise<{ address: string; stop(): Promise<void> }>;
};

const METHODS = ["GET", "HEAD", "OPTIONS", "POST"];
/** Status -> why a POST got no answer. */
const REFUSALS: Readonly<Record<number, string>> = {
  400: "request_invalid",
  404: "not_found",
  405: "method_not_allowed",
  410: "answer_gone",
  413: "too_large",
  415: "encoding_unsupported",
  422: "not_computable",
  429: "rate_limited",
  500: "internal",
  502: "facilitator_unusable",
  503: "busy",
};
/** Seconds: small models take milliseconds. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const HOST = "127.0.0.1";

/** Loads prom-client: the caller has checked that it is installed. */
export async function createMetrics(): Promise<Metrics> {
  const { Counter, Gauge, Histogram, Registry } = await import("prom-client");
  const registry = new Registry();
  const registers = [registry];
  const counter = (name: string, help: string, labelNames: string[]) =>
    new Counter({ name: `proof402_${name}`, help, labelNames, registers });
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name: `proof402_${name}`,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  const requests = counter("requests_total", "Requests by method and status.", ["method", "status"]);
  const refused = counter("refused_total", "POST requests without an answer, by reason.", ["code"]);
  const paid = counter("paid_calls_total", "Calls that were paid and answered.", ["model"]);
  const settled = counter("settled_base_units_total", "Money taken, base units of the asset.", ["model", "asset"]);
  const seconds = new Histogram({
    name: "proof402_inference_seconds",
    help: "Time of the model alone.",
    labelNames: ["model"],
    buckets: BUCKETS,
    registers,
  });
  return {
    observe(observation) {
      if (observation.kind === "set_aside") return;
      const { kind, model } = observation;
      if (kind === "computed") return seconds.observe({ model }, observation.seconds);
      paid.inc({ model });
      settled.inc({ model, asset: observation.asset }, Number(observation.amount));
    },
    responded({ method, headers }, status) {
      requests.inc({ method: METHODS.includes(method) ? method : "other", status });
      if (method !== "POST" || status < 400) return;
      const asked = headers.has("payment-signature") ? "payment_refused" : "payment_required";
      refused.inc({ code: status === 402 ? asked : (REFUSALS[status] ?? "other") });
    },
    async serve(port, { inFlight, proofsPending }) {
      gauge("requests_in_flight", "Requests worked on now.", inFlight);
      gauge("proofs_pending", "Answers that wait for their proof.", proofsPending);
      const answer = async (request: Request): Promise<Response> => {
        const { hostname, pathname } = new URL(request.url);
        // A page whose name was made to mean this machine asks under that name.
        if (![HOST, "localhost"].includes(hostname)) return new Response(null, { status: 421 });
        if (request.method !== "GET" || pathname !== "/metrics") return new Response(null, { status: 404 });
        return new Response(await registry.metrics(), { headers: { "content-type": registry.contentType } });
      };
      const { server, sockets, address } = await openSocket(answer, { host: HOST, port }, { field: "metrics.port" });
      const stop = async (): Promise<void> => {
        const ended = new Promise<void>((done) => server.close(() => done()));
        for (const socket of sockets) socket.destroy();
        await ended;
      };
      return { address: `${address}/metrics`, stop };
    },
  };
}
