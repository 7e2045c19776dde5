import { expect, test } from "vitest";
import { cases } from "../support/campaign.ts";
import { openFamily } from "../support/receipt-family.ts";
import { judgeMutants } from "../support/verdict-campaign.ts";

const RECEIPTS = cases(400, 2000);

test(`of ${RECEIPTS} receipts changed by their structure and resealed, each that is verified means what was signed`, async () => {
  const family = await openFamily();
  const { counts, forged, unlisted } = await judgeMutants(family, RECEIPTS, 402);
  expect(forged).toEqual([]);
  // Each result of a layer is one that docs/errors.md lists for it.
  expect([...unlisted]).toEqual([]);
  // The changes reach every end: what is only ever refused would show nothing.
  for (const outcome of ["refused", "failed", "unverified", "verified, of the same meaning"])
    expect(counts[outcome], outcome).toBeGreaterThan(10);
});
