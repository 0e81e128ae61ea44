/**
 * Keeps of the view before what is the same in the next one.
 *
 * Every view arrives whole, as new objects; what has not changed keeps its identity, so that nothing that shows it is
 * looked at again.
 */

/** What tells the entries of a list apart, so that one that comes or goes does not make all after it look changed. */
const IDENTITIES = ['peripheral', 'id', 'job', 'number', 'name', 'ssidHex', 'ssid', 'stage'] as const;

type Fields = Record<string, unknown>;

export function share<T>(before: unknown, after: T): T {
  if (before === after || !isObject(before) || !isObject(after)) return after;
  if (Array.isArray(after)) return Array.isArray(before) ? (shareList(before, after) as T) : after;
  return Array.isArray(before) ? after : (shareFields(before, after) as T);
}

function shareFields(before: Fields, after: Fields): Fields {
  const keys = Object.keys(after);
  let same = keys.length === Object.keys(before).length;
  const shared: Fields = {};
  for (const key of keys) {
    shared[key] = share(before[key], after[key]);
    same &&= key in before && shared[key] === before[key];
  }
  return same ? before : shared;
}

function shareList(before: readonly unknown[], after: readonly unknown[]): readonly unknown[] {
  const known = byIdentity(before);
  let same = before.length === after.length;
  const shared = after.map((entry, at) => {
    const kept = share(known.get(identity(entry)) ?? before[at], entry);
    same &&= kept === before[at];
    return kept;
  });
  return same ? before : shared;
}

function byIdentity(list: readonly unknown[]): Map<unknown, unknown> {
  return new Map(list.flatMap((entry) => (identity(entry) === undefined ? [] : [[identity(entry), entry]])));
}

function identity(entry: unknown): unknown {
  if (!isObject(entry)) return undefined;
  const field = IDENTITIES.find((name) => entry[name] != null);
  return field && entry[field];
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null;
}
