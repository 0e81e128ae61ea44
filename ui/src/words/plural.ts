/** Picks the form that the language wants for a number; both languages here have one and other. */
export function pluralIn(locale: string): (n: number, one: string, other: string) => string {
  const rules = new Intl.PluralRules(locale);
  return (n, one, other) => (rules.select(n) === 'one' ? one : other);
}
