/**
 * The order of the rows in Nearby: strongest first, but steady enough to aim at.
 *
 * While a person aims, every row keeps its place: what is new goes to the end, and what is gone leaves its row behind.
 */

/** A median still wavers by a few dB; rows swap only when one is clearly stronger. */
export const MARGIN_DB = 6;

export interface Ranked {
  id: string;
  /** dBm: higher is nearer the top. */
  rank: number;
}

export function arrange(before: readonly string[], now: readonly Ranked[], aiming: boolean): string[] {
  const ranks = new Map(now.map((row) => [row.id, row.rank]));
  const known = new Set(before);
  const fresh = now.filter((row) => !known.has(row.id)).sort((a, b) => b.rank - a.rank);
  if (aiming) return [...before, ...fresh.map((row) => row.id)];

  const order = before.filter((id) => ranks.has(id));
  const rank = (id: string) => ranks.get(id) ?? -Infinity;
  for (const row of fresh) {
    const place = order.findIndex((id) => rank(id) < row.rank);
    order.splice(place < 0 ? order.length : place, 0, row.id);
  }
  for (let end = 1; end < order.length; end++) {
    for (let at = end; at > 0; at--) {
      const [upper, lower] = [order[at - 1] as string, order[at] as string];
      if (rank(lower) - rank(upper) < MARGIN_DB) break;
      [order[at - 1], order[at]] = [lower, upper];
    }
  }
  return order;
}
