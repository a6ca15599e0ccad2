// Light, dark, or what the system says; remembered in this browser.
import { computed, effect, signal } from "@preact/signals";

export type Choice = "system" | "light" | "dark";
const key = "cloister.theme";

function remembered(): Choice {
  try {
    const v = localStorage.getItem(key);
    return v === "light" || v === "dark" ? v : "system";
  } catch {
    return "system"; // storage may be forbidden
  }
}

export const choice = signal<Choice>(remembered());
const wants = matchMedia("(prefers-color-scheme: dark)");
const system = signal(wants.matches);
wants.addEventListener("change", (e) => (system.value = e.matches));

export const dark = computed(() => (choice.value === "system" ? system.value : choice.value === "dark"));

effect(() => {
  document.documentElement.dataset["theme"] = dark.value ? "dark" : "light";
});

export function choose(c: Choice) {
  choice.value = c;
  try {
    if (c === "system") localStorage.removeItem(key);
    else localStorage.setItem(key, c);
  } catch {
    // then it is for this visit only
  }
}
