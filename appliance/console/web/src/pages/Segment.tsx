// Make or change a segment, and see at once who it means.
import { useEffect, useMemo, useState } from "preact/hooks";
import { ApiError, del, get, put } from "../api/client";
import type { Json, SavedSegment, SegmentResult } from "../api/types";
import { Act, Button, LinkButton } from "../parts/Button";
import { Confirm } from "../parts/Dialog";
import { Field, Input, Mistakes, mistakesOf, Summary } from "../parts/Field";
import { channel, num, percent, plural, took } from "../parts/format";
import { JsonView } from "../parts/Json";
import { Empty, Failure, Niche, Notice, Page, Panel, Skeleton } from "../parts/Page";
import { PeopleEditor } from "../parts/PeopleEditor";
import { peopleLink } from "../parts/Shell";
import { newClause, peopleJson, say } from "../question/people";
import { useQuestion } from "../question/useQuestion";
import { useLoad } from "../state/load";
import { go, leaveOnlyIf, readHash, stayNoMore } from "../state/router";
import { api, can, link, publisher } from "../state/session";
import { toast } from "../state/toast";
import { AskError } from "./TrendAnswer";
import { firstRange, useSegments } from "./Trends";

export function SegmentPage({ name }: { name: string }) {
  const fresh = name === "new";
  const loaded = useLoad((s) => get<SavedSegment>(api("segments/" + encodeURIComponent(name)), s), [name], { skip: fresh });
  const back = { href: link("segments"), label: "Segments" };
  if (fresh && !can("campaigns")) {
    return (
      <Page title="New segment" back={back}>
        <Notice title="Your role can look at segments, and not make them.">An admin can give you the role marketer.</Notice>
      </Page>
    );
  }
  if (fresh) return <Editor name="" people={initial()} back={back} />;
  if (loaded.data && !can("campaigns")) return <ReadOnly name={name} people={loaded.data.people} back={back} />;
  if (loaded.data) return <Editor name={name} people={loaded.data.people} back={back} />;
  return (
    <Page title={name} back={back}>
      {loaded.error instanceof ApiError && loaded.error.status === 404 ? (
        <Empty icon="segment" title="There is no segment of this name" action={<LinkButton href={link("segments")}>All segments</LinkButton>} />
      ) : loaded.error ? (
        <Failure error={loaded.error} what="This segment" retry={loaded.reload} />
      ) : (
        <Skeleton />
      )}
    </Page>
  );
}

function initial(): Json {
  const given = readHash().get("people");
  if (given) {
    try {
      return JSON.parse(given) as Json;
    } catch {
      // then a new one
    }
  }
  const top = publisher.value!.events.filter((e) => !e.own).sort((a, b) => b.rows - a.rows)[0];
  const clause = newClause.did(top?.name);
  if (clause.kind === "did" && firstRange() === "") clause.when = { kind: "ever" };
  return peopleJson({ join: "all", clauses: [clause] });
}

function ReadOnly({ name, people, back }: { name: string; people: Json; back: { href: string; label: string } }) {
  const asked = useQuestion<SegmentResult>({ kind: "segment", people, list: { limit: 12 } }, can("ask"));
  return (
    <Page title={name} wide back={back}>
      <div class="segment">
        <div class="segment-form">
          <Panel title="Who">
            <p>{say(people)}.</p>
          </Panel>
          <JsonView json={people} title="This expression as JSON" />
        </div>
        <Preview asked={asked} />
      </div>
    </Page>
  );
}

function Editor({ name, people: first, back }: { name: string; people: Json; back: { href: string; label: string } }) {
  const fresh = name === "";
  const [title, setTitle] = useState(name);
  const [people, setPeople] = useState<Json>(first);
  const [error, setError] = useState<unknown>(null);
  const [deleting, setDeleting] = useState(false);
  const segments = useSegments().filter((s) => s !== name);
  const dirty = fresh ? title !== "" : JSON.stringify(people) !== JSON.stringify(first);
  useEffect(() => (dirty ? leaveOnlyIf(() => confirm("Leave without saving this segment?")) : undefined), [dirty]);

  const question = useMemo(() => ({ kind: "segment", people, list: { limit: 12 } }), [people]);
  const asked = useQuestion<SegmentResult>(question, can("ask"));
  // The preview knows mistakes as soon as they are made; saving knows the rest.
  const mistakes = [...asked.mistakes, ...mistakesOf(error)];

  const save = async () => {
    setError(null);
    try {
      await put(api("segments/" + encodeURIComponent(title.trim())), { people });
      toast("Saved.");
      stayNoMore();
      go(link("segments/" + encodeURIComponent(title.trim())), true);
    } catch (e) {
      setError(e);
      throw e;
    }
  };
  return (
    <Page
      title={fresh ? "New segment" : name}
      wide
      back={back}
      actions={
        <>
          {!fresh && (
            <Button icon="trash" onClick={() => setDeleting(true)}>
              Delete
            </Button>
          )}
          <Act kind="primary" run={save} disabled={!title.trim() || (!fresh && !dirty)}>
            Save
          </Act>
        </>
      }
    >
      <Mistakes.Provider value={mistakes}>
        <div class="segment">
          <div class="segment-form">
            {fresh && (
              <Panel>
                <Field label="Name" path="name" hint="How campaigns and questions will call it.">
                  {(a) => <Input {...a} value={title} onValue={setTitle} placeholder="Bought twice, quiet since" autofocus />}
                </Field>
              </Panel>
            )}
            <Panel title="Who">
              <PeopleEditor value={people} onValue={setPeople} path="people" segments={segments} />
            </Panel>
            {error != null && mistakesOf(error).length === 0 && <Summary error={error} />}
            <JsonView json={people} title="This expression as JSON" />
          </div>
          <Preview asked={asked} />
        </div>
      </Mistakes.Provider>
      {deleting && (
        <Confirm
          title="Delete this segment"
          verb="Delete"
          close={() => setDeleting(false)}
          run={async () => {
            await del(api("segments/" + encodeURIComponent(name)));
            toast("Deleted.");
            stayNoMore();
            go(link("segments"), true);
          }}
        >
          <p>Questions and campaigns that name it will fail until it exists again. People lose nothing.</p>
        </Confirm>
      )}
    </Page>
  );
}

export function Preview({ asked }: { asked: ReturnType<typeof useQuestion<SegmentResult>> }) {
  const r = asked.answer?.result;
  const total = publisher.value?.people ?? 0;
  if (!can("ask")) return <Panel title="People">Your role cannot count people.</Panel>;
  return (
    <Panel title="People meant" class={`preview${asked.asking && r ? " stale" : ""}`}>
      {asked.error ? (
        <AskError error={asked.error} />
      ) : !r ? (
        <Skeleton rows={4} />
      ) : (
        <>
          <p class="big-number">{num(r.count)}</p>
          <p class="note">{total > 0 ? `${percent(r.count / total)} of ${plural(total, "person", "people")}` : "of nobody yet"}</p>
          <h3>Can be reached</h3>
          <dl class="reach">
            {Object.entries(r.reachable ?? {}).map(([c, n]) => (
              <div key={c}>
                <dt>{channel(c)}</dt>
                <dd>
                  <span class="bars-track" aria-hidden="true">
                    <span class="bars-fill c1" style={{ width: `${r.count ? (n / r.count) * 100 : 0}%` }} />
                  </span>
                  {num(n)}
                </dd>
              </div>
            ))}
          </dl>
          <p class="field-hint">An address is known. Whether a message may go is asked again for each, at the moment of sending.</p>
          {can("people") && r.people && r.people.length > 0 && (
            <>
              <h3>Some of them</h3>
              <ul class="people-list">
                {r.people.slice(0, 8).map((id) => (
                  <li key={id}>
                    <a href={peopleLink(id)}>
                      <Niche of={id} />
                      {id}
                    </a>
                  </li>
                ))}
              </ul>
            </>
          )}
          <p class="field-hint" role="status">{asked.asking ? "Counting…" : `Counted exactly, in ${took(asked.answer!.took_ms)}.`}</p>
        </>
      )}
    </Panel>
  );
}
