import { Proof402Error } from "../errors.ts";

/** A fixed port was asked for that somebody else listens on. */
export const portTaken = (port: number, cause: unknown): Proof402Error =>
  new Proof402Error("port_taken", `Port ${port} is taken.`, {
    next: "Choose another port, or leave it out for a free one.",
    details: { port },
    cause,
  });
