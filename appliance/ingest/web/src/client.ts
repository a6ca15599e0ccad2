// What an app calls.
import { Queue, type Rec, type Wire } from "./queue";
import type { Store } from "./store";

export interface Settings {
  collect: boolean;
  purposes: { name: string; title: string; contract: boolean; channels: string[] }[];
  properties: Record<string, { deny: string[]; allow?: string[] }>;
  push: string; // the key that web push is asked for with, "" = there is none
}

export interface Decision {
  purpose: string;
  channel?: string;
  granted: boolean;
  version?: string; // of the notice that was shown
}

export interface Subscription {
  platform: "webpush";
  token: string;
  keys: unknown;
}

type Props = Record<string, unknown>;

export interface Env extends Wire {
  ask: boolean; // nothing is collected before somebody agreed
  gpc(): boolean; // Global Privacy Control
  origin(): Props; // where the visit comes from
  settings(anonymous: string | null): Promise<Settings>;
}

const fresh = 3e5; // settings are asked for again after this
const idle = 18e5; // a session ends after this without an event

export class Client {
  private queue: Queue;
  private known: Settings | null;
  private asking: Promise<Settings | null> | null = null;

  constructor(
    private store: Store,
    private env: Env,
    key: string,
  ) {
    this.known = this.read<Settings>("settings");
    this.queue = new Queue(store, env, key, () => !!this.known, (r) => this.fit(r));
  }

  /** Begins: asks what may be collected, and sends what is left from last time. */
  async start(): Promise<void> {
    // A choice of the browser's is a choice: it is recorded once, as what it is.
    if (this.env.gpc() && !this.store.get("choice") && !this.store.get("gpc")) {
      this.store.set("gpc", "1");
      this.queue.forget();
      this.add({ collect: false, source: "gpc" });
    }
    await this.settings();
    await this.queue.flush();
  }

  /** Something happened. */
  track(event: string, props?: Props): void {
    if (!this.collects()) return;
    const session = this.session();
    this.add({ event, props: { ...props, session } });
  }

  /** Whoever uses the device is user. */
  identify(user: string, profile?: Props): void {
    const was = this.store.get("user");
    if (was && was !== user) this.logout(); // a shared device is another one for everybody
    this.store.set("user", user);
    const push = this.read<Subscription>("push");
    if (!this.collects()) return;
    this.add({ ...(profile && { profile }), ...(push && { channels: { push } }) });
  }

  /** What became known of whoever uses the device; null takes an attribute away. */
  profile(profile: Props): void {
    if (this.collects()) this.add({ profile });
  }

  /** An id of another system's is the same person's. */
  alias(previous: string): void {
    const user = this.store.get("user");
    if (user && this.collects()) this.add({ previous });
  }

  /** Nobody uses the device any more: it is a new one for whoever comes next. */
  logout(): void {
    const push = this.read<Subscription>("push");
    if (push) this.add({ unreachable: { push } });
    for (const name of ["user", "anonymous", "session"]) this.store.remove(name);
  }

  /** Decides about purposes. A decision is sent even by whoever opted out of collection. */
  consent(decisions: Decision | Decision[]): void {
    this.add({ consent: ([] as Decision[]).concat(decisions), source: "sdk" });
  }

  /** Nothing is collected any more, of this device and of the person's others; what waits is let go. */
  optOut(): void {
    this.choose("0", false);
  }

  /** It is again, also where the browser asks for privacy: this is the more specific wish. */
  optIn(): void {
    this.choose("1", true);
  }

  private choose(choice: string, collect: boolean): void {
    this.store.set("choice", choice);
    this.store.set("asked", "" + this.env.now()); // for a while the answer might be older than this
    if (!collect) {
      this.queue.forget();
      this.store.remove("session");
    } else if (this.known) this.learn({ ...this.known, collect });
    this.add({ collect, source: "sdk" });
  }

  /** Whether anything is collected now. */
  collects(): boolean {
    const choice = this.store.get("choice");
    return choice !== "0" && this.known?.collect !== false && (choice === "1" || !(this.env.ask || this.env.gpc()));
  }

  /** A subscription to web push, or its end. */
  subscribed(push: Subscription | null): void {
    const was = this.read<Subscription>("push");
    if (was && was.token !== push?.token) this.add({ unreachable: { push: was } });
    if (!push) return this.store.remove("push");
    this.store.set("push", JSON.stringify(push));
    if (was?.token !== push.token) this.add({ channels: { push } });
  }

  hasPush(): boolean {
    return !!this.store.get("push");
  }

  /** What the appliance says of this device; the last known where it cannot be asked, null where it never could. */
  settings(): Promise<Settings | null> {
    if (this.known && this.env.now() - +(this.store.get("asked") || 0) < fresh) return Promise.resolve(this.known);
    this.asking ??= this.env
      .settings(this.store.get("anonymous"))
      .then(
        (s) => {
          this.store.set("asked", "" + this.env.now());
          // A choice that has not been sent yet is newer than the answer.
          this.learn(this.queue.pending() ? { ...s, collect: this.known?.collect !== false } : s);
        },
        (e) => {
          this.env.warn("no settings:", e);
          if (!this.known) this.env.later(3e4, () => void this.start());
        },
      )
      .then(() => {
        this.asking = null;
        return this.known;
      });
    return this.asking;
  }

  /** The id that this device is known by; it is made when it is first needed. */
  anonymous(): string {
    let id = this.store.get("anonymous");
    if (!id) this.store.set("anonymous", (id = this.env.random()));
    return id;
  }

  flush(): Promise<void> {
    return this.queue.flush();
  }

  leave(): void {
    this.queue.leave();
  }

  private add(r: Props): void {
    const rec = { user: this.store.get("user") ?? undefined, anonymous: this.anonymous(), ...r };
    if ("previous" in r) delete (rec as Props).anonymous;
    const left = this.fit(rec as unknown as Rec);
    if (left) this.queue.add(left);
  }

  /** What may leave the device of a record. */
  private fit(r: Rec): Rec | null {
    if (!r.event) return r;
    if (!this.collects()) return null;
    const rule = this.known?.properties[r.event] ?? this.known?.properties["*"];
    if (!rule || !r.props) return r;
    const props: Props = {};
    for (const [k, v] of Object.entries(r.props)) {
      if (!rule.deny.includes(k) && (!rule.allow || rule.allow.includes(k))) props[k] = v;
    }
    return { ...r, props };
  }

  private learn(s: Settings): void {
    this.known = s;
    this.store.set("settings", JSON.stringify(s));
    this.queue.refit();
    if (!this.collects()) this.queue.forget();
  }

  /** The second in which the session began. */
  private session(): number {
    const now = this.env.now();
    let [began, last] = (this.store.get("session") || "0,0").split(",").map(Number) as [number, number];
    const news = now - last > idle;
    if (news) began = Math.floor(now / 1000);
    this.store.set("session", began + "," + now);
    if (news) this.add({ event: "Session Started", props: { ...this.env.origin(), session: began } });
    return began;
  }

  private read<T>(name: string): T | null {
    try {
      return JSON.parse(this.store.get(name) || "null") as T;
    } catch {
      return null;
    }
  }
}
