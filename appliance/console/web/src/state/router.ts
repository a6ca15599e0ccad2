// Addresses of pages. The path says which page; the fragment holds what was
// asked there (a question, a tab), so that a copied address opens the same view
// and no question ever stands in a server's log.
import { signal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

export interface Place {
  path: string;
  hash: string; // without the #
}

const here = (): Place => ({ path: location.pathname, hash: location.hash.slice(1) });
export const place = signal<Place>(here());

let guard: (() => boolean) | null = null;

// leaveOnlyIf asks f before the page is left; the returned function takes it
// away. A window that is closed asks in the browser's own words.
export function leaveOnlyIf(f: () => boolean): () => void {
  guard = f;
  return () => {
    if (guard === f) guard = null;
  };
}

// stayNoMore lets the page be left without asking, once what was written is saved.
export function stayNoMore() {
  guard = null;
}

addEventListener("beforeunload", (e) => {
  if (guard) e.preventDefault();
});

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

addEventListener("popstate", () => {
  if (guard && location.pathname !== place.value.path) {
    if (!guard()) {
      history.pushState(null, "", place.value.path + (place.value.hash ? "#" + place.value.hash : ""));
      return;
    }
    guard = null;
  }
  place.value = here();
});
addEventListener("hashchange", () => (place.value = here()));

// useAddress keeps what a page holds in the fragment, and reads it again where
// somebody else changed it: another address typed, or a link.
export function useAddress(hash: string, read: () => void) {
  const written = useRef("");
  useEffect(() => {
    setHash(hash);
    written.current = place.value.hash;
  }, [hash]);
  useSignalEffect(() => {
    const now = place.value;
    if (written.current && now.hash !== written.current && now.path === location.pathname) {
      written.current = now.hash;
      read();
    }
  });
}

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
