// The door: a password, a one-time link, or the first operator of a new
// appliance. What stands behind the # of a link never reaches a log.
import { useEffect, useState } from "preact/hooks";
import type { ComponentChildren } from "preact";
import { ApiError, explain, get, post } from "../api/client";
import type { Me } from "../api/types";
import { Button } from "../parts/Button";
import { Field, FieldError, Input, Mistakes, mistakesOf } from "../parts/Field";
import { Mark } from "../parts/Icon";
import { ThemeSwitch } from "../parts/Shell";
import { go, place } from "../state/router";
import { home, me, takeWanted } from "../state/session";
import { useTitle } from "../state/title";

function enter(m: Me) {
  me.value = m;
  go(takeWanted() || home(), true);
}

// Door is the picture that these pages share: an arcade at night, one arch lit.
function Door({ title, children }: { title: string; children: ComponentChildren }) {
  useTitle(title);
  return (
    <div class="door">
      <div class="door-art" aria-hidden="true">
        <Arcade />
        <p class="door-line">What your customers do, and what you tell them, stays in your house.</p>
      </div>
      <main id="main" class="door-main" tabIndex={-1}>
        <div class="door-form">
          <p class="door-brand">
            <Mark size={30} />
            Cloister
          </p>
          <h1>{title}</h1>
          {children}
        </div>
        <div class="door-foot">
          <ThemeSwitch />
        </div>
      </main>
    </div>
  );
}

// Arcade draws seven arches; the middle one is lit.
function Arcade() {
  const pitch = 132;
  const width = 92;
  const [spring, floor] = [560, 820];
  return (
    <svg viewBox="0 0 800 900" preserveAspectRatio="xMidYMax slice" focusable="false">
      <path class="cornice" d={`M-400 ${spring - 118}h1600M-400 ${spring - 106}h1600`} />
      {Array.from({ length: 11 }, (_, i) => {
        const x = 400 - width / 2 + (i - 5) * pitch;
        const r = width / 2;
        return (
          <g key={i} class={i === 5 ? "lit" : undefined}>
            <path class="opening" d={`M${x} ${floor}V${spring}a${r} ${r} 0 0 1 ${width} 0v${floor - spring}Z`} />
            <path class="rib" d={`M${x - 9} ${floor}V${spring}a${r + 9} ${r + 9} 0 0 1 ${width + 18} 0v${floor - spring}`} />
            <path class="cap" d={`M${x + width + 9} ${spring}h${pitch - width - 18}M${x + width + 5} ${spring + 7}h${pitch - width - 10}`} />
            <path class="base" d={`M${x + width + 4} ${floor - 10}h${pitch - width - 8}`} />
          </g>
        );
      })}
      <path class="light" d={`M${400 - width / 2} ${floor}h${width}l70 90h-${width + 140}Z`} />
      <path class="floor" d={`M-400 ${floor}h1600`} />
    </svg>
  );
}

export function SignIn() {
  const token = place.value.hash;
  return token ? <ByLink token={token} /> : <ByPassword />;
}

function ByPassword() {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string>("");
  useEffect(() => {
    get<{ needed: boolean }>("/v1/setup").then(
      (s) => s.needed && setError("Nobody can sign in yet: this appliance has no operator. Open the set-up link that it printed when it started, or run on the machine itself: cloister operator add NAME"),
      () => {},
    );
  }, []);
  const submit = async (e: Event) => {
    e.preventDefault();
    setBusy(true);
    setError("");
    try {
      enter(await post<Me>("/v1/session", { name: name.trim().toLowerCase(), password }));
    } catch (err) {
      setError(err instanceof ApiError && err.code === "wrong" ? "This name and password do not go together." : explain(err));
      setPassword("");
    } finally {
      setBusy(false);
    }
  };
  return (
    <Door title="Sign in">
      <form onSubmit={submit}>
        <Field label="Name">{(a) => <Input {...a} name="username" autocomplete="username" value={name} onValue={setName} required autofocus />}</Field>
        <Field label="Password">{(a) => <Input {...a} type="password" name="password" autocomplete="current-password" value={password} onValue={setPassword} required />}</Field>
        {error && <FieldError>{error}</FieldError>}
        <Button type="submit" kind="primary" class="wide" disabled={busy} aria-busy={busy}>
          Sign in
        </Button>
      </form>
      <p class="door-hint">
        No password, or a lost one? On the machine itself, <code>cloister operator reset NAME</code> prints a link that lets you in once.
      </p>
    </Door>
  );
}

function ByLink({ token }: { token: string }) {
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const use = async () => {
    setBusy(true);
    setError(null);
    try {
      const m = await post<Me>("/v1/session/link", { token });
      history.replaceState(null, "", "/sign-in"); // the used link does not stay in the history
      enter(m);
    } catch (e) {
      setError(e);
      setBusy(false);
    }
  };
  useEffect(() => void use(), [token]);
  return (
    <Door title={error ? "This link does not open" : "Opening…"}>
      {error ? (
        <>
          <p class="door-text">{error instanceof ApiError && error.status === 401 ? "A sign-in link works once, and for thirty minutes. This one was used already, or is too old." : explain(error)}</p>
          <p class="door-text">
            On the machine itself, <code>cloister operator reset NAME</code> prints a new one.
          </p>
          <div class="door-actions">
            {!(error instanceof ApiError) && <Button onClick={use}>Try again</Button>}
            <a class="button primary" href="/sign-in">
              Sign in with a password
            </a>
          </div>
        </>
      ) : (
        <p class="door-text" role="status" aria-busy={busy}>
          One moment.
        </p>
      )}
    </Door>
  );
}

export function Setup() {
  const token = place.value.hash;
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const [differ, setDiffer] = useState(false);
  const submit = async (e: Event) => {
    e.preventDefault();
    setDiffer(password !== again);
    if (password !== again) return;
    setBusy(true);
    setError(null);
    try {
      const m = await post<Me>("/v1/setup", { token, name: name.trim().toLowerCase(), password });
      history.replaceState(null, "", "/setup");
      enter(m);
    } catch (err) {
      setError(err);
      setBusy(false);
    }
  };
  if (!token || (error instanceof ApiError && error.code === "set_up")) {
    return (
      <Door title={token ? "Already set up" : "Set-up needs its link"}>
        <p class="door-text">
          {token ? "This appliance has its first operator already." : "The address must be the whole link that the appliance printed, with what stands behind the #. It is there to prove that you may."}
        </p>
        <div class="door-actions">
          <a class="button primary" href="/sign-in">
            Go to sign-in
          </a>
        </div>
      </Door>
    );
  }
  const mistakes = mistakesOf(error);
  return (
    <Door title="Make the first operator">
      <p class="door-text">You will be able to do everything here, and to let others in. There is no default password.</p>
      <Mistakes.Provider value={mistakes}>
        <form onSubmit={submit}>
          <Field label="Name" path="name" hint="Small letters, digits and . _ @ -">
            {(a) => <Input {...a} autocomplete="username" value={name} onValue={setName} required autofocus />}
          </Field>
          <Field label="Password" path="password" hint="At least 12 characters. A few words that only you would put together are best.">
            {(a) => <Input {...a} type="password" autocomplete="new-password" minlength={12} value={password} onValue={setPassword} required />}
          </Field>
          <Field label="The same password again" error={differ ? "The two passwords differ." : undefined}>
            {(a) => <Input {...a} type="password" autocomplete="new-password" value={again} onValue={setAgain} required />}
          </Field>
          {error && mistakes.length === 0 ? <FieldError>{error instanceof ApiError && error.status === 401 ? "This link is not valid any more. The appliance prints a new one when it starts without operators." : explain(error)}</FieldError> : null}
          <Button type="submit" kind="primary" class="wide" disabled={busy} aria-busy={busy}>
            Start
          </Button>
        </form>
      </Mistakes.Provider>
    </Door>
  );
}
