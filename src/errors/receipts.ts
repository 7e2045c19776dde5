import type { Meaning } from "./meaning.ts";

/** Reading, importing and using receipts. */
export const RECEIPTS = {
  receipt_not_found: ["No receipt of this id is stored here.", "Check the id, or import the file."],
  receipt_ambiguous: ["Several receipts begin with the id that was given.", "Give more characters of it."],
  receipt_unreadable: ["The receipt file could not be read, or is not a file.", "Check the path."],
  receipt_too_large: ["The file is larger than a receipt can be.", "Get the file again from where it was made."],
  receipt_not_utf8: ["The file is not UTF-8 text.", "Get the file again from where it was made."],
  receipt_not_json: ["The file is not JSON, or has duplicate keys.", "Get the file again from where it was made."],
  receipt_malformed: ["The file is not a receipt.", "Get the file again from where it was made."],
  receipt_version: ["A version of receipts that this program does not know.", "Update proof402."],
  receipt_id_mismatch: ["The id is not the hash of the core: the receipt was altered.", "Do not trust the file."],
  receipt_body_mismatch: ["A body does not have the hashes that the receipt names.", "Do not trust the file."],
  receipt_digest_mismatch: ["The file's digest is missing or wrong: it was altered.", "Do not trust the file."],
  receipt_crowded: [
    "The file holds more than four pieces of one kind of evidence, of which a reader tries each.",
    "Get the file again from where it was made.",
  ],
  receipt_exists: ["The receipt is stored already.", "Read the stored receipt."],
  receipt_full: [
    "The receipt has room for nothing more.",
    "Use the receipt as it stands, or verify the file by itself.",
  ],
  receipt_store_damaged: [
    "A stored row is not the receipt or the decision that it was.",
    "Have the owner run `proof402 audit` and restore the database from a backup.",
  ],
  content_missing: [
    "Bytes that a stored receipt names are not stored any more.",
    "Have the owner run `proof402 audit` and restore the database from a backup.",
  ],
  content_altered: [
    "Stored bytes do not have the hash by which a receipt names them.",
    "Have the owner run `proof402 audit` and restore the database from a backup.",
  ],
  receipt_imported: [
    "The receipt is of no purchase in this buyer's own journal.",
    "Buy the inference with this buyer, then use the new receipt.",
  ],
  purchase_known: [
    "The purchase is this buyer's own, and the file is not its stored receipt.",
    "Use the stored one, or make the call again under its key to get it.",
  ],
  body_redacted: ["The bytes are redacted from the receipt.", "Get the receipt with its bodies."],
  malformed_request: ["The receipt's request is not of its seller's exchange format.", "Do not act on the receipt."],
  answer_unreadable: ["This version cannot read the receipt's answer.", "Update proof402, or read the bytes yourself."],
  decision_invalid: [
    "A field of a decision is missing, too long or not plain data.",
    "Correct the field that the message names.",
  ],
  report_malformed: [
    "The file is not a report, is not JSON, or has duplicate keys.",
    "Get the report again from where it was made.",
  ],
  report_version: ["A version of reports that this program does not know.", "Update proof402."],
  report_too_large: [
    "The period has more than a report holds, or the file is larger than a report can be.",
    "Report a shorter period, or one purpose at a time.",
  ],
  decision_not_found: ["No decision of this id is stored here.", "Check the id."],
  decision_ambiguous: ["Several decisions begin with the id that was given.", "Give more characters of it."],
  provider_unknown: ["This version does not know the kind of seller.", "Update proof402."],
} as const satisfies Record<string, Meaning>;

/** Why a guarded action did not run, and what makes a guard refuse to be made. */
export const GUARD = {
  receipt_pending: ["The receipt's verdict is not reached yet.", "Wait for the verdict, then try again."],
  receipt_not_verified: [
    "The receipt is not verified, or with less assurance than the guard asks for.",
    "Buy again with the assurance that the guard names.",
  ],
  receipt_simulated: ["The receipt's hardware is simulated.", "Use a seller on real hardware."],
  receipt_too_old: ["The receipt's answer is older than the guard accepts.", "Buy again."],
  receipt_of_future: ["The receipt's answer is of a time that has not come.", "Check this machine's clock. Buy again."],
  receipt_not_bound: [
    "The receipt does not justify the arguments.",
    "Use arguments that follow from the bought answer.",
  ],
  receipt_other_model: [
    "The receipt's answer is of a model that the guard does not take.",
    "Buy from a model that it takes.",
  ],
  receipt_other_seller: [
    "The receipt's answer is of a seller that the guard does not take.",
    "Buy from a seller that it takes.",
  ],
  receipt_consumed: ["The receipt's purchase has justified an action already.", "Buy again."],
  action_not_done: [
    "The action says that it surely did not happen.",
    "Use the same receipt for the same action again, or leave it.",
  ],
  action_not_found: ["No guarded action of this id is on the record.", "List the actions for their ids."],
  action_decided: ["What became of the action is decided already.", "A decision is final."],
  action_running: ["The action is under way, so nothing is decided about it.", "Wait for its end."],
  guard_stopped: [
    "The owner stopped all guarded actions.",
    "Do not act. The owner ends the stop with `proof402 guard start`.",
  ],
  guard_not_stopped: ["No emergency stop is in force.", "Guarded actions run."],
  guard_rules: ["The guard's rules are not of the form that they must have.", "Correct the rules."],
  guard_error: ["The receipt could not be checked.", "Buy again. Check the guard's bind function."],
  guard_arguments: [
    "The schema turns the arguments into values that cannot be recorded.",
    "Give the tool a schema of plain values.",
  ],
  guard_options: ["An option of the guard would not guard.", "Correct the option."],
  guard_schema: ["The tool's schema cannot take the receipt's id.", "Define it as an object without receipt_id."],
  guard_tool: ["The tool has no function that can be called with judged arguments.", "Guard the tool itself."],
  guard_config: [
    "The configuration of the guard before a server cannot be used.",
    "Correct the file. The error names the field.",
  ],
  guard_tool_missing: [
    "The server does not offer a tool that the guard's configuration names.",
    "Correct the name. Until then no tool is called.",
  ],
  guard_tool_changed: [
    "The guarded tool is gone, or its input schema is not the one that was seen first or pinned.",
    "Look at the tool. Start the guard again if its rules still fit.",
  ],
  guard_tool_refused: ["The guard does not let this tool be called.", "Call a tool that is listed."],
  guard_call: [
    "The call of a guarded tool holds more than the arguments that are judged.",
    "Call it with its name and arguments alone.",
  ],
  guard_client: ["The client of a guard sent a message too large to be read.", "Have the client send less."],
  guard_upstream: [
    "The server behind the guard cannot be reached, has ended, or gives no list of its tools.",
    "Check its command or address.",
  ],
} as const satisfies Record<string, Meaning>;
