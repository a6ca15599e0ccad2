// The plugin processes that speak to providers, and how they are.
import { useState } from "preact/hooks";
import { explain, get, post } from "../api/client";
import type { ConnectorStatus } from "../api/types";
import { Button, LinkButton } from "../parts/Button";
import { ago, channel, dateTime, num, plural, sentence, title, value } from "../parts/format";
import { Icon } from "../parts/Icon";
import { Badge, Empty, Notice, Page, Show } from "../parts/Page";
import { useLoad } from "../state/load";
import { api, can, link } from "../state/session";

export function Connectors() {
  const loaded = useLoad((s) => get<{ connectors: ConnectorStatus[] | null }>(api("connectors"), s), [], { every: 5 });
  return (
    <Page
      title="Connectors"
      actions={can("people") && <LinkButton href={link("messages")}>Failed messages</LinkButton>}
      lead={<p>Each is a process of its own. One that hangs or crashes is started again; its messages wait, and nobody else's do.</p>}
    >
      <Show of={loaded} what="The connectors">
        {(d) =>
          !d.connectors?.length ? (
            <Empty icon="connector" title="No connector is configured">
              <p>Without one nothing can be sent. Add a block to the publisher in the configuration, then reload:</p>
              <pre class="example">{`connector "email" "relay" {
  plugin = "smtp"
  settings {
    host = "mail.example.com"
    port = 587
    from = "Shop <hello@example.com>"
  }
}`}</pre>
              <p>
                <code>cloister validate</code> checks it, <code>cloister reload</code> puts it to work.
              </p>
            </Empty>
          ) : (
            <ul class="connectors">
              {d.connectors.map((c) => (
                <li key={c.channel + c.name}>
                  <One c={c} reload={loaded.reload} />
                </li>
              ))}
            </ul>
          )
        }
      </Show>
    </Page>
  );
}

function One({ c, reload }: { c: ConnectorStatus; reload: () => void }) {
  const [result, setResult] = useState<{ ok: boolean; text: string } | null>(null);
  const [busy, setBusy] = useState(false);
  const check = async () => {
    setBusy(true);
    setResult(null);
    try {
      const r = await post<{ ok: boolean; problem?: string }>(api(`connectors/${encodeURIComponent(c.name)}/check`));
      setResult({ ok: r.ok, text: r.ok ? "It reaches its provider." : (r.problem ?? "It does not reach its provider.") });
    } catch (e) {
      setResult({ ok: false, text: explain(e) });
    } finally {
      setBusy(false);
    }
  };
  const turn = async (verb: "pause" | "resume") => {
    setBusy(true);
    setResult(null);
    try {
      await post(api(`connectors/${encodeURIComponent(c.name)}/${verb}`));
      reload();
    } catch (e) {
      setResult({ ok: false, text: explain(e) });
    } finally {
      setBusy(false);
    }
  };
  return (
    <article class="panel connector">
      <header class="connector-head">
        <span class="niche small" aria-hidden="true">
          <Icon name="connector" size={18} />
        </span>
        <div>
          <h2>{c.name}</h2>
          <p>
            {channel(c.channel)} by {c.plugin}
            {c.version && ` ${c.version}`}
          </p>
        </div>
        <Badge state={c.paused ? (c.in_flight ? "draining" : "paused") : c.left_out ? "left out" : c.unreachable ? "unreachable" : c.state} tone={c.paused || c.left_out || c.unreachable ? "warn" : undefined} />
      </header>
      {c.description && <p class="connector-text">{c.description}</p>}
      <dl class="stats inset">
        <div class="stat">
          <dt>Sent</dt>
          <dd>{num(c.sent)}</dd>
        </div>
        <div class="stat">
          <dt>Restarts</dt>
          <dd>{num(c.restarts)}</dd>
        </div>
        <div class="stat">
          <dt>{title(c.state)}</dt>
          <dd class="plain" title={dateTime(c.since)}>{ago(c.since).replace(/ ago$/, "")}</dd>
        </div>
      </dl>
      {c.paused && (
        <Notice kind="warn" title={`Paused ${ago(c.paused)}`}>
          {c.why && sentence(c.why) + " "}Its messages wait{c.in_flight > 0 && `; ${plural(c.in_flight, "message")} that it was given before ${c.in_flight === 1 ? "is" : "are"} not answered yet`}.
        </Notice>
      )}
      {!c.paused && c.left_out && (
        <Notice kind="warn" title={c.failing ? `Takes no messages since ${dateTime(c.failing)}` : "Takes no messages"}>
          {c.why && sentence(c.why) + " "}It is left out, and tried again at {dateTime(c.left_out)}.
        </Notice>
      )}
      {c.sandbox != null && c.sandbox !== "" && (
        <p class="connector-sandbox">
          <Icon name="key" size={14} />
          <span>
            Confined by {value(c.sandbox)}
            {c.grade && <> (grade <b>{c.grade}</b>)</>}
          </span>
        </p>
      )}
      {c.missing && <Notice kind="warn" title="Not fully confined">{sentence(c.missing)}</Notice>}
      {c.webhook && (
        <p class="connector-sandbox">
          <Icon name="link" size={14} />
          <span>Receipts come to <code>{c.webhook}</code></span>
        </p>
      )}
      {c.unreachable && <Notice kind="warn" title="Does not reach its provider">{sentence(c.unreachable)}</Notice>}
      {c.error && (
        <Notice kind="bad" title={c.state === "quarantined" ? "Left alone" : "Last error"}>
          {sentence(c.error)}
          {c.state === "quarantined" && " Its messages wait, or go by the others of its channel. Once that is put right, Check now starts it; else it is tried every quarter of an hour."}
        </Notice>
      )}
      {result && <Notice kind={result.ok ? "good" : "bad"}>{result.text}</Notice>}
      {can("check") && (
        <footer>
          <Button small icon="reload" onClick={check} disabled={busy} aria-busy={busy}>
            {busy ? "Wait" : "Check now"}
          </Button>
          <Button small icon={c.paused ? "play" : "pause"} onClick={() => turn(c.paused ? "resume" : "pause")} disabled={busy}>
            {c.paused ? "Resume" : "Pause"}
          </Button>
        </footer>
      )}
    </article>
  );
}
