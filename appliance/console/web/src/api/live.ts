// The stream of what happens now. It connects again by itself, and tells when
// it is not connected.
import { signal, type Signal } from "@preact/signals";
import { lost } from "./client";
import type { Hit, Pulse } from "./types";

export interface Arrival extends Hit {
  key: number;
}

export interface Live {
  hits: Signal<Arrival[]>; // newest first
  pulse: Signal<Pulse | null>;
  rates: Signal<number[]>; // events per second, a value each pulse
  open: Signal<boolean>;
  paused: Signal<boolean>;
  behind: Signal<number>; // arrivals while paused
  close: () => void;
}

const kept = 40;
const ratesKept = 90;

export function listen(path: string): Live {
  const live: Live = { hits: signal([]), pulse: signal(null), rates: signal([]), open: signal(false), paused: signal(false), behind: signal(0), close: () => {} };
  let source: EventSource | null = null;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let frame = 0;
  let key = 0;
  let queue: Arrival[] = [];

  // Many hits may come at once; the page is drawn once a frame.
  const flush = () => {
    frame = 0;
    if (live.paused.value) {
      live.behind.value += queue.length;
      queue = [];
      return;
    }
    live.hits.value = [...queue.reverse(), ...live.hits.value].slice(0, kept);
    queue = [];
  };

  const connect = () => {
    source = new EventSource(path);
    source.onopen = () => {
      live.open.value = true;
      live.hits.value = []; // the latest come again
    };
    source.addEventListener("hit", (e) => {
      const hit = read<Hit>(e);
      if (!hit) return;
      queue.push({ ...hit, key: key++ });
      if (queue.length > 500) queue.shift();
      if (!frame) frame = requestAnimationFrame(flush);
    });
    source.addEventListener("pulse", (e) => {
      const p = read<Pulse>(e);
      if (!p) return;
      live.pulse.value = p;
      live.rates.value = [...live.rates.value, p.per_second].slice(-ratesKept);
    });
    source.onerror = () => {
      live.open.value = false;
      // The browser tries again by itself unless the answer was no stream.
      if (source?.readyState === EventSource.CLOSED) {
        clearTimeout(retry);
        retry = setTimeout(connect, 3000);
      }
      lost();
    };
  };
  connect();
  live.close = () => {
    source?.close();
    clearTimeout(retry);
    cancelAnimationFrame(frame);
  };
  return live;
}

function read<T>(e: Event): T | null {
  try {
    return JSON.parse((e as MessageEvent<string>).data) as T;
  } catch {
    return null;
  }
}
