// What stands around every page: where one can go, at which publisher one
// works, and whether the appliance answers.
import type { ComponentChildren } from "preact";
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { connected, del } from "../api/client";
import type { Problem } from "../api/types";
import { get } from "../api/client";
import { useLoad } from "../state/load";
import { place, go } from "../state/router";
import { can, link, me, publisher, type Deed, publisherName, signOutLocally } from "../state/session";
import { choice, choose, type Choice } from "../state/theme";
import { dismiss, toasts } from "../state/toast";
import { IconButton } from "./Button";
import { Icon, Mark } from "./Icon";
import { paletteOpen } from "./Palette";

export const drawer = signal(false);

export interface Room {
  path: string;
  label: string;
  icon: string;
  group: string;
  may?: Deed; // what the operator's role must let them do
}

export const rooms: Room[] = [
  { path: "live", label: "Live", icon: "live", group: "Observe" },
  { path: "trends", label: "Trends", icon: "trends", group: "Observe", may: "ask" },
  { path: "funnels", label: "Funnels", icon: "funnel", group: "Observe", may: "ask" },
  { path: "people", label: "People", icon: "people", group: "Know", may: "people" },
  { path: "segments", label: "Segments", icon: "segment", group: "Know" },
  { path: "campaigns", label: "Campaigns", icon: "campaign", group: "Reach" },
  { path: "connectors", label: "Connectors", icon: "connector", group: "Reach" },
  { path: "mailbox", label: "Mailbox", icon: "mailbox", group: "Reach", may: "mailbox" },
  { path: "incoming", label: "Incoming", icon: "incoming", group: "Connect" },
  { path: "developers", label: "Developers", icon: "developers", group: "Connect" },
];

export function Shell({ children }: { children: ComponentChildren }) {
  useEffect(() => {
    drawer.value = false;
  }, [place.value.path]);
  const open = drawer.value;
  useEffect(() => {
    if (!open) return;
    document.querySelector<HTMLElement>(".side .side-link.on, .side .side-link")?.focus();
    const esc = (e: KeyboardEvent) => {
      if (e.key !== "Escape") return;
      drawer.value = false;
      document.querySelector<HTMLElement>(".topbar .icon-button")?.focus();
    };
    addEventListener("keydown", esc);
    return () => removeEventListener("keydown", esc);
  }, [open]);
  return (
    <div class={`shell${drawer.value ? " drawer-open" : ""}`}>
      <a
        class="skip"
        href="#main"
        onClick={(e) => {
          e.preventDefault();
          document.getElementById("main")?.focus();
        }}
      >
        Skip to the page
      </a>
      <header class="topbar">
        <IconButton icon="menu" label="Open the menu" aria-expanded={drawer.value} onClick={() => (drawer.value = !drawer.value)} />
        <a class="topbar-brand" href="/">
          <Mark size={22} />
          <span>{publisher.value?.title || "Cloister"}</span>
        </a>
        <IconButton icon="search" label="Search and go to" onClick={() => (paletteOpen.value = true)} />
      </header>
      <Side />
      {drawer.value && <button type="button" class="scrim" aria-label="Close the menu" onClick={() => (drawer.value = false)} />}
      <div class="content">
        <Lost />
        <main id="main" tabIndex={-1}>
          {children}
        </main>
      </div>
      <Toasts />
    </div>
  );
}

function Side() {
  const here = place.value.path;
  const groups = [...new Set(rooms.map((r) => r.group))];
  const inPublisher = publisherName.value || publisher.value?.name || me.value?.publishers[0]?.name || "";
  const to = (path: string) => `/p/${encodeURIComponent(inPublisher)}/${path}`;
  return (
    <aside class="side">
      <div class="side-brand">
        <Mark />
        <span>Cloister</span>
        {me.value?.appliance.demo && <span class="demo-tag">Demo</span>}
      </div>
      <PublisherSwitch />
      <button type="button" class="side-search" onClick={() => (paletteOpen.value = true)}>
        <Icon name="search" size={15} />
        <span>Search</span>
        <kbd>{/Mac|iPhone/.test(navigator.platform) ? "⌘" : "Ctrl"} K</kbd>
      </button>
      <nav aria-label="Pages">
        {inPublisher &&
          groups.map((g) => (
            <div class="side-group" key={g}>
              <h2>{g}</h2>
              <ul>
                {rooms
                  .filter((r) => r.group === g && (!r.may || can(r.may)))
                  .map((r) => (
                    <li key={r.path}>
                      <SideLink href={to(r.path)} icon={r.icon} label={r.label} on={here === to(r.path) || here.startsWith(to(r.path) + "/")} />
                    </li>
                  ))}
              </ul>
            </div>
          ))}
        <div class="side-group">
          <h2>Appliance</h2>
          <ul>
            <li>
              <HealthLink on={here === "/health"} />
            </li>
            <li>
              <SideLink href="/settings" icon="settings" label="Settings" on={here.startsWith("/settings")} />
            </li>
          </ul>
        </div>
      </nav>
      <Foot />
    </aside>
  );
}

function SideLink({ href, icon, label, on, count }: { href: string; icon: string; label: string; on: boolean; count?: number }) {
  return (
    <a href={href} class={`side-link${on ? " on" : ""}`} aria-current={on ? "page" : undefined}>
      <Icon name={icon} />
      <span>{label}</span>
      {!!count && <span class="count">{count}</span>}
    </a>
  );
}

function HealthLink({ on }: { on: boolean }) {
  const health = useLoad((s) => get<{ problems: Problem[] | null }>("/v1/health", s), [], { every: 20 });
  return <SideLink href="/health" icon="health" label="Health" on={on} count={health.data?.problems?.length} />;
}

function PublisherSwitch() {
  const all = me.value?.publishers ?? [];
  const now = publisherName.value;
  if (all.length === 0) return null;
  const current = all.find((p) => p.name === now) ?? all[0]!;
  const room = /^\/p\/[^/]+\/([a-z]+)/.exec(place.value.path)?.[1] ?? "live";
  if (all.length === 1) {
    return (
      <a class="switch single" href={`/p/${encodeURIComponent(current.name)}/live`}>
        <span class="switch-text">
          <b>{current.title || current.name}</b>
          <small>{current.timezone}</small>
        </span>
      </a>
    );
  }
  return (
    <label class="switch">
      <span class="hidden">Publisher</span>
      <span class="switch-text" aria-hidden="true">
        <b>{current.title || current.name}</b>
        <small>{current.timezone}</small>
      </span>
      <select value={current.name} onChange={(e) => go(`/p/${encodeURIComponent(e.currentTarget.value)}/${room}`)}>
        {all.map((p) => (
          <option key={p.name} value={p.name}>
            {p.title || p.name}
          </option>
        ))}
      </select>
      <Icon name="down" size={14} />
    </label>
  );
}

const themes: { value: Choice; icon: string; label: string }[] = [
  { value: "light", icon: "sun", label: "Light" },
  { value: "dark", icon: "moon", label: "Dark" },
  { value: "system", icon: "screen", label: "As the system" },
];

export function ThemeSwitch() {
  return (
    <div class="themes" role="radiogroup" aria-label="Theme">
      {themes.map((t) => (
        <label key={t.value} class={choice.value === t.value ? "on" : undefined} title={t.label}>
          <input type="radio" name="theme" checked={choice.value === t.value} onChange={() => choose(t.value)} aria-label={t.label} />
          <Icon name={t.icon} size={15} />
        </label>
      ))}
    </div>
  );
}

export async function signOut() {
  try {
    await del("/v1/session");
  } finally {
    signOutLocally();
    go("/sign-in", true);
  }
}

function Foot() {
  return (
    <div class="side-foot">
      <div class="side-who">
        <span>
          <b>{me.value?.operator.name}</b>
          <small>{me.value?.operator.role}</small>
        </span>
        <IconButton icon="out" label="Sign out" onClick={signOut} />
      </div>
      <ThemeSwitch />
    </div>
  );
}

function Lost() {
  if (connected.value) return null;
  return (
    <div class="lost" role="alert">
      <span class="lost-dot" aria-hidden="true" />
      The appliance does not answer. What you see may be old; it is asked again until it does.
    </div>
  );
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((t) => (
        <div key={t.id} class={`toast${t.bad ? " bad" : ""}`}>
          <Icon name={t.bad ? "warn" : "check"} size={16} />
          <span>{t.text}</span>
          <IconButton small icon="close" label="Dismiss" onClick={() => dismiss(t.id)} />
        </div>
      ))}
    </div>
  );
}

export const peopleLink = (identity: string) => link("people/" + encodeURIComponent(identity));
