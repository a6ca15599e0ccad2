// Addresses of pages. The path says which page; the fragment holds what was
// asked there (a question, a tab), so that a copied address opens the same view
// and no question ever stands in a server's log.
import { signal } from "@preact/signals";

export interface Place {
  path: string;
  hash: string; // without the #
}

const here = (): Place => ({ path: location.pathname, hash: location.hash.slice(1) });
export const place = signal<Place>(here());

let guard: (() => boolean) | null = null;

// leaveOnlyIf asks f before the page is left by a link of the console; the
// returned function takes it away.
export function leaveOnlyIf(f: () => boolean): () => void {
  guard = f;
  return () => {
    if (guard === f) guard = null;
  };
}

export function go(to: string, replace = false) {
  if (guard && !guard()) return;
  guard = null;
  const from = location.pathname;
  history[replace ? "replaceState" : "pushState"](null, "", to);
  place.value = here();
  if (location.pathname !== from) {
    window.scrollTo(0, 0);
    document.getElementById("main")?.focus({ preventScroll: true });
  }
}

export function setHash(hash: string) {
  if (hash === location.hash.slice(1)) return;
  history.replaceState(null, "", location.pathname + (hash ? "#" + hash : ""));
  place.value = here();
}

export function readHash(): URLSearchParams {
  return new URLSearchParams(place.value.hash);
}

addEventListener("popstate", () => (place.value = here()));
addEventListener("hashchange", () => (place.value = here()));

// Links of the console are ordinary links; a plain click on one stays here.
document.addEventListener("click", (e) => {
  if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
  const a = (e.target as Element | null)?.closest?.("a");
  if (!a || a.target || a.hasAttribute("download") || a.origin !== location.origin) return;
  if (a.pathname.startsWith("/v1/") || a.pathname.startsWith("/assets/") || a.pathname.includes(".")) return;
  if (a.hash && a.pathname === location.pathname && document.getElementById(a.hash.slice(1))) return;
  e.preventDefault();
  go(a.pathname + a.search + a.hash);
});

// match compares a path with a pattern like "/p/:publisher/people/:identity".
export function match(pattern: string, path: string): Record<string, string> | null {
  const want = pattern.split("/");
  const got = path.replace(/\/$/, "").split("/");
  if (want.length !== got.length) return null;
  const found: Record<string, string> = {};
  for (let i = 0; i < want.length; i++) {
    const w = want[i]!;
    if (w.startsWith(":")) {
      try {
        found[w.slice(1)] = decodeURIComponent(got[i]!);
      } catch {
        return null;
      }
    } else if (w !== got[i]) {
      return null;
    }
  }
  return found;
}
