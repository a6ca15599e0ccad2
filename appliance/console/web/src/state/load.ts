// What a page reads from the server: the data, or why there is none, or a wait.
import { useSignalEffect } from "@preact/signals";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { connected, recovered, Unreachable } from "../api/client";

export interface Loaded<T> {
  data: T | undefined;
  error: unknown;
  loading: boolean;
  reload: () => void;
  set: (data: T) => void;
}

// useLoad runs f whenever one of deps changes, when the connection came back,
// and every seconds if given. Old data stays until the new arrive, unless keep
// is false: then a change of deps shows the wait again.
export function useLoad<T>(
  f: (signal: AbortSignal) => Promise<T>,
  deps: unknown[],
  o: { every?: number; keep?: boolean; skip?: boolean } = {},
): Loaded<T> {
  const [state, setState] = useState<{ data?: T; error?: unknown; loading: boolean }>({ loading: !o.skip });
  const [round, setRound] = useState(0);
  const latest = useRef(f);
  latest.current = f;

  useEffect(() => {
    if (o.skip) {
      setState({ loading: false });
      return;
    }
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    setState((s) => ({ ...(o.keep === false ? {} : s), loading: true }));
    const run = async () => {
      try {
        const data = await latest.current(stop.signal);
        if (!stop.signal.aborted) setState({ data, loading: false });
      } catch (error) {
        if (stop.signal.aborted) return;
        setState((s) => ({ data: error instanceof Unreachable ? s.data : undefined, error, loading: false }));
      }
      if (o.every && !stop.signal.aborted) timer = setTimeout(again, o.every * 1000);
    };
    // Nobody looks at a hidden page, and many reads are recorded in the audit.
    const again = () => {
      if (stop.signal.aborted || !connected.value) return;
      if (document.hidden) document.addEventListener("visibilitychange", again, { once: true });
      else void run();
    };
    run();
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", again);
    };
  }, [...deps, round, o.skip]);

  const reload = useCallback(() => setRound((n) => n + 1), []);
  const seen = useRef(recovered.value);
  useSignalEffect(() => {
    if (recovered.value !== seen.current) {
      seen.current = recovered.value;
      reload();
    }
  });
  const set = useCallback((data: T) => setState({ data, loading: false }), []);
  return { data: state.data, error: state.error, loading: state.loading, reload, set };
}
