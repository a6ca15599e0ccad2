// The command palette: Ctrl or Cmd and K, then a few letters.
import { signal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { get } from "../api/client";
import type { Campaign, SavedSegment } from "../api/types";
import { go } from "../state/router";
import { api, can, link, me, publisherName } from "../state/session";
import { choose } from "../state/theme";
import { Dialog } from "./Dialog";
import { Icon } from "./Icon";
import { rooms, signOut } from "./Shell";

export const paletteOpen = signal(false);

addEventListener("keydown", (e) => {
  if ((e.ctrlKey || e.metaKey) && !e.altKey && !e.shiftKey && e.key.toLowerCase() === "k" && me.value) {
    e.preventDefault();
    paletteOpen.value = !paletteOpen.value;
  }
});

interface Command {
  label: string;
  note: string;
  icon: string;
  run: () => void;
}

export function Palette() {
  return paletteOpen.value && me.value ? <Open /> : null;
}

function Open() {
  const [text, setText] = useState("");
  const [active, setActive] = useState(0);
  const [campaigns, setCampaigns] = useState<Campaign[]>([]);
  const [segments, setSegments] = useState<SavedSegment[]>([]);
  const list = useRef<HTMLUListElement>(null);
  const close = () => (paletteOpen.value = false);

  useEffect(() => {
    if (!publisherName.value) return;
    const stop = new AbortController();
    get<{ campaigns: Campaign[] | null }>(api("campaigns"), stop.signal).then((r) => setCampaigns(r.campaigns ?? []), () => {});
    get<{ segments: SavedSegment[] | null }>(api("segments"), stop.signal).then((r) => setSegments(r.segments ?? []), () => {});
    return () => stop.abort();
  }, []);

  const all = useMemo<Command[]>(() => {
    const to = (path: string) => () => go(path);
    const out: Command[] = [];
    if (publisherName.value) {
      out.push(...rooms.filter((r) => !r.may || can(r.may)).map((r) => ({ label: r.label, note: "Page", icon: r.icon, run: to(link(r.path)) })));
      if (can("campaigns")) out.push({ label: "New campaign", note: "Make", icon: "plus", run: to(link("campaigns/new")) });
      if (can("campaigns")) out.push({ label: "New segment", note: "Make", icon: "plus", run: to(link("segments/new")) });
    }
    out.push({ label: "Health", note: "Page", icon: "health", run: to("/health") });
    out.push({ label: "Settings", note: "Page", icon: "settings", run: to("/settings") });
    for (const c of campaigns) out.push({ label: c.name, note: "Campaign", icon: "campaign", run: to(link("campaigns/" + encodeURIComponent(c.id))) });
    for (const s of segments) out.push({ label: s.name, note: "Segment", icon: "segment", run: to(link("segments/" + encodeURIComponent(s.name))) });
    for (const p of me.value?.publishers ?? []) if (p.name !== publisherName.value) out.push({ label: p.title || p.name, note: "Publisher", icon: "right", run: to(`/p/${encodeURIComponent(p.name)}/live`) });
    out.push({ label: "Light theme", note: "Theme", icon: "sun", run: () => choose("light") });
    out.push({ label: "Dark theme", note: "Theme", icon: "moon", run: () => choose("dark") });
    out.push({ label: "Theme of the system", note: "Theme", icon: "screen", run: () => choose("system") });
    out.push({ label: "Sign out", note: "Session", icon: "out", run: () => void signOut() });
    return out;
  }, [campaigns, segments]);

  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = all.filter((c) => words.every((w) => (c.label + " " + c.note).toLowerCase().includes(w))).slice(0, 40);
  if (text.trim() && publisherName.value) {
    if (can("people")) found.push({ label: `Find the person “${text.trim()}”`, note: "Identity", icon: "person", run: () => go(link("people/" + encodeURIComponent(text.trim()))) });
    if (/^[0-9a-f]{32}$/.test(text.trim())) found.push({ label: "Explain this message", note: "Message", icon: "mailbox", run: () => go(link("messages/" + text.trim())) });
  }
  const run = (c: Command | undefined) => {
    if (!c) return;
    close();
    c.run();
  };
  const key = (e: KeyboardEvent) => {
    if (e.key === "ArrowDown" || e.key === "ArrowUp") {
      e.preventDefault();
      const next = (active + (e.key === "ArrowDown" ? 1 : found.length - 1)) % found.length;
      setActive(next);
      list.current?.children[next]?.scrollIntoView({ block: "nearest" });
    } else if (e.key === "Enter") {
      e.preventDefault();
      run(found[active]);
    }
  };
  return (
    <Dialog title="Search and go to" bare close={close} class="palette">
      <div class="palette-input">
        <Icon name="search" />
        <input
          autofocus
          role="combobox"
          aria-label="Search pages, campaigns, segments, people"
          aria-expanded={true}
          aria-controls="palette-list"
          aria-activedescendant={found.length ? `palette-${active}` : undefined}
          placeholder="Go to a page, a campaign, a person…"
          value={text}
          autocomplete="off"
          spellcheck={false}
          onInput={(e) => {
            setText(e.currentTarget.value);
            setActive(0);
          }}
          onKeyDown={key}
        />
        <kbd>Esc</kbd>
      </div>
      <ul id="palette-list" role="listbox" aria-label="Results" ref={list}>
        {found.map((c, i) => (
          <li key={c.note + c.label} id={`palette-${i}`} role="option" aria-selected={i === active} class={i === active ? "active" : undefined} onMouseMove={() => i !== active && setActive(i)} onClick={() => run(c)}>
            <Icon name={c.icon} size={16} />
            <span>{c.label}</span>
            <small>{c.note}</small>
          </li>
        ))}
      </ul>
    </Dialog>
  );
}
