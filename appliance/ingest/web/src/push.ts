// Web push: the browser's subscription and the worker that shows what comes.
import type { Client } from "./client";

const bytes = (text: string): Uint8Array => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));

// Where a page allows only trusted script addresses, its policy must name cloister.
function address(worker: string): string {
  const types = (window as { trustedTypes?: { createPolicy(n: string, r: object): { createScriptURL(s: string): string } } }).trustedTypes;
  return types ? (policy ??= types.createPolicy("cloister", { createScriptURL: (s: string) => s })).createScriptURL(worker) : worker;
}
let policy: { createScriptURL(s: string): string } | undefined;

function told(client: Client, s: PushSubscription): void {
  const { endpoint, keys } = s.toJSON();
  client.subscribed({ platform: "webpush", token: endpoint!, keys });
}

/** Asks the person and the browser; true = messages can come. Call it from a click. */
export async function subscribe(client: Client, worker: string): Promise<boolean> {
  if (!("serviceWorker" in navigator) || !("PushManager" in window)) return false;
  const settings = await client.settings();
  if (!settings?.push || (await Notification.requestPermission()) !== "granted") return false;
  await navigator.serviceWorker.register(address(worker));
  const { pushManager } = await navigator.serviceWorker.ready;
  const ask = { userVisibleOnly: true, applicationServerKey: bytes(settings.push) as BufferSource };
  // A subscription for another key cannot be used, and stands in the way.
  const s = await pushManager.subscribe(ask).catch(async () => {
    await (await pushManager.getSubscription())?.unsubscribe();
    return pushManager.subscribe(ask);
  });
  told(client, s);
  return true;
}

/** Ends it. */
export async function unsubscribe(client: Client, worker: string): Promise<void> {
  const registration = await navigator.serviceWorker?.getRegistration(worker);
  await (await registration?.pushManager.getSubscription())?.unsubscribe();
  client.subscribed(null);
}

/** Tells of a subscription that the browser changed, or took away, since the last page. */
export async function renewed(client: Client, worker: string): Promise<void> {
  if (!client.hasPush()) return;
  const registration = await navigator.serviceWorker?.getRegistration(worker);
  const s = await registration?.pushManager.getSubscription();
  if (s) told(client, s);
  else client.subscribed(null);
}
