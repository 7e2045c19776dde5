/** Apart from the schemas: what only names these words loads no schema. */
export const ASSURANCES = ["none", "signed", "attested", "proven"] as const;
export const VERDICTS = ["verified", "pending", "failed", "unverified"] as const;
