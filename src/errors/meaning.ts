/** What a code means, and what its reader can do. Only documents hold these words: an error says it of its own case. */
export type Meaning = readonly [happened: string, next: string];
