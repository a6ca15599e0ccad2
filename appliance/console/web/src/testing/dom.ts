// The little of a browser that modules touch while they load, for unit tests
// that never draw. Import it before what is tested.
const nothing = () => {};
Object.assign(globalThis, {
  location: { pathname: "/", hash: "", origin: "http://console.test" },
  history: { pushState: nothing, replaceState: nothing },
  document: { addEventListener: nothing, documentElement: { dataset: {} } },
  addEventListener: nothing,
  matchMedia: () => ({ matches: false, addEventListener: nothing }),
});
