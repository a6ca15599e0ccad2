// What a mailbox connector kept instead of sending: for trying things out.
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, get } from "../api/client";
import type { MailboxMessage } from "../api/types";
import { Choice } from "../parts/Field";
import { ago, channel, dateTimeSeconds } from "../parts/format";
import { Badge, Empty, Failure, Notice, Page, Skeleton } from "../parts/Page";
import { useLoad } from "../state/load";
import { readHash, setHash } from "../state/router";
import { api, can, link } from "../state/session";

export function Mailbox() {
  const loaded = useLoad((s) => get<{ messages: MailboxMessage[] | null }>(api("mailbox?limit=100"), s), [], { every: 10, skip: !can("mailbox") });
  const chosen = readHash().get("m");
  const all = loaded.data?.messages ?? [];
  // The letter that is being read stays open, also when newer ones push it out
  // of the list.
  const read = useRef<MailboxMessage | undefined>(undefined);
  const open = all.find((m) => m.id === chosen) ?? (read.current?.id === chosen ? read.current : undefined) ?? all[0];
  read.current = open;
  useEffect(() => {
    if (!chosen && open) setHash("m=" + encodeURIComponent(open.id));
  }, [chosen, open?.id]);
  const [reading, setReading] = useState(!!chosen); // on a phone: the letter instead of the list

  if (!can("mailbox")) {
    return (
      <Page title="Mailbox">
        <Notice title="Only admins read what was kept here.">These are whole messages to people.</Notice>
      </Page>
    );
  }
  const missing = loaded.error instanceof ApiError && loaded.error.status === 404;
  return (
    <Page title="Mailbox" wide lead={<p>What the mailbox connector kept instead of sending: for trying things out, here and in tests.</p>}>
      {missing ? (
        <Empty icon="mailbox" title="This publisher has no mailbox connector">
          <p>It keeps messages instead of sending them, so that campaigns can be tried safely. Add one to the configuration:</p>
          <pre class="example">{`connector "email" "trial" {
  plugin = "mailbox"
  settings {
    dir = "/var/lib/cloister/mailbox"
  }
}`}</pre>
        </Empty>
      ) : loaded.error && !loaded.data ? (
        <Failure error={loaded.error} what="The mailbox" retry={loaded.reload} />
      ) : !loaded.data ? (
        <Skeleton rows={6} />
      ) : all.length === 0 ? (
        <Empty icon="mailbox" title="The box is empty" action={<a class="button primary" href={link("campaigns")}>Go to the campaigns</a>}>
          <p>Start a campaign, and what it sends lies here a moment later.</p>
        </Empty>
      ) : (
        <div class={`box${reading ? " reading" : ""}`}>
          <ul class="box-list" aria-label="Messages">
            {all.map((m) => (
              <li key={m.id}>
                <button
                  type="button"
                  aria-current={m.id === open?.id ? "true" : undefined}
                  class={m.id === open?.id ? "on" : undefined}
                  onClick={() => {
                    setHash("m=" + encodeURIComponent(m.id));
                    setReading(true);
                  }}
                >
                  <span class="box-to">
                    <b>{m.to}</b>
                    <time dateTime={m.at}>{ago(m.at)}</time>
                  </span>
                  <span class="box-subject">{m.subject || m.text?.slice(0, 80) || "No subject"}</span>
                  {m.channel !== "email" && <Badge state={m.channel} tone="calm">{channel(m.channel)}</Badge>}
                </button>
              </li>
            ))}
          </ul>
          {open && <Letter key={open.id} m={open} back={() => setReading(false)} />}
        </div>
      )}
    </Page>
  );
}

function Letter({ m, back }: { m: MailboxMessage; back: () => void }) {
  const [view, setView] = useState(m.html ? "html" : "text");
  return (
    <article class="mail-open">
      <header>
        <button type="button" class="button quiet small box-back" onClick={back}>
          All messages
        </button>
        <h2>{m.subject || channel(m.channel)}</h2>
        <dl class="pairs tight">
          <div>
            <dt>To</dt>
            <dd>{m.to}</dd>
          </div>
          <div>
            <dt>At</dt>
            <dd>{dateTimeSeconds(m.at)}</dd>
          </div>
        </dl>
        {m.html && <Choice label="Show as" value={view} onValue={setView} options={[{ value: "html", label: "As sent" }, { value: "text", label: "Plain text" }]} />}
      </header>
      {view === "html" && m.html ? (
        // The frame has no rights: no script, no forms, no access to the console.
        <iframe title={`Message to ${m.to}`} sandbox="allow-popups allow-popups-to-escape-sandbox" src={api(`mailbox/${encodeURIComponent(m.id)}/html`)} />
      ) : (
        <pre class="mail-text">{m.text || "This message has no plain text."}</pre>
      )}
    </article>
  );
}
