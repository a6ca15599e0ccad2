// Asks a question whenever it changes, a moment after the last change, and
// keeps the earlier answer on screen meanwhile.
import { useEffect, useState } from "preact/hooks";
import { ApiError, post } from "../api/client";
import type { Answer, Mistake } from "../api/types";
import { mistakesOf } from "../parts/Field";
import { recovered } from "../api/client";
import { api } from "../state/session";

export interface Asked<R> {
  answer: Answer<R> | null;
  error: unknown;
  mistakes: Mistake[];
  asking: boolean;
}

export function useQuestion<R>(question: unknown, ready = true): Asked<R> {
  const text = ready ? JSON.stringify(question) : "";
  const [state, setState] = useState<{ answer: Answer<R> | null; error: unknown; asking: boolean }>({ answer: null, error: null, asking: ready });
  const round = recovered.value;
  useEffect(() => {
    if (!text) {
      setState((s) => ({ ...s, asking: false }));
      return;
    }
    const stop = new AbortController();
    setState((s) => ({ ...s, asking: true }));
    const timer = setTimeout(async () => {
      try {
        const answer = await post<Answer<R>>(api("query"), text, stop.signal);
        if (!stop.signal.aborted) setState({ answer, error: null, asking: false });
      } catch (error) {
        if (!stop.signal.aborted) setState((s) => ({ answer: error instanceof ApiError ? null : s.answer, error, asking: false }));
      }
    }, 220);
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [text, round]);
  return { ...state, mistakes: mistakesOf(state.error) };
}
