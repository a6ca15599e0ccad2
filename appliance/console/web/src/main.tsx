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
import { start } from "./state/session";

void start();
render(<App />, document.getElementById("app")!);
