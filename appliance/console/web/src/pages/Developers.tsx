// The documents for whoever connects an app, with the publisher's own address
// and one of its keys filled in.
import { h, type ComponentChild } from "preact";
import { get } from "../api/client";
import { Select } from "../parts/Field";
import { Page, Show } from "../parts/Page";
import { useLoad } from "../state/load";
import { readHash, setHash } from "../state/router";
import { api, link } from "../state/session";

export type DocNode = string | [string, ...(string | DocNode)[]];

interface Documents {
  documents: { name: string; title: string }[];
  url: string;
  keys: { name: string; id: string; secret: boolean }[];
}

const tags = new Set("h1 h2 h3 h4 p em strong code pre ul ol li table tr th td a".split(" "));

// draw makes elements of a document: known ones only, and texts stay texts.
export function draw(n: DocNode): ComponentChild {
  if (typeof n === "string") return n;
  const [tag, ...rest] = n;
  if (!tags.has(tag)) return null;
  if (tag === "a") return h("a", { href: String(rest[0]), rel: "noreferrer" }, rest.slice(1).map(draw));
  const children = rest.map((c) => draw(c as DocNode));
  if (tag === "pre") return h("pre", { class: "example", tabIndex: 0, role: "group", "aria-label": "Example" }, children);
  if (tag === "table") return h("div", { class: "doc-table" }, h("table", {}, h("tbody", {}, children)));
  return h(tag === "h1" ? "h2" : tag, {}, children);
}

export function Developers() {
  const hash = readHash();
  const all = useLoad((s) => get<Documents>(api("developers"), s), []);
  const name = hash.get("d") ?? all.data?.documents[0]?.name ?? "";
  const keys = all.data?.keys ?? [];
  const key = keys.find((k) => k.id === hash.get("key"))?.id ?? keys[0]?.id ?? "";
  const body = useLoad((s) => get<{ body: DocNode[] }>(api(`developers/${encodeURIComponent(name)}${key ? "?key=" + encodeURIComponent(key) : ""}`), s), [name, key], { skip: !all.data });
  const at = (d: string, k: string) => new URLSearchParams({ ...(d && { d }), ...(k && { key: k }) }).toString();
  return (
    <Page
      title="Developers"
      lead={<p>One line in an app, and it reports here. The same documents stand at <code>{(all.data?.url ?? "") + "/developers"}</code> for whoever has no sign-in.</p>}
      actions={
        <a class="button plain" href={link("incoming")}>
          See what comes in
        </a>
      }
    >
      <Show of={all} what="The documents">
        {(d) => (
          <>
            <div class="incoming-tools">
              <nav class="subnav" aria-label="Documents">
                {d.documents.map((x) => (
                  <a key={x.name} href={"#" + at(x.name, hash.get("key") ?? "")} aria-current={x.name === name ? "page" : undefined} class={x.name === name ? "on" : undefined}>
                    {x.title}
                  </a>
                ))}
              </nav>
              {keys.length > 0 && (
                <Select aria-label="The key that is filled in" value={key} onValue={(k) => setHash(at(name, k))} options={keys.map((k) => ({ value: k.id, label: `${k.id}${k.secret ? ", of servers" : ""}` }))} />
              )}
            </div>
            <Show of={body} what="The document" rows={10}>
              {(b) => <article class="doc">{b.body.map(draw)}</article>}
            </Show>
          </>
        )}
      </Show>
    </Page>
  );
}
