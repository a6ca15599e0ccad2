// What is there as files: the browser saves what the appliance streams.
import { useState } from "preact/hooks";
import { get } from "../api/client";
import type { SavedSegment } from "../api/types";
import { Check, Field, Input, Select } from "../parts/Field";
import { Icon } from "../parts/Icon";
import { Empty, Panel } from "../parts/Page";
import { useLoad } from "../state/load";
import { me } from "../state/session";

const kinds = [
  { value: "events", label: "Events" },
  { value: "profiles", label: "Profiles" },
  { value: "messages", label: "Messages" },
];
const formats = [
  { value: "csv", label: "CSV" },
  { value: "ndjson", label: "NDJSON" },
  { value: "parquet", label: "Parquet" },
];

// mayExport and mayPersonal are the roles that the server lets.
const mayExport = ["analyst", "marketer", "admin"];
const mayPersonal = ["marketer", "admin"];

export function exporters() {
  return (me.value?.publishers ?? []).filter((p) => mayExport.includes(p.role));
}

export function Export() {
  const publishers = exporters();
  const [name, setName] = useState(publishers[0]?.name ?? "");
  const [kind, setKind] = useState("events");
  const [format, setFormat] = useState("csv");
  const [from, setFrom] = useState("");
  const [to, setTo] = useState("");
  const [segment, setSegment] = useState("");
  const [personal, setPersonal] = useState(false);
  const base = "/v1/publishers/" + encodeURIComponent(name);
  const segments = useLoad((s) => get<{ segments: SavedSegment[] | null }>(base + "/segments", s), [name], { skip: !name });
  const one = publishers.find((p) => p.name === name);
  if (!one) return <Empty icon="settings" title="There is nothing here that your role may take out" />;

  const q = new URLSearchParams({ format });
  if (kind !== "profiles" && from) q.set("from", from + "T00:00:00Z");
  if (kind !== "profiles" && to) q.set("to", to + "T00:00:00Z");
  if (segment) q.set("segment", segment);
  const full = personal && mayPersonal.includes(one.role);
  if (full) q.set("personal", "true");
  return (
    <Panel title="Export" note="each export is written down in the audit">
      <div class="narrow">
        {publishers.length > 1 && (
          <Field label="Publisher">
            {(a) => (
              <Select
                {...a}
                value={name}
                onValue={(v) => {
                  setName(v);
                  setSegment("");
                }}
                options={publishers.map((p) => ({ value: p.name, label: p.title || p.name }))}
              />
            )}
          </Field>
        )}
        <Field label="What">{(a) => <Select {...a} value={kind} onValue={setKind} options={kinds} />}</Field>
        <Field label="As" hint={format === "csv" ? "Cells that a spreadsheet would run are guarded with an apostrophe." : undefined}>
          {(a) => <Select {...a} value={format} onValue={setFormat} options={formats} />}
        </Field>
        {kind !== "profiles" && (
          <>
            <Field label="From" hint="The first day, in UTC; empty is from the beginning.">
              {(a) => <Input {...a} type="date" value={from} onValue={setFrom} />}
            </Field>
            <Field label="Before" hint="The day after the last one; empty is until now.">
              {(a) => <Input {...a} type="date" value={to} onValue={setTo} />}
            </Field>
          </>
        )}
        <Field label="Who">
          {(a) => <Select {...a} value={segment} onValue={setSegment} options={[{ value: "", label: "Everybody" }, ...(segments.data?.segments ?? []).map((s) => ({ value: s.name, label: s.name }))]} />}
        </Field>
        {mayPersonal.includes(one.role) && (
          <Check checked={personal} onChecked={setPersonal}>
            With what identifies people: names, addresses, personal properties
          </Check>
        )}
        <p>
          <a class="button primary" href={`${base}/export/${kind}?${q}`} download="">
            <Icon name="down" size={17} />
            <span>Download</span>
          </a>
        </p>
        <p class="note">
          A large one is better taken by <code>cloister export {kind}</code>, which goes on where it was cut. Files are brought in by <code>cloister import</code>.
        </p>
      </div>
    </Panel>
  );
}
