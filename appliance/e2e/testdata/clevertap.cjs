// Every call of the vendor's own client for Node, against the appliance. Its
// host is wired in: the line that sets apiEndpoint is the one that changes.
const CleverTap = require("clevertap");

const [endpoint, passcode] = process.argv.slice(2);
const client = CleverTap.init("SHOP-SRV", passcode, CleverTap.REGIONS.EUROPE);
client.api.apiEndpoint = endpoint + "/1";

const out = {};
const keep = async (name, promise) => (out[name] = await promise);
const day = { from: 20260101, to: 20260131 };
const when = Date.UTC(2026, 0, 2, 10) / 1000;

(async () => {
  const people = [...Array(25).keys()];
  await keep("upload", client.upload([
    ...people.map((i) => ({ type: "profile", identity: "u" + i, profileData: { Name: "N" + i, Email: `u${i}@example.com`, Phone: "+141555501" + (10 + i), Plan: i % 2 ? "gold" : "basic", "MSG-email": true } })),
    ...people.map((i) => ({ type: "event", identity: "u" + i, ts: when + i, evtName: "Viewed", evtData: { Product: "p" + (i % 3), Price: i } })),
  ]));
  // What was acknowledged is visible within a second.
  for (let n = 0; n < 100 && (await client.getEventsCount({ event_name: "Viewed", ...day })).count !== 25; n++) await new Promise((r) => setTimeout(r, 50));
  await keep("profile", client.profile({ identity: "u3" }));
  await keep("byEmail", client.profile({ email: "u3@example.com" }));
  await keep("nobody", client.profile({ identity: "nobody" }));
  await keep("profiles", client.profiles({ event_name: "Viewed", ...day }, { batchSize: 7 }));
  await keep("events", client.events({ event_name: "Viewed", ...day, event_properties: [{ name: "Price", operator: "less_than", value: 10 }] }, { batchSize: 4 }));
  await keep("eventsCount", client.getEventsCount({ event_name: "Viewed", ...day }));
  await keep("profilesCount", client.getProfilesCount({ event_name: "Viewed", ...day, common_profile_properties: { profile_fields: [{ name: "Plan", value: "gold" }] } }));
  await keep("top", client.topPropertyCounts({ event_name: "Viewed", ...day, groups: { foo: { property_type: "event_properties", name: "Product", top_n: 2, order: "desc" } } }));
  await keep("trends", client.trends({ event_name: "Viewed", ...day, groups: { foo: { trend_type: "monthly" } } }));
  await keep("now", client.realTimeCounts({ user_type: true }));
  // The client wants a title and devices of every target.
  const target = { name: "Sale", target_mode: "email", where: { event_name: "Viewed", ...day }, content: { title: "Sale", subject: "Hi", body: "<p>Sale</p>" }, when: "now", devices: ["ios", "android"], respect_frequency_caps: true };
  await keep("estimate", client.targets(client.TARGET_ESTIMATE, { ...target }));
  await keep("create", client.targets(client.TARGET_CREATE, { ...target }));
  await keep("later", client.targets(client.TARGET_CREATE, { ...target, name: "Later", when: "20990101 10:00" }));
  await keep("stop", client.targets(client.TARGET_STOP, { id: out.later.id }));
  await keep("list", client.targets(client.TARGET_LIST, { from: 20200101, to: 20991231 }));
  await keep("result", client.targets(client.TARGET_RESULT, { id: out.later.id }));
  await keep("report", client.getMessageReports({ from: "20200101", to: "20991231" }));
  await keep("subscribe", client.subscribe({ d: [{ type: "email", value: "u3@example.com", status: "Unsubscribe" }] }));
  await keep("disassociate", client.disassociate({ d: [{ type: "phone", value: "+14155550113" }] }));
  await keep("demerge", client.demerge({ identities: ["u3"] }));
  await keep("delete", client.delete({ identity: ["u1", "u2"] }));
  await keep("left", client.getProfilesCount({ event_name: "Viewed", ...day }));
  const wrong = CleverTap.init("SHOP-SRV", "wrong", CleverTap.REGIONS.EUROPE);
  wrong.api.apiEndpoint = endpoint + "/1";
  await keep("wrong", wrong.realTimeCounts({ user_type: true }));
  console.log(JSON.stringify(out));
})();
