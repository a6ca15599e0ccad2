// Find somebody.
import { useState } from "preact/hooks";
import { get } from "../api/client";
import { Button } from "../parts/Button";
import { Input } from "../parts/Field";
import { ago, num, zone } from "../parts/format";
import { Icon } from "../parts/Icon";
import { Empty, Niche, Notice, Page, Panel, Show } from "../parts/Page";
import { peopleLink } from "../parts/Shell";
import { useLoad } from "../state/load";
import { go } from "../state/router";
import { api, can, publisher } from "../state/session";

interface Recent {
  people: { identity: string; last: string; event: string }[] | null;
}

export function People() {
  const [text, setText] = useState("");
  const p = publisher.value!;
  const recent = useLoad((s) => get<Recent>(api("recent-people?limit=30"), s), [], { skip: !can("people") });
  const find = (e: Event) => {
    e.preventDefault();
    if (text.trim()) go(peopleLink(text.trim()));
  };
  if (!can("people")) {
    return (
      <Page title="People">
        <Notice title="Your role sees what was done, and no people.">An admin can give you the role analyst or marketer.</Notice>
      </Page>
    );
  }
  return (
    <Page title="People" lead={<p>{num(p.people)} people are known to {p.title || p.name}.</p>}>
      <form class="find" role="search" onSubmit={find}>
        <Icon name="search" />
        <Input aria-label="Identity, e-mail, phone or device id" placeholder="Identity, e-mail, phone or device id" value={text} onValue={setText} autofocus />
        <Button type="submit" kind="primary" disabled={!text.trim()}>
          Find
        </Button>
      </form>
      <p class="field-hint">The whole identity is needed: names and addresses are sealed one by one, so there is nothing to browse. Opening somebody is recorded in the audit.</p>
      <Panel title="Seen lately" flush actions={<Button small kind="quiet" icon="reload" onClick={recent.reload} aria-busy={recent.loading && recent.data !== undefined}>Look again</Button>}>
        <Show of={recent} what="The list of people" rows={6}>
          {(d) =>
            !d.people?.length ? (
              <Empty icon="people" title="Nobody has been seen lately">
                <p>People appear here as they arrive. Find anyone known by their whole identity, above.</p>
              </Empty>
            ) : (
              <ul class="people-grid">
                {d.people.map((x) => (
                  <li key={x.identity}>
                    <a href={peopleLink(x.identity)}>
                      <Niche of={x.identity} />
                      <span class="people-id">
                        <b>{x.identity}</b>
                        <small>
                          {x.event}, <time dateTime={x.last} title={`${x.last} (${zone()})`}>{ago(x.last)}</time>
                        </small>
                      </span>
                    </a>
                  </li>
                ))}
              </ul>
            )
          }
        </Show>
      </Panel>
    </Page>
  );
}
