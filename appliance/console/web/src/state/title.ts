import { useEffect } from "preact/hooks";

// useTitle names the page in the browser's tab and for screen readers.
export function useTitle(title: string) {
  useEffect(() => {
    document.title = title ? `${title} · Cloister` : "Cloister";
  }, [title]);
}
