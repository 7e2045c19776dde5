/**
 * A seller's words made safe to show: control, format and bidirectional characters become spaces, runs of white
 * space collapse, length is capped. What is left is still the seller's claim and is labelled so where a model reads it.
 */
export function cleanSellerText(text: string, maxLength: number): string {
  const flat = text
    .toWellFormed()
    .replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cn}\u2028\u2029]/gu, " ")
    .replace(/\s+/g, " ")
    .trim();
  const characters = [...flat];
  return characters.length <= maxLength ? flat : `${characters.slice(0, maxLength - 1).join("")}…`;
}
