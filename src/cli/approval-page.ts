import type { ApprovalPage } from "../../mcp-server/approval.ts";
import type { Dashboard } from "../dashboard/serve.ts";
import { missingPeers, PEERS } from "../peers.ts";
import { note, type GlobalOptions } from "./globals.ts";
import { configOf } from "./session.ts";

/** The owner's pages beside a server of tools, for its owner's own clients: opened at the first payment that waits. */
export type ApprovalPages = {
  /** Gives null if the pages cannot be served. */
  open: ApprovalPage;
  close: () => Promise<void>;
};

/** Serves the pages of payments that wait, with the packages of `proof402 open`. Each address is good for one payment, once. */
export function approvalPages(options: GlobalOptions): ApprovalPages {
  let opened: Promise<Dashboard> | null = null;
  const serve = async (): Promise<Dashboard> => {
    const { serveDashboard } = await import("../dashboard/serve.ts");
    return serveDashboard({ config: await configOf(options), allowApprovals: true });
  };
  return {
    async open() {
      if (missingPeers(PEERS.open).length > 0) return null;
      try {
        const pages = await (opened ??= serve());
        return { address: (id, endsAt) => pages.approvalUrl(id, endsAt), end: (id) => pages.endApproval(id) };
      } catch (error) {
        // The next payment that waits may find it mended.
        opened = null;
        note(`The page for approvals could not be served: ${String(error)}`);
        return null;
      }
    },
    async close() {
      await opened?.then((one) => one.close()).catch(() => undefined);
    },
  };
}
