import type { ButtonHTMLAttributes, ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { explain } from "../api/client";
import { toast } from "../state/toast";
import { Icon } from "./Icon";

type Kind = "plain" | "primary" | "danger" | "quiet";

interface Props extends Omit<ButtonHTMLAttributes<HTMLButtonElement>, "icon" | "type"> {
  kind?: Kind;
  icon?: string;
  small?: boolean;
  disabled?: boolean;
  type?: "button" | "submit";
  children?: ComponentChildren;
}

export function Button({ kind = "plain", icon, small, children, type = "button", class: extra, ...rest }: Props) {
  return (
    <button type={type} class={`button ${kind}${small ? " small" : ""}${extra ? " " + extra : ""}`} {...rest}>
      {icon && <Icon name={icon} size={small ? 15 : 17} />}
      {children && <span>{children}</span>}
    </button>
  );
}

export function IconButton({ icon, label, small, ...rest }: Omit<Props, "kind" | "children"> & { icon: string; label: string }) {
  return (
    <button type="button" class={`icon-button${small ? " small" : ""}`} aria-label={label} title={label} {...rest}>
      <Icon name={icon} size={small ? 15 : 18} />
    </button>
  );
}

// Act is a button whose work takes a while: it can be pressed once, says so
// while it works, and shows what went wrong.
export function Act({ run, done, ...rest }: Omit<Props, "onClick"> & { run: () => Promise<unknown>; done?: string }) {
  const [busy, setBusy] = useState(false);
  const press = async () => {
    setBusy(true);
    try {
      await run();
      if (done) toast(done);
    } catch (e) {
      toast(explain(e), true);
    } finally {
      setBusy(false);
    }
  };
  return <Button {...rest} disabled={busy || rest.disabled} aria-busy={busy} onClick={press} />;
}

export function LinkButton({ href, kind = "plain", icon, small, children }: { href: string; kind?: Kind; icon?: string; small?: boolean; children: ComponentChildren }) {
  return (
    <a class={`button ${kind}${small ? " small" : ""}`} href={href}>
      {icon && <Icon name={icon} size={small ? 15 : 17} />}
      <span>{children}</span>
    </a>
  );
}

export function Copy({ text, label = "Copy" }: { text: string | (() => string); label?: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(typeof text === "string" ? text : text());
      setCopied(true);
      setTimeout(() => setCopied(false), 1600);
    } catch {
      toast("The browser does not allow copying here. Select the text and copy it by hand.", true);
    }
  };
  return (
    <Button kind="quiet" small icon={copied ? "check" : "copy"} onClick={copy} aria-live="polite">
      {copied ? "Copied" : label}
    </Button>
  );
}
