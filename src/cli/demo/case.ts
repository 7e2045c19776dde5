/** The last hours of an invented market, in the order `eth-risk` takes them. */
export const DEMO_FEATURES = [-0.012, -0.034, -0.081, 0.62, 0.74, -0.19, 1.8, 0.0021] as const;

/** Which trade each risk class justifies. */
export const ACTION_OF_CLASS = ["increase", "hold", "reduce"] as const;
