// One way to the server: every call of the console goes through send. It tells
// three kinds of trouble apart: the server said no (ApiError), nobody answered
// (Unreachable), and the session is over (which signs out).
import { signal } from "@preact/signals";
import type { Mistake } from "./types";

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly path: string,
    readonly mistakes: Mistake[],
  ) {
    super(message);
  }
}

export class Unreachable extends Error {
  constructor() {
    super("The appliance does not answer.");
  }
}

// connected is false from the first call that nobody answered until one is
// answered again; recovered then counts up, and what is on screen loads anew.
export const connected = signal(true);
export const recovered = signal(0);

let onSignedOut: () => void = () => {};
export function whenSignedOut(f: () => void) {
  onSignedOut = f;
}

const deadline = 60_000;

export async function send<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const init: RequestInit = {
    method,
    credentials: "same-origin",
    signal: signal ? AbortSignal.any([signal, AbortSignal.timeout(deadline)]) : AbortSignal.timeout(deadline),
  };
  if (body !== undefined) {
    init.headers = { "Content-Type": "application/json" };
    init.body = typeof body === "string" ? body : JSON.stringify(body);
  }
  let answer: Response;
  try {
    answer = await fetch(path, init);
  } catch (e) {
    if (signal?.aborted) throw e;
    lost();
    throw new Unreachable();
  }
  if (answer.status === 502 || answer.status === 503 || answer.status === 504) {
    const body = await answer.json().catch(() => null);
    if (!body?.error) {
      lost();
      throw new Unreachable();
    }
    throw errorOf(answer.status, body);
  }
  connected.value = true;
  if (answer.status === 204) return undefined as T;
  const text = await answer.text();
  let parsed: unknown = null;
  if (text !== "") {
    try {
      parsed = JSON.parse(text);
    } catch {
      throw new ApiError(answer.status, "not_json", `The answer to ${method} ${path} is not JSON.`, "", []);
    }
  }
  if (!answer.ok) {
    if (answer.status === 401 && !path.startsWith("/v1/session") && path !== "/v1/setup") onSignedOut();
    throw errorOf(answer.status, parsed);
  }
  return parsed as T;
}

interface ErrorBody {
  error?: { code?: string; message?: string; path?: string; mistakes?: Mistake[] | null };
}

function errorOf(status: number, body: unknown): ApiError {
  const e = (body as ErrorBody | null)?.error ?? {};
  return new ApiError(status, e.code ?? String(status), e.message ?? sentence(status), e.path ?? "", e.mistakes ?? []);
}

function sentence(status: number): string {
  switch (status) {
    case 401:
      return "You are not signed in.";
    case 403:
      return "Your role does not allow this.";
    case 404:
      return "There is nothing at this address.";
    case 429:
      return "Too many requests. Wait a moment and try again.";
  }
  return `The appliance answered ${status}.`;
}

// lost marks the connection as lost and asks until somebody answers.
let asking = false;
export function lost() {
  connected.value = false;
  if (asking) return;
  asking = true;
  let wait = 1000;
  const ask = async () => {
    try {
      const answer = await fetch("/v1/me", { credentials: "same-origin", signal: AbortSignal.timeout(5000) });
      if (answer.status < 500) {
        asking = false;
        connected.value = true;
        recovered.value++;
        if (answer.status === 401) onSignedOut();
        return;
      }
    } catch {
      // still nobody there
    }
    wait = Math.min(wait * 1.5, 8000);
    setTimeout(ask, wait);
  };
  setTimeout(ask, wait);
}

export const get = <T,>(path: string, signal?: AbortSignal) => send<T>("GET", path, undefined, signal);
export const post = <T,>(path: string, body: unknown = {}, signal?: AbortSignal) => send<T>("POST", path, body, signal);
export const put = <T,>(path: string, body: unknown) => send<T>("PUT", path, body);
export const del = <T,>(path: string) => send<T>("DELETE", path);

// at makes a path of fixed parts and values that need escaping.
export function at(parts: TemplateStringsArray, ...values: (string | number)[]): string {
  return parts.reduce((path, part, i) => path + (i > 0 ? encodeURIComponent(values[i - 1]!) : "") + part, "");
}

// explain is the sentence for an error that has no field of its own.
export function explain(e: unknown): string {
  if (e instanceof ApiError) return e.path ? `${e.path}: ${e.message}` : e.message;
  return e instanceof Error ? e.message : String(e);
}
