/** The meaning of a code, and the next step. Only documents hold these words: an error says it of its own case. */
export type Meaning = readonly [happened: string, next: string];
