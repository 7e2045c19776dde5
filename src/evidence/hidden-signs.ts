/** Characters without a sign of their own, and those that change the order of others. Line breaks and tabs belong to text. */
export const HIDDEN_IN_TEXT = /(?![\n\t])[\p{Cc}\p{Cf}\p{Co}\p{Cn}\u2028\u2029]/gu;

/** Invisible signs, and those that change the look of others: controls, formats, fillers, selectors. */
export const INVISIBLE = /[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\u2028\u2029]/u;

/** All of both, but line breaks and tabs: what a reader of a text cannot see in it. */
export const UNSEEN = /(?![\n\t])[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Default_Ignorable_Code_Point}\u2028\u2029]/gu;
