// The saved questions about people.
import { get } from "../api/client";
import type { SavedSegment } from "../api/types";
import { LinkButton } from "../parts/Button";
import { Empty, Page, Panel, Show } from "../parts/Page";
import { Table } from "../parts/Table";
import { say } from "../question/people";
import { useLoad } from "../state/load";
import { api, can, link } from "../state/session";

export function Segments() {
  const loaded = useLoad((s) => get<{ segments: SavedSegment[] | null }>(api("segments"), s), []);
  const make = can("campaigns") && (
    <LinkButton kind="primary" icon="plus" href={link("segments/new")}>
      New segment
    </LinkButton>
  );
  return (
    <Page title="Segments" lead={<p>A segment is a saved question about people. It is answered anew each time it is used, so nobody is in it by mistake for long.</p>} actions={make}>
      <Show of={loaded} what="The segments">
        {(d) =>
          !d.segments?.length ? (
            <Empty icon="segment" title="No segments yet" action={make}>
              <p>Describe people by what they did, did not do, and who they are. Then write to them, or plot only them.</p>
            </Empty>
          ) : (
            <Panel flush>
              <Table
                label="Segments"
                rows={d.segments}
                rowKey={(s) => s.name}
                href={(s) => link("segments/" + encodeURIComponent(s.name))}
                columns={[
                  { head: "Name", cell: (s) => s.name },
                  { head: "Who", cell: (s) => say(s.people) },
                ]}
              />
            </Panel>
          )
        }
      </Show>
    </Page>
  );
}
