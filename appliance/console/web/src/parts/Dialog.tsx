// A modal window on the browser's own <dialog>: focus stays inside, Esc closes.
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { explain } from "../api/client";
import { Button, IconButton } from "./Button";
import { Field, FieldError, Input } from "./Field";

export function Dialog({ title, close, children, class: extra, bare }: { title: string; close: () => void; children: ComponentChildren; class?: string; bare?: boolean }) {
  const box = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const d = box.current;
    const before = document.activeElement as HTMLElement | null;
    if (d && !d.open) d.showModal();
    return () => before?.focus?.();
  }, []);
  return (
    <dialog
      ref={box}
      class={`dialog${extra ? " " + extra : ""}`}
      aria-labelledby={bare ? undefined : id}
      aria-label={bare ? title : undefined}
      onCancel={(e) => {
        e.preventDefault();
        close();
      }}
      onMouseDown={(e) => e.target === box.current && close()}
    >
      <div class="dialog-box">
        {!bare && (
          <header class="dialog-head">
            <h2 id={id}>{title}</h2>
            <IconButton icon="close" label="Close" onClick={close} />
          </header>
        )}
        {children}
      </div>
    </dialog>
  );
}

// Confirm asks before something that cannot be undone; with typed the operator
// must write that text first.
export function Confirm({ title, children, verb, typed, danger = true, run, close }: { title: string; children: ComponentChildren; verb: string; typed?: string; danger?: boolean; run: () => Promise<unknown>; close: () => void }) {
  const [text, setText] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const ready = !typed || text.trim() === typed;
  const submit = async (e: Event) => {
    e.preventDefault();
    if (!ready || busy) return;
    setBusy(true);
    try {
      await run();
      close();
    } catch (err) {
      setError(explain(err));
      setBusy(false);
    }
  };
  return (
    <Dialog title={title} close={close}>
      <form onSubmit={submit}>
        <div class="dialog-body">
          {children}
          {typed && (
            <Field label={`Type ${typed} to confirm`}>{(a) => <Input {...a} value={text} onValue={setText} autocomplete="off" autofocus />}</Field>
          )}
          {error && <FieldError>{error}</FieldError>}
        </div>
        <footer class="dialog-foot">
          <Button onClick={close}>Cancel</Button>
          <Button type="submit" kind={danger ? "danger" : "primary"} disabled={!ready || busy} aria-busy={busy}>
            {verb}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}
