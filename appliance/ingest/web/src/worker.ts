// The service worker of web push: shows a message, tells that it was shown, and
// opens what it leads to. It keeps nothing and knows nobody.
export {};

interface Message {
  title?: string;
  body?: string;
  icon?: string;
  image?: string;
  tag?: string;
  link?: string; // what a click opens
  seen?: string; // asked for once it is shown
  actions?: { action: string; title: string; link?: string }[];
}

interface Extendable extends Event {
  waitUntil(p: Promise<unknown>): void;
}
interface WindowClient {
  url: string;
  focus(): Promise<unknown>;
}
const worker = self as unknown as {
  registration: ServiceWorkerRegistration;
  clients: { matchAll(o: object): Promise<WindowClient[]>; openWindow(url: string): Promise<unknown>; claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(name: string, f: (e: never) => void): void;
};

/** An address that may be opened: a web page's, and no script. */
const page = (link: unknown): string | null => (typeof link === "string" && /^https?:\/\//i.test(link) ? link : null);

worker.addEventListener("install", (e: Extendable) => e.waitUntil(worker.skipWaiting()));
worker.addEventListener("activate", (e: Extendable) => e.waitUntil(worker.clients.claim()));

worker.addEventListener("push", (e: Extendable & { data?: { text(): string } }) => {
  const text = e.data?.text() ?? "";
  let m: Message = {};
  try {
    m = (JSON.parse(text) as Message | null) ?? {};
  } catch {
    m.title = text;
  }
  const show = worker.registration.showNotification(m.title || "", {
    body: m.body,
    icon: m.icon,
    tag: m.tag,
    data: m,
    ...({ image: m.image, actions: m.actions?.map(({ action, title }) => ({ action, title })) } as object),
  });
  const seen = page(m.seen);
  // That it cannot be told is no reason not to show it.
  e.waitUntil(show.then(async () => seen && fetch(seen, { mode: "no-cors", credentials: "omit" }).catch(() => undefined)));
});

worker.addEventListener("notificationclick", (e: Extendable & { notification: Notification; action: string }) => {
  e.notification.close();
  const m = e.notification.data as Message;
  const link = page(m.actions?.find((a) => a.action === e.action)?.link) ?? page(m.link);
  if (!link) return;
  e.waitUntil(
    worker.clients.matchAll({ type: "window" }).then((all) => {
      const open = all.find((c) => c.url === link);
      return open ? open.focus() : worker.clients.openWindow(link);
    }),
  );
});
