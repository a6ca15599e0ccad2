// What is kept on the device: localStorage, which all tabs of an origin share,
// or memory where a browser refuses it. Never a cookie.

export interface Store {
  get(name: string): string | null;
  set(name: string, value: string): boolean; // false = there is no room
  remove(name: string): void;
  names(prefix: string): string[]; // in their order
}

export function openStore(prefix: string, area: Storage | null): Store {
  const memory = new Map<string, string>();
  try {
    area!.setItem(prefix, "1");
    area!.removeItem(prefix);
  } catch {
    area = null;
  }
  return {
    get: (name) => (area ? area.getItem(prefix + name) : memory.get(prefix + name) ?? null),
    set(name, value) {
      if (!area) return !!memory.set(prefix + name, value);
      try {
        area.setItem(prefix + name, value);
        return true;
      } catch {
        return false;
      }
    },
    remove(name) {
      if (area) area.removeItem(prefix + name);
      else memory.delete(prefix + name);
    },
    names(part) {
      const from = prefix + part;
      return (area ? Object.keys(area) : [...memory.keys()])
        .filter((k) => k.startsWith(from))
        .sort()
        .map((k) => k.slice(prefix.length));
    },
  };
}
