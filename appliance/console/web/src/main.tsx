import "uplot/dist/uPlot.min.css";
import "./style/tokens.css";
import "./style/base.css";
import "./style/controls.css";
import "./style/shell.css";
import "./style/parts.css";
import "./style/data.css";
import "./style/plots.css";
import "./style/door.css";
import "./style/live.css";
import "./style/explorers.css";
import "./style/people.css";
import "./style/segments.css";
import "./style/campaigns.css";
import "./style/appliance.css";
import "./style/developers.css";
import "./style/overlays.css";
import "./style/narrow.css";
import { render } from "preact";
import { App } from "./app";
import { start, starting } from "./state/session";

// At the door nobody is signed in yet: there is nothing to ask.
if (/^\/(sign-in|setup)\/?$/.test(location.pathname)) starting.value = false;
else void start();
render(<App />, document.getElementById("app")!);
