// What waits to be sent. Every record has a key of its own in the store, so
// that tabs never write over each other's, and an id, so that the appliance
// takes a repeat for what it is, for seven days.
import type { Store } from "./store";

export interface Rec {
  id: string;
  ts: string;
  user?: string;
  anonymous?: string;
  event?: string;
  props?: Record<string, unknown>;
  [member: string]: unknown;
}

export interface Reply {
  status: number;
  after: string | null; // Retry-After
  refused?: unknown[];
}

export interface Wire {
  now(): number; // milliseconds
  random(): string; // an id that nobody can guess
  online(): boolean;
  post(body: string): Promise<Reply>;
  beacon(body: string): boolean;
  alone(work: () => Promise<void>): Promise<boolean>; // false = another tab is at it
  later(ms: number, work: () => void): void;
  warn(...what: unknown[]): void;
}

const most = 500; // records that wait
const largest = 32000; // characters of one
const perRequest = 100;
const requestSize = 400000;
const beaconSize = 60000; // browsers take 64 KiB
// A record that was tried is given up after this long without an answer: from
// the seventh day on a repeat would count twice.
const tried = 6 * 864e5;

export class Queue {
  /** ready: whether it is known what may be sent. fit: what is left of a record by the settings, null = nothing. */
  constructor(
    private store: Store,
    private wire: Wire,
    private key: string,
    private ready: () => boolean,
    private fit: (r: Rec) => Rec | null,
  ) {}

  private timer = false;
  private many = perRequest;
  private count = 0;

  add(r: Omit<Rec, "id" | "ts">): void {
    const at = this.wire.now();
    const rec = { id: this.wire.random(), ts: new Date(at).toISOString(), ...r } as Rec;
    const text = JSON.stringify(rec);
    if (text.length > largest) return this.wire.warn("too large, dropped:", r.event);
    const all = this.store.names("q");
    // The oldest go: what somebody does now is worth more.
    for (const name of all.slice(0, Math.max(0, all.length - most + 1))) this.drop(name);
    const name = `q${at.toString(36).padStart(9, "0")}${(this.count++ % 46656).toString(36).padStart(3, "0")}${rec.id.slice(0, 6)}`;
    for (let tries = 0; !this.store.set(name, text); tries++) {
      const oldest = this.store.names("q")[0];
      if (!oldest || tries > 20) return this.wire.warn("there is no room, dropped:", r.event);
      this.drop(oldest);
    }
    this.soon(1000);
  }

  /** Lets go of the events that wait: somebody opted out. Consents stay. */
  forget(): void {
    for (const [name, r] of this.waiting()) if (!("collect" in r || "consent" in r || "unreachable" in r)) this.drop(name);
  }

  /** Leaves on the device what may be there by the settings as they are now. */
  refit(): void {
    for (const [name, r] of this.waiting()) {
      const left = this.fit(r);
      if (left) this.store.set(name, JSON.stringify(left));
      else this.drop(name);
    }
  }

  /** Whether a choice about collection waits. */
  pending(): boolean {
    return this.waiting().some(([, r]) => "collect" in r);
  }

  get size(): number {
    return this.store.names("q").length;
  }

  soon(ms: number): void {
    if (this.timer) return;
    this.timer = true;
    this.wire.later(Math.max(ms, +(this.store.get("until") || 0) - this.wire.now()), () => {
      this.timer = false;
      void this.flush();
    });
  }

  /** Sends what waits, as one tab of all. */
  async flush(): Promise<void> {
    if (!this.size) return;
    if (!this.ready() || !this.wire.online()) return; // whoever learns more flushes
    if (+(this.store.get("until") || 0) > this.wire.now()) return this.soon(0);
    const mine = await this.wire.alone(async () => {
      while (await this.send());
    });
    if (!mine) this.soon(2000);
  }

  /** The page goes: what waits is handed to the browser, and kept until an answer says that it arrived. */
  leave(): void {
    if (!this.ready() || !this.wire.online()) return;
    const batch = this.batch(beaconSize);
    if (batch.length && this.wire.beacon(this.body(batch))) this.mark(batch);
  }

  private drop(name: string): void {
    this.store.remove(name);
    this.store.remove("t" + name);
  }

  private waiting(): [string, Rec][] {
    const out: [string, Rec][] = [];
    for (const name of this.store.names("q")) {
      try {
        out.push([name, JSON.parse(this.store.get(name)!) as Rec]);
      } catch {
        this.drop(name); // somebody else's hand
      }
    }
    return out;
  }

  private batch(size: number): [string, Rec][] {
    const out: [string, Rec][] = [];
    for (const [name, r] of this.waiting()) {
      const first = +(this.store.get("t" + name) || 0);
      const left = first && this.wire.now() - first > tried ? null : this.fit(r);
      if (!left) {
        this.drop(name);
        continue;
      }
      size -= JSON.stringify(left).length + 1;
      if (out.length && (size < 0 || out.length === this.many)) break;
      out.push([name, left]);
    }
    return out;
  }

  private body(batch: [string, Rec][]): string {
    return JSON.stringify({ key: this.key, sentAt: new Date(this.wire.now()).toISOString(), direct: true, batch: batch.map(([, r]) => r) });
  }

  private mark(batch: [string, Rec][]): void {
    for (const [name] of batch) if (!this.store.get("t" + name)) this.store.set("t" + name, "" + this.wire.now());
  }

  /** Sends one batch; true = there may be more to send at once. */
  private async send(): Promise<boolean> {
    const batch = this.batch(requestSize);
    if (!batch.length) return false;
    this.mark(batch);
    const a = await this.wire.post(this.body(batch)).catch((): Reply => ({ status: 0, after: null }));
    const taken = a.status === 200 || !!a.refused;
    if (a.status === 413 && batch.length > 1) {
      this.many = batch.length >> 1;
      return true;
    }
    // What can never be taken is not sent again; a wrong key can be put right.
    if (taken || a.status === 400 || a.status === 413 || a.status === 415) {
      for (const [name] of batch) this.drop(name);
      this.store.remove("fails");
      this.store.remove("until");
      if (!taken) this.wire.warn("refused with", a.status);
      else if (a.refused?.length) this.wire.warn("refused:", a.refused);
      return true;
    }
    if (a.status > 400 && a.status < 429) this.wire.warn("answered", a.status);
    const fails = Math.min(+(this.store.get("fails") || 0) + 1, 9);
    const asked = Math.min(+(a.after || 0), 3600) * 1000;
    const wait = Math.max(asked || 0, 2 ** fails * 500 * (1 + Math.random()));
    this.store.set("fails", "" + fails);
    this.store.set("until", "" + Math.round(this.wire.now() + wait));
    this.soon(wait);
    return false;
  }
}
