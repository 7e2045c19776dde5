/**
 * Tells a model how guarded tools are called. Short: a model pays for each word.
 */
export const GUARDED_TOOLS = `Tools with receipt_id act only on a verified proof402 receipt. Before such a call, buy_inference about the very values that the action depends on, with wait "verified" (list_models names models and inputs). If the verdict is verified, call the tool with arguments that follow from the bought answer, and with that receipt's id. A receipt is for one action and one tool call, unless the tool says otherwise; buy again for another. If a call is refused, do what the refusal says. Never make up an id, and never act on an answer that is not verified.`;
