// Make or change a campaign. What is wrong is asked of the server while one
// writes, and shown at the field it belongs to.
import { useEffect, useState } from "preact/hooks";
import { ApiError, get, post, put } from "../api/client";
import type { Campaign, Mistake } from "../api/types";
import { Act } from "../parts/Button";
import { Field, Input, Mistakes, mistakesOf, Summary } from "../parts/Field";
import { sentence } from "../parts/format";
import { JsonView } from "../parts/Json";
import { Empty, Failure, Notice, Page, Panel, Skeleton } from "../parts/Page";
import { idOf, labels, newCampaign, sent } from "../question/campaign";
import { useLoad } from "../state/load";
import { go, leaveOnlyIf, stayNoMore } from "../state/router";
import { api, can, link, publisher } from "../state/session";
import { toast } from "../state/toast";
import { ContentPart } from "./CampaignContent";
import { DeliveryPart, GoalPart, LimitsPart, TriggerPart } from "./CampaignParts";
import { Reach } from "./CampaignReach";
import { ContentPreview } from "./CampaignPreview";

export function CampaignEdit({ id }: { id: string }) {
  const loaded = useLoad((s) => get<Campaign>(api("campaigns/" + encodeURIComponent(id)), s), [id], { skip: id === "" });
  const back = id ? { href: link("campaigns/" + encodeURIComponent(id)), label: loaded.data?.name ?? "Campaign" } : { href: link("campaigns"), label: "Campaigns" };
  if (!can("campaigns")) {
    return (
      <Page title="Campaign" back={back}>
        <Notice title="Your role can look at campaigns, and not change them.">An admin can give you the role marketer.</Notice>
      </Page>
    );
  }
  if (id === "") {
    const p = publisher.value!;
    const top = p.events.filter((e) => !e.own).sort((a, b) => b.rows - a.rows)[0];
    return <Form first={newCampaign({ channel: p.channels[0] ?? "email", purpose: p.purposes[0]?.name ?? "", event: top?.name ?? "" })} back={back} fresh />;
  }
  if (loaded.data) return <Form first={loaded.data} back={back} fresh={false} />;
  return (
    <Page title="Campaign" back={back}>
      {loaded.error instanceof ApiError && loaded.error.status === 404 ? <Empty icon="campaign" title="There is no such campaign" /> : loaded.error ? <Failure error={loaded.error} what="This campaign" retry={loaded.reload} /> : <Skeleton rows={8} />}
    </Page>
  );
}

export interface PartProps {
  c: Campaign;
  set: (change: Partial<Campaign>) => void;
}

// useCheck asks the server what is wrong with c, a moment after each change.
function useCheck(c: Campaign): { mistakes: Mistake[]; checked: boolean; error: unknown } {
  const [state, setState] = useState<{ mistakes: Mistake[]; checked: boolean; error: unknown }>({ mistakes: [], checked: false, error: null });
  const text = JSON.stringify(sent(c));
  useEffect(() => {
    const stop = new AbortController();
    const timer = setTimeout(async () => {
      try {
        await post(api("campaigns/check"), text, stop.signal);
        setState({ mistakes: [], checked: true, error: null });
      } catch (e) {
        if (stop.signal.aborted) return;
        const mistakes = mistakesOf(e);
        setState({ mistakes, checked: mistakes.length > 0, error: mistakes.length ? null : e });
      }
    }, 350);
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [text]);
  return state;
}

function Form({ first, back, fresh }: { first: Campaign; back: { href: string; label: string }; fresh: boolean }) {
  const [c, setC] = useState(first);
  const [ownId, setOwnId] = useState(false);
  const [tried, setTried] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const set = (change: Partial<Campaign>) => setC((old) => ({ ...old, ...change }));
  const named: Campaign = fresh && !ownId ? { ...c, id: idOf(c.name) } : c;
  const check = useCheck(named);
  const dirty = JSON.stringify(c) !== JSON.stringify(first);
  useEffect(() => (dirty ? leaveOnlyIf(() => confirm("Leave without saving this campaign?")) : undefined), [dirty]);

  // Before the first try only what was written is held against the author.
  const shown = tried ? check.mistakes : check.mistakes.filter((m) => written(named, m.path));

  const save = async (start: boolean) => {
    setTried(true);
    setError(null);
    try {
      const body = sent(named);
      const saved = fresh ? await post<Campaign>(api("campaigns"), body) : await put<Campaign>(api("campaigns/" + encodeURIComponent(named.id)), body);
      const id = saved?.id ?? named.id;
      if (start) await post(api(`campaigns/${encodeURIComponent(id)}/start`));
      toast(start ? `${named.name} is running.` : "Saved.");
      stayNoMore();
      go(link("campaigns/" + encodeURIComponent(id)), true);
    } catch (e) {
      setError(e);
      const at = mistakesOf(e)[0]?.path;
      requestAnimationFrame(() => document.querySelector<HTMLElement>(".field.wrong input, .field.wrong select, .field.wrong textarea")?.focus());
      throw at ? new Error("Not saved: some fields need another look.") : e;
    }
  };
  return (
    <Page
      title={fresh ? "New campaign" : c.name}
      tab={fresh ? "New campaign" : `Change ${c.name}`}
      wide
      back={back}
      actions={
        <>
          <Act run={() => save(false)}>{fresh ? "Save as draft" : "Save"}</Act>
          {(fresh || c.state === "draft") && (
            <Act kind="primary" icon="play" run={() => save(true)}>
              Save and start
            </Act>
          )}
        </>
      }
    >
      <Mistakes.Provider value={shown}>
        <div class="campaign-edit">
          <div class="campaign-form">
            {error != null && <Summary error={error} labels={labels} />}
            {c.state === "running" && <Notice kind="warn">This campaign is running. What you save counts from the next message on; those decided before keep the revision they were decided with.</Notice>}
            <Panel title="Name">
              <div class="row">
                <Field label="Name" path="name">
                  {(a) => <Input {...a} value={c.name} onValue={(name) => set({ name })} placeholder="Abandoned cart" autofocus={fresh} />}
                </Field>
                <Field label="Id" path="id" hint={fresh ? "In reports and links; it stays." : "It stays as it is."}>
                  {(a) => (
                    <Input
                      {...a}
                      class="mono"
                      value={named.id}
                      disabled={!fresh}
                      onValue={(id) => {
                        setOwnId(id !== "");
                        set({ id });
                      }}
                    />
                  )}
                </Field>
              </div>
            </Panel>
            <TriggerPart c={c} set={set} />
            <DeliveryPart c={c} set={set} />
            <ContentPart c={c} set={set} />
            <GoalPart c={c} set={set} />
            <LimitsPart c={c} set={set} />
            <JsonView json={sent(named)} title="This campaign as JSON" note={`PUT it to ${api("campaigns/" + (named.id || "ID"))}.`} />
          </div>
          <div class="campaign-side">
            <ContentPreview c={c} />
            <Reach c={c} />
            <Todo check={check} />
          </div>
        </div>
      </Mistakes.Provider>
    </Page>
  );
}

// written says whether the field that a path names holds something.
function written(c: Campaign, path: string): boolean {
  let v: unknown = c;
  for (const key of path.replace(/\[(\d+)\]/g, ".$1").split(".").filter(Boolean)) {
    if (typeof v === "string" || typeof v !== "object" || v === null) break;
    v = (v as { [k: string]: unknown })[key];
  }
  return v !== undefined && v !== null && v !== "" && !(typeof v === "object" && Object.keys(v as object).length === 0);
}

// place is where a field stands in the form.
const place = (path: string) => Object.keys(labels).indexOf(path);

function Todo({ check }: { check: ReturnType<typeof useCheck> }) {
  return (
    <Panel title="Before it can run">
      {check.error ? (
        <p class="note">Not checked: {String((check.error as Error).message)}</p>
      ) : !check.checked ? (
        <Skeleton rows={2} />
      ) : check.mistakes.length === 0 ? (
        <p class="all-good">Nothing is missing.</p>
      ) : (
        <ul class="todo">
          {[...check.mistakes].sort((a, b) => place(a.path) - place(b.path)).map((m) => (
            <li key={m.path + m.message}>
              <b>{labels[m.path] ?? (m.path || "Campaign")}</b>
              <span>{sentence(m.message)}</span>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

