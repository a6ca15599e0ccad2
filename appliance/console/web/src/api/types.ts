// What the console's HTTP API sends and takes (appliance/console/API.md).

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface Me {
  operator: { name: string; role: string; roles: Roles | null; password: boolean; kind: string };
  appliance: { name: string; version: string; demo: boolean };
  publishers: PublisherRef[];
}

export type Roles = { [publisher: string]: string };

export interface PublisherRef {
  name: string;
  title: string;
  timezone: string;
  role: string;
}

export interface Purpose {
  name: string;
  title: string;
  basis: string;
  channels: string[] | null;
}

export interface EventInfo {
  name: string;
  rows: number;
  first: string | null;
  last: string | null;
  keys: string[] | null;
  own: boolean;
}

export interface Publisher {
  name: string;
  title: string;
  timezone: string;
  purposes: Purpose[];
  channels: string[];
  events: EventInfo[];
  profile: string[];
  people: number;
  rows: number;
}

export interface Hit {
  ts: string;
  event: string;
  person: number;
  identity?: string;
  props?: { [key: string]: Json };
}

// What came in through a publisher's doors, and what did not.
export interface Arrival {
  n: number;
  at: string;
  dialect: string;
  key: string;
  sender: string;
  kind: string;
  event: string;
  id: string;
  ts: string;
  user: string;
  anonymous: string;
  detail: { [member: string]: Json } | null;
}

export interface Refusal {
  n: number;
  at: string;
  dialect: string;
  key: string;
  index: number;
  code: string;
  field: string;
  message: string;
  accepted?: boolean;
  record: Json;
  bytes: number;
}

// A record that waits until an admin has looked at it; what was found is masked.
export interface HeldRecord {
  n: number;
  at: string;
  expires: string;
  dialect: string;
  key: string;
  kinds: string[];
  facts: HeldFact[];
}

export interface HeldFact {
  kind: string;
  ts: string | null;
  user?: string;
  device?: string;
  event?: string;
  props?: { [key: string]: Json };
  profile?: { [key: string]: Json };
}

export interface Pulse {
  per_second: number;
  people: number;
  rows: number;
  waiting: number;
  sent_minute: number;
  problems: number;
}

export interface Answer<R> {
  kind: string;
  result: R;
  now: string;
  took_ms: number;
  rows_read: number;
  partial: boolean;
}

export interface TrendSeries {
  name: string;
  breakdown?: Json[] | null;
  values: number[];
  total: number;
  previous?: number[] | null;
}

export interface TrendResult {
  buckets: string[];
  series: TrendSeries[];
  other?: number;
}

export interface FunnelStep {
  name: string;
  people: number;
  conversion: number;
  step_conversion: number;
  median_seconds: number | null;
  mean_seconds: number | null;
}

export interface FunnelResult {
  steps: FunnelStep[];
  breakdown?: { value: Json[]; steps: FunnelStep[] }[] | null;
  over_time?: { bucket: string; entered: number; converted: number }[] | null;
  people?: string[] | null;
}

export interface SegmentResult {
  count: number;
  reachable: { [channel: string]: number };
  people?: string[] | null;
}

export interface Decision {
  message: string;
  campaign: string;
  revision: number;
  variant?: string;
  person: number;
  cause: string;
  class: string;
  channel: string;
  purpose: string;
  state: string;
  reason?: string;
  detail?: string;
  basis?: string;
  consent?: { granted: boolean; since?: number; source?: string; version?: string };
  cap?: CapCount;
  limit?: CapCount;
  quiet_until?: string;
  suppressed?: boolean;
  tracked?: boolean;
  decided: string;
  due: string;
  expires: string;
  settled?: string;
  attempts?: Attempt[] | null;
  tries?: number;
  replayed_as?: string;
  copy_of?: string;
  copies?: number;
  provider_id?: string;
}

export interface CapCount {
  messages: number;
  allowed: number;
  per?: string;
}

export interface Attempt {
  at: string;
  connector?: string;
  outcome?: string;
  class?: string;
  reason?: string;
  took?: string;
}

export interface Person {
  person: number;
  identities: { value: string; since: string }[] | null;
  devices: (string | { id: string; since?: string; seen?: string })[] | null;
  profile: { [key: string]: Json } | null;
  personal: string[] | null;
  consent: { purpose: string; channel: string; granted: boolean; since: string; source?: string; version?: string }[] | null;
  channels: { channel: string; address: string; platform?: string; suppressed: boolean }[] | null;
  joined: { person: number; into: number; since: string | null; rule: string; identities: string[]; devices: string[] }[] | null;
  created: string;
  seen: string;
  masked: boolean;
  messages: Decision[] | null;
}

export interface TimelineEvent {
  event: string;
  ts: string;
  props?: { [key: string]: Json } | null;
}

export interface CampaignTrigger {
  type: "once" | "event" | "inaction" | "api";
  audience?: Json;
  at?: string;
  event?: Json;
  delay?: string;
  without?: Json;
  within?: string;
  hold?: string[];
}

// PushContent is what a push has beyond title, text and link.
export interface PushContent {
  subtitle?: string;
  image?: string;
  badge?: string;
  links?: { [platform: string]: string };
  buttons?: { id: string; title: string; link?: string }[];
  data?: { [key: string]: string };
  sound?: string;
  channel?: string;
  category?: string;
  thread?: string;
  collapse?: string;
  urgent?: boolean;
  silent?: boolean;
}

export interface Campaign {
  id: string;
  name: string;
  state: string;
  channel: string;
  purpose: string;
  class: string;
  content: { subject?: string; html?: string; text?: string; title?: string; link?: string; sender?: string; template?: string; push?: PushContent };
  platforms?: string[];
  variant?: string;
  trigger: CampaignTrigger;
  people?: Json;
  missed?: string;
  limit?: { per_person: number; every?: string } | null;
  expires_after?: string;
  control?: number;
  goal?: { event: Json; within?: string; revenue?: string } | null;
  revision?: number;
  progress?: { [key: string]: Json } | null;
}

export interface Mistake {
  path: string;
  message: string;
}

export interface Counted {
  reason: string;
  count: number;
}

export interface Report {
  decided: number;
  sent: number;
  delivered: number;
  opened: number;
  clicked: number;
  unsubscribed: number;
  bounced: number;
  failed: Counted[] | null;
  held: Counted[] | null;
  waiting: number;
  by_day: { buckets: string[]; sent: number[]; opened: number[]; clicked: number[] } | null;
  goal: Goal | null;
  converted: Converted | null;
  revenue: Revenue | null;
}

// Goal is what a report counted as a conversion.
export interface Goal {
  event: string;
  window: { n: number; unit: string };
  revenue: string | null;
}

// Comparison of a target group with a control group; null is what cannot be said.
export interface Comparison {
  difference: number | null;
  difference_interval: [number | null, number | null] | null;
  lift: number | null;
  lift_interval: [number | null, number | null] | null;
  p: number | null;
  test: string | null;
}

export interface Share {
  people: number;
  converted: number;
  rate: number;
  events: number;
}

export interface Amount {
  people: number;
  total: number;
  per_person: number;
}

export interface Converted extends Comparison {
  target: Share;
  control: Share;
}

export interface Revenue extends Comparison {
  target: Amount;
  control: Amount;
}

export interface SavedSegment {
  name: string;
  people: Json;
  count?: number;
  reachable?: { [channel: string]: number } | null;
}

export interface ConnectorStatus {
  channel: string;
  name: string;
  plugin: string;
  version: string;
  state: string;
  since: string;
  restarts: number;
  error?: string;
  unreachable?: string;
  sent: number;
  sandbox?: Json;
  grade?: string;
  missing?: string;
  description?: string;
  webhook?: string;
  paused?: string;
  left_out?: string;
  failing?: string;
  why?: string;
  in_flight: number;
}

export interface MailboxMessage {
  id: string;
  channel: string;
  to: string;
  subject?: string;
  text?: string;
  html?: string | boolean;
  at: string;
}

export interface Problem {
  code: string;
  subject?: string;
  severity: string;
  since: string;
  summary: string;
  hint?: string;
}

export interface Operator {
  name: string;
  roles: Roles | null;
  created: string;
  seen?: string | null;
  password: boolean;
}

export interface Token {
  id: string;
  name: string;
  roles: Roles | null;
  by: string;
  created: string;
  expires: string;
  used?: string | null;
}

export interface Session {
  id: string;
  operator: string;
  created: string;
  seen: string;
  expires: string;
  from: string;
  agent: string;
  current: boolean;
}

export interface AuditEntry {
  n: number;
  time: string;
  actor: string;
  action: string;
  publisher?: string;
  subject?: string;
  outcome: string;
  from?: string;
  detail?: Json;
}

export interface Erasure {
  request: string;
  asked: string;
  steps: { holder: string; done?: string; tries?: number; error?: string; note?: string }[];
  done?: string;
  certificate?: { body: string; signature: string; key: string };
}
