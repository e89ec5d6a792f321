/** Whether two names mean the same human: `anna`, `anna@laptop` and `anna@desk` do. Who may not count twice is better counted once. */
export const isSamePerson = (a: string, b: string): boolean => userOf(a) === userOf(b);

const userOf = (person: string): string => (person.split("@")[0] ?? person).toLowerCase();

/** Whether a recipe's `anna` or `anna@host` means this person: a host that is written must be the one. */
export const isNamed = (entry: string, person: string): boolean => (entry.includes("@") ? entry === person : isSamePerson(entry, person));

/** Each human once, the first name given. */
export const distinctPeople = (people: readonly string[]): readonly string[] =>
  people.filter((person, index) => people.findIndex((other) => isSamePerson(person, other)) === index);
