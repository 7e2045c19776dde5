import { serveLocally, type Served } from "../../src/devnet/index.ts";

/** A server before another that answers some paths itself, and passes the rest on as it is. */
export const infront = (
  origin: string,
  answer: (path: string, request: Request) => Promise<Response | null>,
): Promise<Served> =>
  serveLocally(async (request) => {
    const { pathname, search } = new URL(request.url);
    const own = await answer(pathname, request);
    if (own !== null) return own;
    const asked = new Headers(request.headers);
    for (const name of ["host", "connection", "content-length"]) asked.delete(name);
    const body = request.method === "POST" ? { body: await request.arrayBuffer() } : {};
    const answered = await fetch(`${origin}${pathname}${search}`, { method: request.method, headers: asked, ...body });
    const headers = new Headers(answered.headers);
    for (const name of ["content-encoding", "content-length", "connection", "transfer-encoding"]) headers.delete(name);
    return new Response(await answered.arrayBuffer(), { status: answered.status, headers });
  });
