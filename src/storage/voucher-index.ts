/** The digits of a uint128, which a voucher's sum is. */
export const DIGITS_OF_SUM = 39;
const SUM = "iif(json_valid(voucher), json_extract(voucher, '$.cumulative'), null)";
/**
 * A voucher's sum as a text of {@link DIGITS_OF_SUM} digits, in SQLite's and in PostgreSQL's words. A damaged row is above every sum:
 * it is read, and fails to be.
 */
export const SUM_OF_VOUCHER = `coalesce(substr('${"0".repeat(DIGITS_OF_SUM)}' || ${SUM}, length(${SUM}) + 1), '~')`;

/** The vouchers of a channel in the order of their sums: what is above a sum is read, and not all that a channel ever paid. */
export const VOUCHER_INDEX = `create index purchases_of_sum on purchases (channel_id, (${SUM_OF_VOUCHER})) where channel_id is not null`;
