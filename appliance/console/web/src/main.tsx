import "uplot/dist/uPlot.min.css";
import "./style/tokens.css";
import "./style/base.css";
import "./style/controls.css";
import "./style/shell.css";
import "./style/parts.css";
import "./style/plots.css";
import "./style/pages.css";
import { render } from "preact";
import { App } from "./app";
import { start, starting } from "./state/session";

// At the door nobody is signed in yet: there is nothing to ask.
if (/^\/(sign-in|setup)\/?$/.test(location.pathname)) starting.value = false;
else void start();
render(<App />, document.getElementById("app")!);
