// A text field that offers what is known, and takes anything else where free
// is set: for names of events, properties, segments.
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { Icon } from "./Icon";

export interface Known {
  value: string;
  note?: string;
}

export function Combo({ value, onValue, known, label, placeholder, free = true, id, invalid, describedBy }: { value: string; onValue: (v: string) => void; known: Known[]; label?: string; placeholder?: string; free?: boolean; id?: string; invalid?: boolean; describedBy?: string }) {
  const own = useId();
  const list = own + "l";
  const box = useRef<HTMLDivElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const [open, setOpen] = useState(false);
  const [text, setText] = useState<string | null>(null); // what is being typed
  const [active, setActive] = useState(0);

  const typed = text?.trim().toLowerCase() ?? "";
  const found = (typed ? known.filter((k) => k.value.toLowerCase().includes(typed)) : known).slice(0, 200);
  const exact = known.some((k) => k.value === text?.trim());

  const close = (keep: boolean) => {
    setOpen(false);
    if (keep && text !== null) {
      const t = text.trim();
      if (free || exact || t === "") onValue(t);
    }
    setText(null);
  };
  const pick = (v: string) => {
    onValue(v);
    setText(null);
    setOpen(false);
  };
  useEffect(() => {
    if (!open) return;
    document.getElementById(`${list}-${active}`)?.scrollIntoView({ block: "nearest" });
  }, [active, open]);

  const key = (e: KeyboardEvent) => {
    switch (e.key) {
      case "ArrowDown":
      case "ArrowUp": {
        e.preventDefault();
        if (!open) return setOpen(true);
        const n = found.length;
        if (n) setActive((active + (e.key === "ArrowDown" ? 1 : n - 1)) % n);
        return;
      }
      case "Enter":
        if (!open) return;
        e.preventDefault();
        if (found[active] && (text === null || !free || typed !== "")) pick(found[active]!.value);
        else close(true);
        return;
      case "Escape":
        if (!open) return;
        e.preventDefault();
        e.stopPropagation();
        setText(null);
        setOpen(false);
    }
  };
  return (
    <div class="combo" ref={box}>
      <input
        ref={input}
        id={id}
        class="input"
        role="combobox"
        aria-expanded={open}
        aria-controls={list}
        aria-autocomplete="list"
        aria-activedescendant={open && found[active] ? `${list}-${active}` : undefined}
        aria-label={label}
        aria-invalid={invalid || undefined}
        aria-describedby={describedBy}
        placeholder={placeholder}
        autocomplete="off"
        spellcheck={false}
        value={text ?? value}
        onFocus={(e) => e.currentTarget.select()}
        onClick={() => setOpen(true)}
        onInput={(e) => {
          setText(e.currentTarget.value);
          setActive(0);
          setOpen(true);
        }}
        onKeyDown={key}
        onBlur={() => close(true)}
      />
      <Icon name="down" size={14} />
      {open && (
        <ul class="combo-list" id={list} role="listbox" aria-label={label ?? placeholder ?? "Choices"}>
          {found.map((k, i) => (
            <li
              key={k.value}
              id={`${list}-${i}`}
              role="option"
              aria-selected={k.value === value}
              class={i === active ? "active" : undefined}
              onMouseDown={(e) => {
                e.preventDefault();
                pick(k.value);
              }}
              onMouseMove={() => active !== i && setActive(i)}
            >
              <span>{k.value}</span>
              {k.note && <small>{k.note}</small>}
            </li>
          ))}
          {found.length === 0 && (
            <li class="combo-none" role="option" aria-selected="false" aria-disabled="true">
              {free && typed ? `Use “${text!.trim()}”` : "Nothing of that name"}
            </li>
          )}
        </ul>
      )}
    </div>
  );
}
