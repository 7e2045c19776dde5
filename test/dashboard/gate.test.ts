import { rename } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Dashboard } from "../../src/dashboard/serve.ts";
import { openPlace, send, signIn, stateOf, type Owner, type Place } from "./owner.ts";

let place: Place;
let dashboard: Dashboard;
let owner: Owner;
beforeAll(async () => {
  place = await openPlace();
  dashboard = await place.serve({ allowApprovals: true });
  owner = await signIn(dashboard.url);
});
afterAll(() => place.stop());

const HOSTILE = `"><script>alert(1)</script>\u202Egnp=cmd|' /C calc'!A1`;

describe("the owner's pages let in", () => {
  test("whoever signed in with the printed address, which holds the token after its #", async () => {
    expect(dashboard.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/#[\w-]{43}$/);
    expect(dashboard.approvalUrl("ab12")).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/approvals\/ab12#[\w-]{43}$/);
    expect(await owner.get("/receipts")).toMatchObject({ status: 200 });
    const { headers } = await owner.get("/receipts");
    expect(headers).toMatchObject({
      "cache-control": "no-store",
      "referrer-policy": "no-referrer",
      "x-content-type-options": "nosniff",
    });
    expect(headers["content-security-policy"]).toMatch(
      /^default-src 'none'; script-src 'self'; .*frame-ancestors 'none'$/,
    );
    expect(headers["content-security-policy"]).not.toContain("unsafe");
  });

  test("no browser without a session, and tell it nothing", async () => {
    const id = await place.ask();
    const { origin, at, cookie } = owner;
    const [name = ""] = cookie.split("=");
    const other = await signIn((await place.serve()).url);
    for (const [path, headers] of [
      [`${at}/receipts`, {}],
      [`${at}/approvals/${id}`, {}],
      [`${at}/style.css`, {}],
      [`${at}/receipts`, { cookie: `${name}=wrong` }],
      [`${at}/receipts`, { cookie: `${name}=` }],
      // Another server's session, as a browser sends it to each port.
      [`${at}/receipts`, { cookie: `${name}=${other.cookie.split("=")[1]}` }],
      // A link on another page, in a browser that sends the cookie all the same.
      [`${at}/receipts`, { cookie, "sec-fetch-site": "cross-site" }],
      [`${at}/receipts`, { cookie, "sec-fetch-site": "same-site" }],
      ["/receipts", { cookie }],
      ["/style.css", {}],
    ] as const) {
      const answer = await send(`${origin}${path}`, { headers });
      expect(answer, path).toMatchObject({
        status: 401,
        text: "Not signed in. Open the address that proof402 printed.\n",
      });
    }
    const shell = await send(`${origin}/approvals/${id}`);
    expect(shell.text).toBe((await send(`${origin}/`)).text);
    expect(shell.text).not.toContain(id);
  });

  test("no wrong token, and keep the cookie below a path that no other server knows", async () => {
    const { origin } = owner;
    const body = (token: unknown): string => JSON.stringify({ token });
    const headers = { origin, "content-type": "application/json" };
    for (const token of ["", "wrong", dashboard.url.split("#")[1]?.slice(1), 7, null])
      expect(await send(`${origin}/sign-in`, { method: "POST", headers, body: body(token) })).toMatchObject({
        status: 401,
      });
    const right = body(dashboard.url.split("#")[1]);
    const plain = { origin, "content-type": "text/plain" };
    expect(await send(`${origin}/sign-in`, { method: "POST", headers: plain, body: right })).toMatchObject({
      status: 400,
    });
    const { headers: answered } = await send(`${origin}/sign-in`, { method: "POST", headers, body: right });
    expect(String(answered["set-cookie"])).toMatch(
      new RegExp(`^proof402_${new URL(origin).port}=[\\w-]{43}; Path=${owner.at}; HttpOnly; SameSite=Strict$`),
    );
    expect(owner.at).toMatch(/^\/[\w-]{22}$/);
  });

  test("no token twice, and a new one after each use", async () => {
    const first = dashboard.url;
    expect((await signIn(first)).at).toBe(owner.at);
    expect(dashboard.url).not.toBe(first);
    await expect(signIn(first)).rejects.toThrow(SyntaxError);
    expect((await signIn(dashboard.url)).at).toBe(owner.at);
  });

  test("the address of one payment to that payment alone, once, until its question ends", async () => {
    const [id, another] = [await place.ask(), await place.ask()];
    const address = dashboard.approvalUrl(id);
    const person = await signIn(address);
    await expect(signIn(address)).rejects.toThrow(SyntaxError);
    const page = await person.get(`/approvals/${id}`);
    expect(page.status).toBe(200);
    expect(page.text).not.toContain("/receipts");
    for (const path of ["/", "/receipts", "/receipts.csv", "/approvals", `/approvals/${another}`, "/spending", "/news"])
      expect(await person.get(path), path).toMatchObject({ status: 401 });
    expect(await person.press(`/approvals/${another}`, "approved", page)).toMatchObject({ status: 401 });
    expect(await person.press(`/approvals/${id}`, "declined", page)).toMatchObject({ status: 303 });
    expect(await stateOf(place.db, id)).toBe("declined");
    expect(await stateOf(place.db, another)).toBe("open");
    expect(await person.get(`/approvals/${id}/answered`)).toMatchObject({ status: 200 });
    // Late: neither its token nor its session is good any more.
    const [replaced, late] = [dashboard.approvalUrl(another), dashboard.approvalUrl(another)];
    await expect(signIn(replaced)).rejects.toThrow(SyntaxError);
    const short = dashboard.approvalUrl(id, place.clock.now);
    await expect(signIn(short)).rejects.toThrow(SyntaxError);
    const ended = await signIn(dashboard.approvalUrl(id));
    dashboard.endApproval(id);
    expect(await ended.get(`/approvals/${id}`)).toMatchObject({ status: 401 });
    place.clock.now += 3_600_001;
    await expect(signIn(late)).rejects.toThrow(SyntaxError);
    expect(await person.get(`/approvals/${id}`)).toMatchObject({ status: 401 });
    expect(await owner.get("/receipts")).toMatchObject({ status: 200 });
  });

  test("T180: no page that has rebound a name to this address, nor another origin's", async () => {
    const { origin, at, cookie } = owner;
    const { port, host } = new URL(origin);
    for (const named of [`evil.example:${port}`, `localhost:${port}`, "127.0.0.1", `127.0.0.1:${Number(port) + 1}`])
      for (const path of ["/", "/sign-in", `${at}/receipts`])
        expect(await send(`${origin}${path}`, { headers: { host: named, cookie } }), named).toMatchObject({
          status: 403,
        });
    for (const headers of [
      { origin: "https://evil.example" },
      { origin: "null" },
      { origin: "null", "sec-fetch-site": "cross-site" },
      { origin: `http://${host}`, "sec-fetch-site": "same-site" },
      { origin: `http://localhost:${port}` },
      {},
    ]) {
      const id = await place.ask();
      const { text } = await owner.get(`/approvals/${id}`);
      const form = new URLSearchParams({ answer: "approved" });
      for (const name of ["shown", "seal"])
        form.set(name, new RegExp(`name="${name}" value="([^"]*)"`).exec(text)?.[1] ?? "");
      const type = { "content-type": "application/x-www-form-urlencoded", cookie };
      const sent = { method: "POST", headers: { ...type, ...headers }, body: form.toString() };
      expect(await send(`${origin}${at}/approvals/${id}`, sent)).toMatchObject({ status: 403 });
      expect(await stateOf(place.db, id)).toBe("open");
    }
  });

  test("no body without an end", async () => {
    const { origin, at, cookie } = owner;
    const body = "x".repeat(10_001);
    expect(
      await send(`${origin}${at}/approvals/x`, { method: "POST", headers: { origin, cookie }, body }),
    ).toMatchObject({
      status: 413,
    });
    const headers = { origin, cookie, "transfer-encoding": "chunked" };
    expect(await send(`${origin}/sign-in`, { method: "POST", headers, body: "{}" })).toMatchObject({ status: 413 });
  });
});

test("a question for news that reads none takes no place of those that do", async () => {
  const { origin, at, cookie } = await signIn(dashboard.url);
  const heads = await Promise.all(
    [1, 2, 3, 4, 5].map(() => send(`${origin}${at}/news`, { method: "HEAD", headers: { cookie } })),
  );
  expect(heads.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
  const { body } = await fetch(`${origin}${at}/news`, { headers: { cookie } });
  const reader = body?.getReader();
  // Past the most places it begins with the word that there are enough.
  expect(new TextDecoder().decode((await reader?.read())?.value)).toBe(": \n\n");
  await reader?.cancel();
});

describe("a payment that waits", () => {
  test("is shown whole, is answered once by the form that showed it, and never by a copy of the form", async () => {
    const id = await place.ask({ model: HOSTILE, besides: "All of it is published." });
    const path = `/approvals/${id}`;
    expect((await owner.get("/approvals")).text).toContain("All of it is published.");
    const page = await owner.get(path);
    for (const words of [
      "12.5 USDC ($12.50) on Base",
      "12500000 base units",
      "All of it is published.",
      `0x${"cd".repeat(20)}`,
      "key-",
      "2026-11-02 10:00:00",
    ])
      expect(page.text).toContain(words);
    expect(page.text).toContain("&gt;&lt;script&gt;");
    expect(page.text).not.toMatch(/<script(?! src=)|\u202E/);
    const pressed = await owner.press(path, "approved", page);
    expect(pressed).toMatchObject({ status: 303 });
    expect(pressed.headers["location"]).toBe(`${owner.at}${path}/answered`);
    expect(await stateOf(place.db, id)).toBe("approved");
    // A double click, a second tab, a form that was recorded.
    const again = await owner.press(path, "declined", page);
    expect(again).toMatchObject({ status: 409 });
    expect(again.text).toContain("sent before");
    // Where a button was pressed there is none for the second click of a double click.
    for (const { text } of [again, await owner.get(`${path}/answered`)]) expect(text).not.toContain("<button");
    expect(await stateOf(place.db, id)).toBe("approved");
    expect(await owner.press(path, "declined")).toMatchObject({ status: 303 });
    expect(await stateOf(place.db, id)).toBe("declined");
  });

  test("shows signs that nobody sees by their codes", async () => {
    const { text } = await owner.get(`/approvals/${await place.ask({ input: "pay\u{e0041}\u3164 \u202Enow\n" })}`);
    expect(text).toContain("<bdi>pay\\u{e0041}\\u{3164} \\u{202e}now\n</bdi>");
    expect(text).toContain(": 3.");
  });

  test("says that nothing is paid once its yes was used and the call was refused", async () => {
    const id = await place.ask();
    expect(await owner.press(`/approvals/${id}`, "approved")).toMatchObject({ status: 303 });
    await place.db.updateTable("approvals").set({ state: "used" }).where("id", "=", id).execute();
    const { text } = await owner.get(`/approvals/${id}`);
    expect(text).toContain("has used the yes. Nothing is paid by the call so far");
  });

  test("is answered by two clicks at once no more than once", async () => {
    const id = await place.ask();
    const page = await owner.get(`/approvals/${id}`);
    const both = await Promise.all([1, 2].map(() => owner.press(`/approvals/${id}`, "approved", page)));
    expect(both.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([303, 409]);
  });

  test("is not approved where it changed after the page was made, ended, or was answered elsewhere", async () => {
    const id = await place.ask();
    const path = `/approvals/${id}`;
    for (const change of [{ amount: "12500001" }, { pay_to: `0x${"ee".repeat(20)}` }, { state: "declined" as const }]) {
      const page = await owner.get(path);
      await place.db.updateTable("approvals").set(change).where("id", "=", id).execute();
      const { state } = await place.db
        .selectFrom("approvals")
        .select("state")
        .where("id", "=", id)
        .executeTakeFirstOrThrow();
      const pressed = await owner.press(path, "approved", page);
      expect(pressed).toMatchObject({ status: 409 });
      expect(pressed.text).toContain("not as the page showed it");
      expect(await stateOf(place.db, id)).toBe(state);
    }
    const late = await place.ask();
    const page = await owner.get(`/approvals/${late}`);
    place.clock.now += 3_600_000 - 1000;
    const last = await owner.get(`/approvals/${late}`);
    place.clock.now += 1000;
    for (const shown of [page, last])
      expect([403, 409]).toContain((await owner.press(`/approvals/${late}`, "approved", shown)).status);
    expect(await stateOf(place.db, late)).toBe("open");
    expect((await owner.get(`/approvals/${late}`)).text).toContain("its time is over");
  });

  test("is not answered by the form of another payment, another session, or none", async () => {
    const [one, two] = [await place.ask(), await place.ask()];
    const page = await owner.get(`/approvals/${one}`);
    expect(await owner.press(`/approvals/${two}`, "approved", page)).toMatchObject({ status: 403 });
    const second = await signIn(dashboard.url);
    expect(await second.press(`/approvals/${one}`, "approved", page)).toMatchObject({ status: 403 });
    expect(await owner.press(`/approvals/${one}`, "approved", { ...page, text: "" })).toMatchObject({ status: 403 });
    expect(await owner.press(`/approvals/${one}`, "maybe", page)).toMatchObject({ status: 400 });
    for (const id of [one, two]) expect(await stateOf(place.db, id)).toBe("open");
  });

  test("is only shown by pages that were not started to answer", async () => {
    const reader = await signIn((await place.serve()).url);
    const id = await place.ask();
    const page = await reader.get(`/approvals/${id}`);
    expect(page.text).toContain(`proof402 approvals approve ${id}`);
    expect(page.text).not.toContain("<form");
    const form = await owner.get(`/approvals/${id}`);
    const pressed = await reader.press(`/approvals/${id}`, "approved", form);
    expect(pressed).toMatchObject({ status: 403 });
    // Not for the form of another server alone.
    expect(pressed.text).toContain("proof402 open --allow-approvals");
    expect(await stateOf(place.db, id)).toBe("open");
  });
});

test("pages over a database that was moved say so, and take no answer", async () => {
  const moved = await openPlace();
  const reader = await signIn((await moved.serve({ allowApprovals: true })).url);
  const id = await moved.ask();
  const page = await reader.get(`/approvals/${id}`);
  await rename(moved.config.database, `${moved.config.database}.old`);
  for (const answer of [await reader.get("/receipts"), await reader.press(`/approvals/${id}`, "approved", page)]) {
    expect(answer.status).toBe(503);
    expect(answer.text).toContain("database_unusable");
  }
  expect(await stateOf(moved.db, id)).toBe("open");
  await moved.stop();
});
