// One person: who they are, what they agreed to, what they did, what they got.
import { useState } from "preact/hooks";
import { ApiError, del, get, post } from "../api/client";
import type { Decision, Person } from "../api/types";
import { Button } from "../parts/Button";
import { Confirm } from "../parts/Dialog";
import { channel, date, dateTime, title, value, zone } from "../parts/format";
import { Badge, Empty, Failure, Niche, Notice, Page, Panel, Skeleton } from "../parts/Page";
import { Table } from "../parts/Table";
import { useLoad } from "../state/load";
import { go } from "../state/router";
import { api, can, link, publisher } from "../state/session";
import { toast } from "../state/toast";
import { Timeline } from "./Timeline";

export function PersonPage({ identity }: { identity: string }) {
  const path = "people/" + encodeURIComponent(identity);
  const loaded = useLoad((s) => get<Person>(api(path), s), [identity], { skip: !can("people") });
  const [erasing, setErasing] = useState(false);
  const [parting, setParting] = useState(false);
  const back = { href: link("people"), label: "People" };
  const p = loaded.data;

  if (!can("people")) {
    return (
      <Page title="Person" back={back}>
        <Notice title="Your role sees what was done, and no people.">An admin can give you the role analyst or marketer.</Notice>
      </Page>
    );
  }
  if (!p) {
    const e = loaded.error;
    if (e instanceof ApiError && (e.status === 404 || e.status === 410)) {
      return (
        <Page title={identity} back={back}>
          <Empty icon="person" title={e.status === 410 ? "This person was erased" : "Nobody has this identity"}>
            <p>
              {e.status === 410
                ? "Their key is destroyed. No question and no message can reach them, and what is left of their data cannot be opened."
                : "Identities are compared letter by letter. Check for a leading zero or a plus sign, or try their e-mail, phone or device id."}
            </p>
          </Empty>
        </Page>
      );
    }
    return (
      <Page title={identity} back={back}>
        {e ? <Failure error={e} what="This person" retry={loaded.reload} /> : <Skeleton rows={8} />}
      </Page>
    );
  }
  return (
    <Page
      title={identity}
      wide
      back={back}
      lead={
        <p>
          Person {p.person}, known since {date(p.created)}. Times are in {zone()}.
        </p>
      }
      actions={
        can("erase") && (
          <Button kind="danger" icon="trash" onClick={() => setErasing(true)}>
            Erase
          </Button>
        )
      }
    >
      {p.masked && <Notice title="Personal values are masked.">Your role sees what people did, and not who they are.</Notice>}
      <div class="person">
        <div class="person-side">
          <Who p={p} identity={identity} />
          <Profile p={p} />
          <Consent p={p} />
          <Channels p={p} />
          <Joined p={p} part={() => setParting(true)} />
        </div>
        <div class="person-main">
          <Timeline identity={identity} />
          <Messages list={p.messages ?? []} />
        </div>
      </div>
      {parting && <Part path={path} close={() => setParting(false)} done={loaded.reload} />}
      {erasing && <Erase identity={identity} path={path} close={() => setErasing(false)} />}
    </Page>
  );
}

function Who({ p, identity }: { p: Person; identity: string }) {
  return (
    <Panel>
      <div class="who">
        <Niche of={identity} size={56} />
        <dl class="pairs">
          {(p.identities ?? []).map((i) => (
            <div key={i.value}>
              <dt>Identity</dt>
              <dd>
                <code>{i.value}</code>
                <small>since {date(i.since)}</small>
              </dd>
            </div>
          ))}
          {(p.devices ?? []).map((d) => {
            const id = typeof d === "string" ? d : d.id;
            return (
              <div key={id}>
                <dt>Device</dt>
                <dd>
                  <code class="clip" title={id}>{id}</code>
                  {typeof d !== "string" && d.since && <small>since {date(d.since)}</small>}
                </dd>
              </div>
            );
          })}
        </dl>
      </div>
    </Panel>
  );
}

function Profile({ p }: { p: Person }) {
  const entries = Object.entries(p.profile ?? {});
  const personal = new Set(p.personal ?? []);
  return (
    <Panel title="Profile">
      {entries.length === 0 ? (
        <p class="note">No attributes yet.</p>
      ) : (
        <dl class="pairs">
          {entries.map(([k, v]) => (
            <div key={k}>
              <dt>{k}</dt>
              <dd>
                {value(v)}
                {personal.has(k) && <Badge state="personal" tone="calm">personal</Badge>}
              </dd>
            </div>
          ))}
        </dl>
      )}
    </Panel>
  );
}

function Consent({ p }: { p: Person }) {
  const purposes = publisher.value?.purposes ?? [];
  const all = p.consent ?? [];
  const named = (name: string) => purposes.find((x) => x.name === name)?.title || name;
  const silent = purposes.filter((x) => x.basis === "consent" && !all.some((c) => c.purpose === x.name));
  return (
    <Panel title="Consent">
      {all.length === 0 && silent.length === 0 && <p class="note">This publisher asks for no consent.</p>}
      <ul class="consents">
        {all.map((c) => (
          <li key={c.purpose + c.channel}>
            <span>
              <b>{named(c.purpose)}</b> {c.channel ? "by " + channel(c.channel) : "on every channel"}
              <small>
                {date(c.since)}
                {c.source && `, from ${c.source}`}
                {c.version && `, version ${c.version}`}
              </small>
            </span>
            <Badge state={c.granted ? "granted" : "withdrawn"}>{c.granted ? "given" : "withdrawn"}</Badge>
          </li>
        ))}
        {silent.map((x) => (
          <li key={x.name}>
            <span>
              <b>{x.title || x.name}</b>
              <small>never asked, so nothing is sent for it</small>
            </span>
            <Badge state="none">none</Badge>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function Channels({ p }: { p: Person }) {
  const all = p.channels ?? [];
  return (
    <Panel title="Addresses">
      {all.length === 0 ? (
        <p class="note">No address on any channel: this person cannot be reached.</p>
      ) : (
        <dl class="pairs">
          {all.map((c) => (
            <div key={c.channel + c.address}>
              <dt>
                {channel(c.channel)}
                {c.platform && ` (${c.platform})`}
              </dt>
              <dd>
                <code class="clip" title={c.address}>{c.address}</code>
                {c.suppressed && <Badge state="suppressed">suppressed</Badge>}
              </dd>
            </div>
          ))}
        </dl>
      )}
    </Panel>
  );
}

const causes: { [rule: string]: string } = { login: "signed in on their device", alias: "an app said that they are one" };

function Joined({ p, part }: { p: Person; part: () => void }) {
  const all = p.joined ?? [];
  if (all.length === 0) return null;
  return (
    <Panel title="Joined" note="who became one with this person">
      <dl class="pairs">
        {all.map((j) => (
          <div key={j.person}>
            <dt>Person {j.person}</dt>
            <dd>
              {[...j.identities, ...j.devices].map((id) => (
                <code key={id} class="clip" title={id}>{id}</code>
              ))}
              <small>
                {date(j.since ?? "")}: {causes[j.rule] ?? j.rule}
              </small>
            </dd>
          </div>
        ))}
      </dl>
      {can("erase") && (
        <Button onClick={part}>Part them again</Button>
      )}
    </Panel>
  );
}

function Part({ path, close, done }: { path: string; close: () => void; done: () => void }) {
  return (
    <Confirm
      title="Part what was joined"
      verb="Part them"
      danger={false}
      close={close}
      run={async () => {
        const { parted } = await post<{ parted: number }>(api(path + "/demerge"));
        toast(parted === 1 ? "One person was parted." : `${parted} people were parted.`);
        done();
      }}
    >
      <p>Each gets back the events, attributes and consents that were theirs before. What was done since as this person stays here.</p>
      <p>Signing in on the same device does not join them again.</p>
    </Confirm>
  );
}

export function Messages({ list }: { list: Decision[] }) {
  return (
    <Panel title="Messages" note="sent, waiting and held" flush>
      {list.length === 0 ? (
        <Empty icon="mailbox" title="No message was ever decided for this person">
          <p>When a campaign chooses them, it shows here, also if it was held back, with the reason.</p>
        </Empty>
      ) : (
        <Table
          label="Messages to this person"
          rows={list}
          rowKey={(m) => m.message}
          href={(m) => link("messages/" + m.message)}
          columns={[
            { head: "Campaign", cell: (m) => m.campaign },
            { head: "Channel", cell: (m) => channel(m.channel) },
            { head: "State", cell: (m) => <Badge state={m.state} /> },
            { head: "Reason", cell: (m) => title(m.reason ?? "") || "–", hide: true },
            { head: "Decided", cell: (m) => dateTime(m.decided) },
          ]}
        />
      )}
    </Panel>
  );
}

function Erase({ identity, path, close }: { identity: string; path: string; close: () => void }) {
  return (
    <Confirm
      title="Erase this person"
      verb="Erase for good"
      typed={identity}
      close={close}
      run={async () => {
        const { request } = await del<{ request: string }>(api(path));
        toast("Erased.");
        go(link("erasures/" + encodeURIComponent(request)));
      }}
    >
      <p>Their key is destroyed at once: from then on no question, no message and no backup can open what was theirs. It cannot be undone.</p>
      <p>What waits to be sent to them is dropped, connectors are told, and a certificate is made when every holder has reported.</p>
    </Confirm>
  );
}
