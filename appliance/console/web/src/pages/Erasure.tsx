// How far a request to be forgotten has come, and its certificate.
import { ApiError, get } from "../api/client";
import type { Erasure } from "../api/types";
import { Button, Copy } from "../parts/Button";
import { dateTimeSeconds, plural, sentence, zone } from "../parts/format";
import { Badge, Empty, Failure, Notice, Page, Panel, Skeleton } from "../parts/Page";
import { download, Table } from "../parts/Table";
import { useLoad } from "../state/load";
import { api, link } from "../state/session";

export function ErasurePage({ request }: { request: string }) {
  const loaded = useLoad((s) => get<Erasure>(api("erasures/" + encodeURIComponent(request)), s), [request], { every: 5 });
  const back = { href: link("people"), label: "People" };
  const e = loaded.data;
  if (!e) {
    return (
      <Page title="Erasure" back={back}>
        {loaded.error instanceof ApiError && loaded.error.status === 404 ? (
          <Empty icon="trash" title="There is no such request" />
        ) : loaded.error ? (
          <Failure error={loaded.error} what="This request" retry={loaded.reload} />
        ) : (
          <Skeleton />
        )}
      </Page>
    );
  }
  const open = e.steps.filter((s) => !s.done).length;
  return (
    <Page
      title={e.done ? "Erased everywhere" : "Erased"}
      back={back}
      lead={<p>Asked {dateTimeSeconds(e.asked)}. Times are in {zone()}.</p>}
      actions={
        <>
          <Copy text={e.request} label="Copy request" />
          {e.certificate && (
            <Button icon="key" onClick={() => download(`erasure-${e.request}.json`, JSON.stringify(e.certificate, null, 2), "application/json")}>
              Certificate
            </Button>
          )}
        </>
      }
    >
      {e.done ? (
        <Notice kind="good" title="Every holder has reported.">
          The certificate says what was done and when, and is signed with the publisher's key. {dateTimeSeconds(e.done)}.
        </Notice>
      ) : (
        <Notice title="No question and no message can reach this person any more.">
          Their key is destroyed. What is left of the bytes goes in the daily batch, and {plural(open, "holder has", "holders have")} still to report; then there is a signed certificate.
        </Notice>
      )}
      <Panel title="Who holds what" flush>
        <Table
          label="Holders of the person's data"
          rows={e.steps}
          columns={[
            { head: "Holder", cell: (s) => s.holder },
            { head: "State", cell: (s) => <Badge state={s.done ? "ok" : s.error ? "failed" : "waiting"}>{s.done ? "gone" : s.error ? "tries again" : "waiting"}</Badge> },
            { head: "At", cell: (s) => (s.done ? dateTimeSeconds(s.done) : "–") },
            { head: "Note", cell: (s) => sentence(s.note || s.error || "") || "–", hide: true },
          ]}
        />
      </Panel>
    </Page>
  );
}
