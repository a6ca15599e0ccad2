import "../testing/dom";
import assert from "node:assert/strict";
import test from "node:test";
import { read } from "./MailSheet";
import { csv } from "./Table";

const flat = (html: string) => JSON.stringify(read(html).root);

test("a mail's text becomes harmless elements, or none", () => {
  for (const html of [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '<a href="javascript:alert(1)">x</a>', "<iframe src=//evil></iframe>", '<p onclick="alert(1)">x</p>',
    "<svg><script>alert(1)</script></svg>", '<div style="background:url(https://evil/x)">x</div>', '<object data="x"></object>', "<style>@import 'x'; p{background:url(//evil)}</style>", "<form action=//evil><input></form>", "<base href=//evil>", "<link rel=stylesheet href=//evil>", "<scr<script>ipt>alert(1)</script>",
  ]) {
    const { root, css } = read(html);
    const text = JSON.stringify(root) + css;
    assert.doesNotMatch(text, /"(name)":"(script|iframe|object|form|input|base|link|svg|style|img)"|onerror|onclick|url\(|@import|"href":"(?!#")/, html);
  }
});

test("a mail keeps its shape", () => {
  assert.equal(flat("<p>a<br>b &amp; &#8364;</p>"), '{"name":"div","props":{},"children":[{"name":"p","props":{},"children":["a",{"name":"br","props":{},"children":[]},"b & €"]}]}');
  assert.match(flat('<td style="padding:4px; color: #fff">x</td>'), /"style":\{"padding":"4px","color":"#fff"\}/);
  assert.match(flat('<img alt="A lantern" width="240">'), /"A lantern"/);
  assert.match(flat("<b>not closed"), /"not closed"/);
  assert.match(flat("1 < 2"), /1 .*< 2|1 ","< 2|"1 ","<"," 2"/);
  assert.match(read("<style>p{color:red}</style>").css, /color:red/);
});

test("spreadsheets take no data for a formula", () => {
  assert.equal(csv(["a", "b"], [["=1+1", 'say "hi", you'], [-5, null]]), "a,b\r\n'=1+1,\"say \"\"hi\"\", you\"\r\n-5,\r\n");
});
