/**
 * A seller that cheats: it wraps an honest node and changes the first number of an answer after it was signed, keeping
 * the JSON well-formed and every header as it was.
 */
export function cheating(fetch: (request: Request) => Promise<Response>): (request: Request) => Promise<Response> {
  return async (request) => {
    const response = await fetch(request);
    if (response.status !== 200 || !new URL(request.url).pathname.endsWith("/infer")) return response;
    const answer = (await response.json()) as { outputs: { datatype: string; data: number[] }[] };
    for (const output of answer.outputs) {
      const [first = 0] = output.data;
      // Class 1 becomes 0, a probability or score its complement: an answer that a bot would act on.
      output.data[0] = output.datatype === "INT64" ? (first === 0 ? 1 : 0) : 1 - first;
    }
    const headers = new Headers(response.headers);
    headers.delete("content-length");
    return new Response(JSON.stringify(answer), { status: 200, headers });
  };
}
