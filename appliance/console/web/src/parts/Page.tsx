// The frame of a page: its head, panels, and what is shown while there is
// nothing: a wait, an empty room, an error.
import type { ComponentChildren } from "preact";
import { ApiError, explain, Unreachable } from "../api/client";
import type { Loaded } from "../state/load";
import { useTitle } from "../state/title";
import { Button } from "./Button";
import { Icon } from "./Icon";

export function Page({ title, lead, actions, back, wide, children, tab }: { title: string; lead?: ComponentChildren; actions?: ComponentChildren; back?: { href: string; label: string }; wide?: boolean; children: ComponentChildren; tab?: string }) {
  useTitle(tab ?? title);
  return (
    <div class={`page${wide ? " wide" : ""}`}>
      <header class="page-head">
        {back && (
          <a class="back" href={back.href}>
            <Icon name="left" size={14} />
            {back.label}
          </a>
        )}
        <div class="page-title">
          <h1>{title}</h1>
          {actions && <div class="actions">{actions}</div>}
        </div>
        {lead && <div class="lead">{lead}</div>}
      </header>
      {children}
    </div>
  );
}

export function Panel({ title, note, actions, flush, children, class: extra }: { title?: string; note?: ComponentChildren; actions?: ComponentChildren; flush?: boolean; children: ComponentChildren; class?: string }) {
  return (
    <section class={`panel${flush ? " flush" : ""}${extra ? " " + extra : ""}`}>
      {(title || actions) && (
        <header class="panel-head">
          {title && <h2>{title}</h2>}
          {note && <span class="note">{note}</span>}
          {actions && <div class="actions">{actions}</div>}
        </header>
      )}
      <div class="panel-body">{children}</div>
    </section>
  );
}

// Empty is an empty room: what would be here, and what to do about it.
export function Empty({ icon, title, children, action }: { icon: string; title: string; children?: ComponentChildren; action?: ComponentChildren }) {
  return (
    <div class="empty">
      <span class="niche" aria-hidden="true">
        <Icon name={icon} size={24} />
      </span>
      <h2>{title}</h2>
      {children && <div class="empty-text">{children}</div>}
      {action && <div class="empty-action">{action}</div>}
    </div>
  );
}

export function Notice({ kind = "info", title, children, action }: { kind?: "info" | "bad" | "warn" | "good"; title?: string; children?: ComponentChildren; action?: ComponentChildren }) {
  return (
    <div class={`notice ${kind}`} role={kind === "bad" ? "alert" : "status"}>
      <Icon name={kind === "good" ? "check" : kind === "info" ? "info" : "warn"} />
      <div>
        {title && <p class="notice-title">{title}</p>}
        {children && <div>{children}</div>}
      </div>
      {action}
    </div>
  );
}

export function Failure({ error, retry, what }: { error: unknown; retry?: () => void; what: string }) {
  const path = error instanceof ApiError && error.path ? error.path : "";
  return (
    <Notice kind="bad" title={`${what} could not be loaded.`} action={retry && !(error instanceof Unreachable) ? <Button small onClick={retry}>Try again</Button> : undefined}>
      {path && <code>{path}</code>} {error instanceof ApiError ? error.message : explain(error)}
    </Notice>
  );
}

export function Skeleton({ rows = 4, tall }: { rows?: number; tall?: boolean }) {
  return (
    <div class={`skeleton${tall ? " tall" : ""}`} role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, i) => (
        <span key={i} class={`bone b${i % 4}`} />
      ))}
    </div>
  );
}

// Show draws what was loaded, or the state it is in.
export function Show<T>({ of, what, rows, children }: { of: Loaded<T>; what: string; rows?: number; children: (data: T) => ComponentChildren }) {
  if (of.data !== undefined) return <>{children(of.data)}</>;
  if (of.error && !(of.error instanceof Unreachable)) return <Failure error={of.error} retry={of.reload} what={what} />;
  return <Skeleton rows={rows ?? 5} />;
}

const tones: { [state: string]: string } = {
  running: "good", sent: "good", delivered: "good", granted: "good", ready: "good", up: "good", ok: "good", yes: "good", active: "good", accepted: "good",
  paused: "warn", waiting: "warn", attempting: "warn", starting: "warn", draining: "warn", warning: "warn", held: "warn", unknown: "warn", restarting: "warn", retry: "warn",
  failed: "bad", quarantined: "bad", down: "bad", degraded: "bad", stopped: "bad", crashed: "bad", withdrawn: "bad", suppressed: "bad", refused: "bad",
};

export function Badge({ state, children, tone }: { state: string; children?: ComponentChildren; tone?: string }) {
  return <span class={`badge ${tone ?? tones[state.toLowerCase()] ?? "calm"}`}>{children ?? state}</span>;
}

export function Stat({ label, value, note, tone }: { label: string; value: ComponentChildren; note?: ComponentChildren; tone?: string }) {
  return (
    <div class={`stat${tone ? " " + tone : ""}`}>
      <dt>{label}</dt>
      <dd>
        {value}
        {note && <span class="stat-note">{note}</span>}
      </dd>
    </div>
  );
}

// Niche is a person's or thing's initial, under an arch.
export function Niche({ of, size = 32 }: { of: string; size?: number }) {
  let h = 0;
  for (const c of of) h = (h * 31 + c.codePointAt(0)!) % 997;
  // Of a number its end, since numbers given in order begin alike.
  const letter = /\d{3}$/.test(of) ? of.slice(-2) : (/[\p{L}\p{N}]/u.exec(of)?.[0]?.toUpperCase() ?? "?");
  return (
    <span class={`avatar tint${h % 6}${size > 40 ? " big" : ""}`} aria-hidden="true">
      {letter}
    </span>
  );
}
