/** Calls seen for the page and for every address that the page gives itself. */
export function pages(seen: () => void): void {
  let at = "";
  const look = (): void => {
    if (at === (at = location.pathname + location.search)) return;
    seen();
  };
  look();
  addEventListener("popstate", look);
  for (const name of ["pushState", "replaceState"] as const) {
    const was = history[name];
    history[name] = function (...args) {
      was.apply(history, args);
      look();
    };
  }
}
