// A browser for the tests: a clock, a network and a disk that do as they are told.
import { Client, type Env, type Settings } from "./client";
import type { Rec, Reply } from "./queue";
import { openStore, type Store } from "./store";

export class Disk {
  kept = new Map<string, string>();
  room = Infinity; // characters
  asStorage(): Storage {
    const kept = this.kept;
    const room = (): number => this.room;
    return new Proxy({} as Storage, {
      get: (_, name) =>
        ({
          getItem: (k: string) => kept.get(k) ?? null,
          setItem: (k: string, v: string) => {
            let size = k.length + v.length;
            for (const [a, b] of kept) if (a !== k) size += a.length + b.length;
            if (size > room()) throw new Error("QuotaExceededError");
            kept.set(k, v);
          },
          removeItem: (k: string) => kept.delete(k),
        })[name as "getItem"],
      ownKeys: () => [...kept.keys()],
      getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
    });
  }
}

export const defaults: Settings = { collect: true, purposes: [], properties: {}, push: "" };

/** One browser; each tab is a client over the same disk. */
export class Browser {
  time = Date.parse("2026-11-23T16:00:00Z");
  disk = new Disk();
  isOnline = true;
  gpc = false;
  ask = false;
  settings: Settings | Error = defaults;
  reply: (records: Rec[]) => Reply = () => ({ status: 200, after: null, refused: [] });
  sent: Rec[][] = []; // requests that reached the network
  beacons: Rec[][] = [];
  warned: string[] = [];
  asked: (string | null)[] = [];
  timers: { at: number; work: () => void }[] = [];
  private locked = false;
  private ids = 0;

  tab(): Client {
    const b = this;
    const env: Env = {
      get ask() {
        return b.ask;
      },
      now: () => b.time,
      random: () => (b.ids++).toString(16).padStart(6, "0"),
      online: () => b.isOnline,
      gpc: () => b.gpc,
      origin: () => ({}),
      post: async (body) => {
        if (!b.isOnline) throw new Error("no network");
        const records = (JSON.parse(body) as { batch: Rec[] }).batch;
        b.sent.push(records);
        return b.reply(records);
      },
      beacon: (body) => !!b.beacons.push((JSON.parse(body) as { batch: Rec[] }).batch),
      async alone(work) {
        if (b.locked) return false;
        b.locked = true;
        await work().finally(() => (b.locked = false));
        return true;
      },
      later: (ms, work) => void b.timers.push({ at: b.time + ms, work }),
      warn: (...what) => void b.warned.push(what.join(" ")),
      settings: async (anonymous) => {
        b.asked.push(anonymous);
        if (!b.isOnline) throw new Error("no network");
        if (b.settings instanceof Error) throw b.settings;
        return b.settings;
      },
    };
    return new Client(this.store(), env, "KEY");
  }

  store(): Store {
    return openStore("c:", this.disk.asStorage());
  }

  /** Lets time pass, and does what falls due in it. */
  async pass(ms: number): Promise<void> {
    const end = this.time + ms;
    for (;;) {
      await idle();
      this.timers.sort((x, y) => x.at - y.at);
      if (!this.timers[0] || this.timers[0].at > end) break;
      const t = this.timers.shift()!;
      this.time = Math.max(this.time, t.at);
      t.work();
    }
    this.time = end;
    await idle();
  }

  /** What arrived, in its order, without the sessions' own events. */
  arrived(): string[] {
    return this.sent.flat().filter((r) => r.event !== "Session Started").map(short);
  }
}

/** Waits until every promise that can go on has gone on. */
export async function idle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

export function short(r: Rec): string {
  const who = r.user ? `${r.user}@` : "";
  if (r.event) return who + r.event;
  const what = ["previous", "profile", "consent", "collect", "channels", "unreachable"].filter((k) => k in r);
  return who + what.map((k) => `${k}=${JSON.stringify(r[k])}`).join(" ");
}
