/**
 * Who could forge. `development`: one machine made the key and could have kept what it was made from. `ceremony`: several
 * parties did, of whom one honest one is enough.
 */
export const SETUPS = ["development", "ceremony"] as const;

/** How a model's weights stand in its circuit: in the key's points, in the constraints, or secret behind a commitment. */
export const WEIGHTS = ["folded", "constant", "committed"] as const;
