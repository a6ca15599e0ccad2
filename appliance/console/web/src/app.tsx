// Which page an address means.
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { Button } from "./parts/Button";
import { Mark } from "./parts/Icon";
import { Palette } from "./parts/Palette";
import { Empty, Failure, Notice, Page, Skeleton } from "./parts/Page";
import { Shell, Toasts } from "./parts/Shell";
import { CampaignPage } from "./pages/Campaign";
import { Campaigns } from "./pages/Campaigns";
import { CampaignEdit } from "./pages/CampaignEdit";
import { Connectors } from "./pages/Connectors";
import { Developers } from "./pages/Developers";
import { ErasurePage } from "./pages/Erasure";
import { Funnels } from "./pages/Funnels";
import { Health } from "./pages/Health";
import { Incoming } from "./pages/Incoming";
import { Live } from "./pages/Live";
import { Mailbox } from "./pages/Mailbox";
import { MessagePage } from "./pages/Message";
import { Messages } from "./pages/Messages";
import { People } from "./pages/People";
import { PersonPage } from "./pages/Person";
import { SegmentPage } from "./pages/Segment";
import { Segments } from "./pages/Segments";
import { Settings } from "./pages/Settings";
import { Setup, SignIn } from "./pages/SignIn";
import { Trends } from "./pages/Trends";
import { go, match, place } from "./state/router";
import { home, link, loadPublisher, me, publisher, publisherError, publisherName, remember, start, startError, starting } from "./state/session";

type Params = Record<string, string>;
const pages: [string, (p: Params) => ComponentChildren][] = [
  ["/p/:p/live", () => <Live />],
  ["/p/:p/incoming", () => <Incoming />],
  ["/p/:p/developers", () => <Developers />],
  ["/p/:p/trends", () => <Trends />],
  ["/p/:p/funnels", () => <Funnels />],
  ["/p/:p/people", () => <People />],
  ["/p/:p/people/:identity", (p) => <PersonPage key={p["identity"]} identity={p["identity"]!} />],
  ["/p/:p/segments", () => <Segments />],
  ["/p/:p/segments/:name", (p) => <SegmentPage key={p["name"]} name={p["name"]!} />],
  ["/p/:p/campaigns", () => <Campaigns />],
  ["/p/:p/campaigns/new", () => <CampaignEdit key="new" id="" />],
  ["/p/:p/campaigns/:id", (p) => <CampaignPage key={p["id"]} id={p["id"]!} />],
  ["/p/:p/campaigns/:id/edit", (p) => <CampaignEdit key={p["id"]} id={p["id"]!} />],
  ["/p/:p/messages", () => <Messages />],
  ["/p/:p/messages/:id", (p) => <MessagePage key={p["id"]} id={p["id"]!} />],
  ["/p/:p/erasures/:request", (p) => <ErasurePage key={p["request"]} request={p["request"]!} />],
  ["/p/:p/connectors", () => <Connectors />],
  ["/p/:p/mailbox", () => <Mailbox />],
  ["/health", () => <Health />],
  ["/settings", () => <Settings tab="account" />],
  ["/settings/:tab", (p) => <Settings tab={p["tab"]!} />],
];

export function App() {
  const path = place.value.path;
  if (match("/sign-in", path)) return <Bare><SignIn /></Bare>;
  if (match("/setup", path)) return <Bare><Setup /></Bare>;
  if (starting.value) return <Wait />;
  if (startError.value) {
    return (
      <div class="wait">
        <Notice kind="bad" title="The console cannot reach the appliance." action={<Button onClick={() => void start()}>Try again</Button>}>
          {String((startError.value as Error).message ?? startError.value)}
        </Notice>
      </div>
    );
  }
  if (!me.value) return <ToSignIn />;
  return (
    <>
      <Shell>
        <Room path={path} />
      </Shell>
      <Palette />
    </>
  );
}

function Bare({ children }: { children: ComponentChildren }) {
  return (
    <>
      {children}
      <Toasts />
    </>
  );
}

function Wait() {
  return (
    <div class="wait" role="status" aria-label="Loading">
      <Mark size={40} />
    </div>
  );
}

function ToSignIn() {
  useEffect(() => {
    const { path, hash } = place.value;
    if (path !== "/") remember(path + (hash ? "#" + hash : ""));
    go("/sign-in", true);
  }, []);
  return <Wait />;
}

function Room({ path }: { path: string }) {
  const name = publisherName.value;
  useEffect(() => {
    if (name) void loadPublisher(name);
  }, [name, path]);
  useEffect(() => {
    if (path === "/") go(home(), true);
    else if (match("/p/:p", path)) go(link("live"), true);
  }, [path]);
  if (path === "/" || match("/p/:p", path)) return null;
  if (name) {
    if (publisherError.value) {
      return (
        <Page title="Publisher">
          <Failure error={publisherError.value} what={`The publisher ${name}`} retry={() => void loadPublisher(name, true)} />
        </Page>
      );
    }
    if (publisher.value?.name !== name) return <div class="page"><Skeleton rows={6} /></div>;
  }
  for (const [pattern, draw] of pages) {
    const p = match(pattern, path);
    if (p) return <div class="room" key={name}>{draw(p)}</div>;
  }
  return (
    <Page title="Nothing here">
      <Empty icon="search" title="There is no such page" action={<a class="button primary" href={home()}>Go to the live view</a>}>
        <p>The address may be old or mistyped. Press Ctrl K to search for what you want.</p>
      </Empty>
    </Page>
  );
}
