/** Why a purchase was released that no authorization was made for. */
export const NEVER_SIGNED = "never_signed";
/** Why a call's share was released: its seller refused the call at once, or nothing of the transfer was for it. */
export const SHARE_REFUSED = "share_refused";
export const SHARE_NOT_CHARGED = "share_not_charged";
/** What is odd about a settlement of several calls: more moved than the seller told of all of them. */
export const MOVED_MORE_THAN_TOLD = "moved_more_than_told";
