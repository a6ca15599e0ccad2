package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/plugins/connector"
)

var update = flag.Bool("update", false, "write golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// write puts files into a directory and gives it.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustLoad(t *testing.T, body string) *Config {
	t.Helper()
	dir := write(t, map[string]string{"cloister.hcl": body, "secret": "s3cret\r\n"})
	c, ds := Load([]string{dir}, LoadOptions{Connectors: &fakeConnectors{}})
	if len(ds) > 0 {
		t.Fatal(text(t, ds))
	}
	return c
}

// The file of the operators' manual, value by value.
func TestWholeFile(t *testing.T) {
	src, err := os.ReadFile("examples/operate.hcl")
	if err != nil {
		t.Fatal(err)
	}
	body := strings.ReplaceAll(string(src), "/etc/cloister/srv", "secret")
	c := mustLoad(t, body)
	file := c.Files[0]
	dir := filepath.Dir(file)

	if a := c.Appliance; a.Name != "dc1" || a.DataDir != "/var/lib/cloister" || a.PublicURL != "https://engage.acme.example" ||
		a.DiskReserve != 2<<30 || a.LogLevel != slog.LevelInfo || a.Range.Filename != file || a.Range.Start.Line != 1 {
		t.Errorf("appliance: %+v", a)
	}
	if k := c.Keyring; k.File != "/var/lib/cloister/master.key" || !k.Make {
		t.Errorf("keyring: %+v", k)
	}
	collect := c.Listener(Collect)
	if collect.Address != "0.0.0.0:8443" || collect.TLS.CertFile != "/etc/cloister/tls.crt" || collect.TLS.KeyFile != "/etc/cloister/tls.key" {
		t.Errorf("collect: %+v", collect)
	}
	if l := c.Listener(Mail); l.Name != "" || len(c.Listeners) != 3 {
		t.Errorf("nobody asked for mail: %+v", l)
	}
	if l := c.Listener(Metrics); l.Address != "127.0.0.1:8482" || l.TLS != nil {
		t.Errorf("metrics: %+v", l)
	}
	p := c.Publishers[0]
	if p.Name != "acme" || p.Title != "Acme Bank" || p.Timezone != "Asia/Kolkata" || p.Location.String() != "Asia/Kolkata" {
		t.Errorf("publisher: %+v", p)
	}
	if len(p.Keys) != 2 || p.Keys[0].Secret != "" || p.Keys[1].Secret.Reveal() != "s3cret" || !reflect.DeepEqual(p.Keys[1].Allow, []string{"read", "erase"}) {
		t.Errorf("keys: %v", len(p.Keys))
	}
	for i, want := range []Purpose{
		{Name: "offers", Title: "Offers and news", Basis: BasisConsent, Channels: []string{"email", "sms", "push"}},
		{Name: "service", Title: "About your account", Basis: BasisContract, Channels: Channels},
	} {
		got := p.Purposes[i]
		got.Range = Range{}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("purpose: %+v, want %+v", got, want)
		}
	}
	if p.Retention.Events != 400*day || p.Identity.Merge != MergeAnonymous {
		t.Errorf("retention %v, merge %v", p.Retention.Events, p.Identity.Merge)
	}
	if q := p.QuietHours; q.From != 21*60 || q.To != 9*60 {
		t.Errorf("quiet hours: %+v", q)
	}
	if k := p.Caps[0]; k.Purpose != "offers" || k.Messages != 3 || k.Per != day {
		t.Errorf("cap: %+v", k)
	}
	if r := p.Properties[0]; r.Event != "Charged" || r.Allow != nil || r.Deny[0] != "card_number" || r.Personal[0] != "delivery_address" {
		t.Errorf("properties: %+v", r)
	}
	n := p.Connectors[0]
	if n.Channel != "email" || n.Name != "relay" || n.Plugin != "smtp" || n.Rate != 100 || n.Range.Start.Line == 0 {
		t.Errorf("connector: %+v", n)
	}
	want := connector.Settings{"host": "mail.acme.example", "port": 587.0, "from": "Acme <hello@acme.example>", "timeout": "30s", "security": "starttls", "verify": true}
	if !reflect.DeepEqual(n.Settings, want) {
		t.Errorf("settings: %#v, want %#v", n.Settings, want)
	}
	if dir == "" || p.Limits.Journal != defaultJournal {
		t.Errorf("limits: %+v", p.Limits)
	}
}

func TestSettings(t *testing.T) {
	c := mustLoad(t, `
appliance { public_url = "https://a.example" }
publisher "p" {
  key "k" { id = "K" }
  connector "email" "relay" {
    plugin = "smtp"
    settings {
      host    = "h"
      from    = "a@b"
      port    = "25"
      timeout = "1d12h"
      verify  = false
      domains = ["a", "b"]
      headers = { X = "1" }
      auth { user = "me" }
    }
  }
}`)
	want := connector.Settings{
		"host": "h", "from": "a@b", "port": 25.0, "timeout": "36h0m0s", "security": "starttls", "verify": false,
		"domains": []string{"a", "b"}, "headers": map[string]string{"X": "1"}, "auth": connector.Settings{"user": "me"},
	}
	if got := c.Publishers[0].Connectors[0].Settings; !reflect.DeepEqual(got, want) {
		t.Errorf("%#v, want %#v", got, want)
	}
}

// Without plugins at hand settings are kept as they were written.
func TestSettingsUnchecked(t *testing.T) {
	dir := write(t, map[string]string{"a.hcl": `
appliance { public_url = "https://a.example" }
publisher "p" {
  key "k" { id = "K" }
  connector "email" "relay" {
    plugin = "other"
    settings {
      a = 1
      b = true
      c = ["x", "y"]
      d = { e = "f" }
      g { h = "i" }
    }
  }
}`})
	c, ds := Load([]string{dir}, LoadOptions{})
	if len(ds) > 0 {
		t.Fatal(text(t, ds))
	}
	want := connector.Settings{"a": 1.0, "b": true, "c": []string{"x", "y"}, "d": map[string]string{"e": "f"}, "g": connector.Settings{"h": "i"}}
	if got := c.Publishers[0].Connectors[0].Settings; !reflect.DeepEqual(got, want) {
		t.Errorf("%#v, want %#v", got, want)
	}
}

func TestFunctionsReadWhatIsThere(t *testing.T) {
	dir := write(t, map[string]string{
		"a.hcl": "publisher \"p\" {\n title = \"${env(\"TITLE\")}!\"\n key \"a\" {\n id = \"A\"\n secret = file(\"pass\")\n }\n key \"b\" {\n id = \"B\"\n secret = credential(\"cred\")\n }\n}\n",
		"pass":  "from a file\n", "cred": "from systemd",
	})
	c, ds := Load([]string{filepath.Join(dir, "a.hcl")}, LoadOptions{
		DataDir: "data", Credentials: dir, Getenv: func(string) (string, bool) { return "Title", true },
	})
	if len(ds) > 0 {
		t.Fatal(text(t, ds))
	}
	p := c.Publishers[0]
	if p.Title != "Title!" || p.Keys[0].Secret.Reveal() != "from a file" || p.Keys[1].Secret.Reveal() != "from systemd" {
		t.Errorf("%q %q %q", p.Title, p.Keys[0].Secret.Reveal(), p.Keys[1].Secret.Reveal())
	}
	if !filepath.IsAbs(c.Appliance.DataDir) || filepath.Base(c.Appliance.DataDir) != "data" || filepath.Dir(c.Keyring.File) != c.Appliance.DataDir {
		t.Errorf("data_dir %s, key %s", c.Appliance.DataDir, c.Keyring.File)
	}
	shown := fmt.Sprintf("%v %+v %#v %s", p.Keys, p.Keys, p.Keys, p.Keys[0].Secret)
	asJSON, err := json.Marshal(p.Keys)
	if err != nil || strings.Contains(shown, "from a file") || strings.Contains(string(asJSON), "from a file") {
		t.Error("a secret prints")
	}
}

func TestUnreadable(t *testing.T) {
	dir := write(t, map[string]string{"latin1.hcl": "# \xe9\n", "big.hcl": strings.Repeat("#\n", maxFile/2+1), "good.hcl": "publisher \"p\" {\n  key \"k\" { id = \"K\" }\n}\n"})
	_, ds := Load([]string{filepath.Join(dir, "missing.hcl"), dir, filepath.Join(dir, "good.hcl")}, LoadOptions{})
	var codes []string
	for _, d := range ds {
		codes = append(codes, d.Code)
		if !strings.Contains(d.Summary, dir) {
			t.Errorf("no path in %q", d.Summary)
		}
	}
	if strings.Join(codes, " ") != "E1001 E1002 E1003" {
		t.Errorf("codes %v\n%s", codes, text(t, ds))
	}
	if _, ds = Load([]string{write(t, nil)}, LoadOptions{}); !ds.HasErrors() {
		t.Error("an empty directory is no configuration")
	}
	if _, ds = Load([]string{write(t, map[string]string{"a.hcl": ""})}, LoadOptions{}); len(ds) != 1 || ds[0].Code != codeEmpty {
		t.Errorf("an empty file: %s", text(t, ds))
	}
}

// What would end the process in the parser is refused before it.
func TestBombs(t *testing.T) {
	for name, src := range map[string]string{
		"parentheses":     "a = " + strings.Repeat("(", 1_000_000),
		"lists":           "a = " + strings.Repeat("[", 100_000),
		"blocks":          strings.Repeat("a {\n", 50_000),
		"templates":       "a = " + strings.Repeat(`"${`, 50_000),
		"directives":      `a = "` + strings.Repeat(`%{if true}`, 50_000),
		"negations":       "a = " + strings.Repeat("!", 100_000),
		"minus":           "a = " + strings.Repeat("- ", 100_000) + "1",
		"conditions":      "a = " + strings.Repeat("1?1:", 50_000) + "1",
		"sums":            "a = 1" + strings.Repeat("+1", 50_000),
		"closed first":    strings.Repeat("}", 50_000) + "a = " + strings.Repeat("(", 50_000),
		"closed by other": "a = " + strings.Repeat("(]", 50_000),
	} {
		t.Run(name, func(t *testing.T) {
			_, ds := Format("bomb.hcl", []byte(src))
			if len(ds) != 1 || ds[0].Code != codeTooBig {
				t.Errorf("not refused: %d, %.300v", len(ds), ds)
			}
		})
	}
	t.Run("much that is wrong", func(t *testing.T) {
		dir := write(t, map[string]string{"a.hcl": strings.Repeat("= =\n", 200_000)})
		if _, ds := Load([]string{dir}, LoadOptions{}); len(ds) == 0 || len(ds) > maxProblems+2 {
			t.Errorf("%d problems", len(ds))
		}
	})
	t.Run("many blocks", func(t *testing.T) {
		var b strings.Builder
		for i := range 50_000 {
			fmt.Fprintf(&b, "a%d {}\n", i)
		}
		dir := write(t, map[string]string{"a.hcl": b.String()})
		if _, ds := Load([]string{dir}, LoadOptions{}); len(ds) == 0 {
			t.Error("nothing said")
		}
	})
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is stale (go test ./config -update):\n%s", path, got)
	}
}

// How diagnostics look is what operators and their programs rely on.
func TestRendering(t *testing.T) {
	var plain, coloured, machine bytes.Buffer
	for _, path := range cases(t, "testdata/bad/*") {
		_, ds := load([]string{path}, LoadOptions{})
		fmt.Fprintf(&plain, "==== %s\n", path)
		if err := ds.WriteText(&plain, false); err != nil {
			t.Fatal(err)
		}
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/rendered.txt", bytes.ReplaceAll(plain.Bytes(), []byte(here), []byte("/here")))

	_, ds := load([]string{"testdata/bad/merged"}, LoadOptions{})
	if err := ds.WriteText(&coloured, true); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/coloured.txt", coloured.Bytes())
	if err := ds.WriteJSON(&machine); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/merged.json", machine.Bytes())
}

func TestMarksFit(t *testing.T) {
	dir := write(t, map[string]string{"a.hcl": "publisher \"p\" {\n\t/* é */ titel = \"\x1b[31m\"\n\tkey \"k\" {\n\t\tsecret = \"hunter2\" bad\n\t}\n}\n"})
	_, ds := Load([]string{dir}, LoadOptions{})
	got := strings.ReplaceAll(text(t, ds), dir, "DIR")
	if strings.Contains(got, "\x1b") || strings.Contains(got, "hunter2") {
		t.Errorf("prints what it must not: %q", got)
	}
	if !strings.Contains(got, "secret = (sensitive)") {
		t.Errorf("no line: %s", got)
	}
}

// Names that are valid here are valid where the keys are made, and no others.
func TestPublisherNames(t *testing.T) {
	ring, err := keyring.Open(t.TempDir(), make([]byte, keyring.MasterBytes), keyring.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	for _, name := range []string{"a", "acme", "a-b_9", "9a", "-a", "_a", "Acme", "a b", "a.b", "ä", "", strings.Repeat("a", 64), strings.Repeat("a", 65)} {
		dir := write(t, map[string]string{"a.hcl": fmt.Sprintf("publisher %q {\n  key \"k\" { id = \"K\" }\n}\n", name)})
		_, ds := Load([]string{dir}, LoadOptions{})
		_, err := ring.Publisher(name)
		if (err == nil) == ds.HasErrors() {
			t.Errorf("%q: here %v, in the keyring %v", name, ds, err)
		}
	}
}

func TestUnits(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"0": 0, "30s": 30 * time.Second, "1h30m": 90 * time.Minute, "400d": 400 * day, "2w": 2 * week, "1.5h": 90 * time.Minute,
		"1d12h": 36 * time.Hour, "250ms": 250 * time.Millisecond,
	} {
		got, err := ParseDuration(in)
		if err != nil || got != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
		if back, err := ParseDuration(FormatDuration(got)); err != nil || back != got {
			t.Errorf("%q comes back as %q", in, FormatDuration(got))
		}
	}
	for _, in := range []string{"", "5", "-5s", "5 s", "d", "1h30", "1e3s", "999999w", "1mo"} {
		if d, err := ParseDuration(in); err == nil {
			t.Errorf("%q is taken as %v", in, d)
		}
	}
	for in, want := range map[string]float64{"100/s": 100, "5000/h": 5000.0 / 3600, "60/m": 1, "86400/d": 1, "0.5/s": 0.5} {
		if got, err := ParseRate(in); err != nil || got != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "100", "/s", "0/s", "-1/s", "NaN/s", "Inf/s", "1/w", "1/s/s"} {
		if r, err := ParseRate(in); err == nil {
			t.Errorf("%q is taken as %v", in, r)
		}
	}
	for in, want := range map[string]float64{"100%": 1, "150%": 1.5, "1%": 0.01} {
		if got, err := ParseShare(in); err != nil || got != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "%", "1", "-1%", "1.5%", "99999999999%", "1 %"} {
		if r, err := ParseShare(in); err == nil {
			t.Errorf("%q is taken as %v", in, r)
		}
	}
	for in, want := range map[string]int64{"64MiB": 64 << 20, "1.5GiB": 3 << 29, "10B": 10, "2 TiB": 2 << 40} {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "64", "64MB", "-1MiB", "99999999TiB"} {
		if n, err := ParseSize(in); err == nil {
			t.Errorf("%q is taken as %v", in, n)
		}
	}
}

func TestFormat(t *testing.T) {
	got, ds := Format("a.hcl", []byte("publisher   \"p\"   {\n# kept\n title=\"x\"\n      timezone    =   \"UTC\"\n}\n"))
	want := "publisher \"p\" {\n  # kept\n  title    = \"x\"\n  timezone = \"UTC\"\n}\n"
	if len(ds) > 0 || string(got) != want {
		t.Errorf("%q %v", got, ds)
	}
	if got, ds := Format("a.hcl", []byte("publisher {")); got != nil || !ds.HasErrors() || ds[0].Place.Source == "" {
		t.Errorf("a file that does not parse: %q %+v", got, ds)
	}
}

// The examples and the good files look as fmt leaves them.
func TestExamplesAreFormatted(t *testing.T) {
	for _, path := range append(cases(t, "examples/*.hcl"), cases(t, "testdata/good/*.hcl")...) {
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, ds := Format(path, src); len(ds) > 0 || !bytes.Equal(got, src) {
			t.Errorf("%s: run cloister fmt %s", path, path)
		}
	}
}

// The example is the operators' manual's, whole.
func TestExampleOfTheManual(t *testing.T) {
	manual, err := os.ReadFile("../../shared/OPERATE.md")
	if err != nil {
		t.Fatalf("the reference pages must lie beside the checkout: %v", err)
	}
	_, rest, _ := strings.Cut(string(manual), "```hcl\n")
	block, _, _ := strings.Cut(rest, "```")
	want, ds := Format("OPERATE.md", []byte(block))
	got, err := os.ReadFile("examples/operate.hcl")
	if err != nil || len(ds) > 0 || !bytes.Equal(got, want) {
		t.Errorf("examples/operate.hcl is not the manual's example: %v %v", err, ds)
	}
}

func TestRetentionOfAnEvent(t *testing.T) {
	c := mustLoad(t, `publisher "p" {
  key "app" { id = "A" }
  retention {
    event "Page Viewed" { keep = "30d" }
    event "Charged" { keep = "60d" }
  }
}`)
	got := c.Publishers[0].Retention
	if got.Events != 0 || len(got.Names) != 2 || got.Names[0].Event != "Page Viewed" || got.Names[0].Keep != 30*day {
		t.Errorf("%+v", got)
	}
}

// The file that is installed shows everything that may be written: each name
// that a complaint lists as allowed stands in it.
func TestInstalledFileShowsEverything(t *testing.T) {
	installed, err := os.ReadFile("examples/cloister.hcl")
	if err != nil {
		t.Fatal(err)
	}
	dir := write(t, map[string]string{"a.hcl": `
zzz = 1
appliance { zzz = 1 }
keyring { zzz = 1 }
listener "collect" {
  zzz = 1
  tls { zzz = 1 }
}
publisher "p" {
  zzz = 1
  key "k" { zzz = 1 }
  purpose "p" { zzz = 1 }
  retention {
    zzz = 1
    event "e" { zzz = 1 }
  }
  identity { zzz = 1 }
  quiet_hours { zzz = 1 }
  cap "p" { zzz = 1 }
  properties "e" { zzz = 1 }
  profile { zzz = 1 }
  limits { zzz = 1 }
  connector "email" "c" {
    zzz = 1
    domain "a.example" { zzz = 1 }
    sandbox { zzz = 1 }
  }
}
sandbox { zzz = 1 }`})
	_, ds := Load([]string{dir}, LoadOptions{})
	lists := 0
	for _, d := range ds {
		_, list, ok := strings.Cut(d.Detail, "Allowed here")
		if d.Code != codeUnknownArgument || !ok {
			continue
		}
		lists++
		list = strings.NewReplacer("; and the blocks", ",", " are the blocks", ",", ":", "", ".", "").Replace(list)
		for _, name := range strings.Split(list, ",") {
			if name = strings.TrimSpace(name); !regexp.MustCompile(`(?m)\b` + name + `\b`).Match(installed) {
				t.Errorf("examples/cloister.hcl does not show %q of %s", name, d.In)
			}
		}
	}
	if lists != 20 {
		t.Errorf("%d lists:\n%s", lists, text(t, ds))
	}
}

func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.hcl", "testdata/bad/*.hcl", "examples/operate.hcl"} {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			src, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(src)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		l := newLoader(LoadOptions{
			Connectors: &fakeConnectors{},
			Getenv:     func(string) (string, bool) { return secretWord, true },
		}.withDefaults())
		l.readSecret = func(string, int64) ([]byte, error) { return []byte(secretWord), nil }
		l.files, l.sources["f.hcl"] = []string{"f.hcl"}, src
		root := newNode(nil, "", nil)
		l.merge(root, l.syntax("f.hcl", src))
		l.config(root)
		ds := l.finish()
		var b bytes.Buffer
		if err := ds.WriteText(&b, true); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.String(), secretWord) && !bytes.Contains(src, []byte(secretWord)) {
			t.Errorf("a secret was printed:\n%s", b.String())
		}
		for _, d := range ds {
			if d.Place.Range.Start.Line > 0 && d.Place.Range.Filename == "" {
				t.Errorf("no file: %+v", d)
			}
		}
		_, _ = Format("f.hcl", src)
	})
}

func TestConnectorsThatAreHeldTooLoosely(t *testing.T) {
	dir := write(t, map[string]string{"a.hcl": `
sandbox {
  require   = "hosts"
  memory    = "256MiB"
  processor = "50%"
}
appliance { public_url = "https://a.example" }
publisher "acme" {
  key "app" { id = "A" }
  connector "email" "relay" {
    plugin      = "smtp"
    hosts       = ["proxy.acme.example:3128", "10.0.0.0/8:443"]
    own_network = true
    sandbox { memory = "512MiB" }
    settings {
      host = "mail.acme.example"
      from = "a@b"
    }
  }
}`})
	c, ds := load([]string{dir}, LoadOptions{})
	if len(ds) != 0 {
		t.Fatalf("complaints:\n%s", text(t, ds))
	}
	n := c.Publishers[0].Connectors[0]
	if want := (Bounds{Memory: 512 << 20, Threads: 512, Processor: 0.5}); n.Bounds != want {
		t.Errorf("bounds %+v, want %+v", n.Bounds, want)
	}
	if n.Require != "hosts" || !n.OwnNetwork || len(n.Hosts) != 2 || n.Hosts[1].String() != "10.0.0.0/8:443" {
		t.Errorf("got %+v", n)
	}
	_, ds = load([]string{dir}, LoadOptions{Connectors: &fakeConnectors{weak: true}})
	if len(ds) != 1 || ds[0].Code != codeRefused || ds[0].Place.Range.Start.Line != 10 || !strings.Contains(ds[0].Summary, "too weak") {
		t.Errorf("complaints:\n%s", text(t, ds))
	}
}

// What keeps a connector from running, which may have come to this machine since the
// configuration was checked, is told at a start and stops nothing else. A mistake in
// the text still is one.
func TestStarting(t *testing.T) {
	const pin = "    sha256 = \"0bad000000000000000000000000000000000000000000000000000000000000\"\n"
	const right = "    settings {\n      host = \"mail.acme.example\"\n      from = \"a@b\"\n    }\n"
	for _, c := range []struct {
		name, body string
		code       string // not at a start, where it is W1408
		unchecked  bool
	}{
		{"no such plugin", "    plugin = \"smtpp\"\n", codePlugin, true},
		{"it hangs", "    plugin = \"frozen\"\n", codePlugin, true},
		{"another program", "    plugin = \"smtp\"\n" + pin + right, codePinned, true},
		{"it ends while it checks settings", "    plugin = \"ends\"\n", codePlugin, false},
		{"the sandbox is too weak", "    plugin = \"smtp\"\n" + right, codeRefused, false},
		{"a mistake", "    plugin = \"smtp\"\n    settings { host = 5 }\n", codeMissing, false},
		{"a setting that the plugin refuses", "    plugin = \"smtp\"\n" + strings.Replace(right, "mail", "nowhere", 1), codeRefused, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := write(t, map[string]string{"cloister.hcl": "sandbox { require = \"hosts\" }\nappliance { public_url = \"https://a.example\" }\npublisher \"acme\" {\n  key \"app\" { id = \"A\" }\n  connector \"email\" \"relay\" {\n" + c.body + "  }\n}\n"})
			weak := c.name == "the sandbox is too weak"
			_, ds := Load([]string{dir}, LoadOptions{Connectors: &fakeConnectors{weak: weak}})
			if len(ds) != 1 || ds[0].Code != c.code || ds[0].Severity != Error {
				t.Fatalf("otherwise:\n%s", text(t, ds))
			}
			said := ds[0].Summary
			got, ds := Load([]string{dir}, LoadOptions{Connectors: &fakeConnectors{weak: weak}, Starting: true})
			if c.name == "a mistake" || c.name == "a setting that the plugin refuses" {
				if len(ds) != 1 || ds[0].Code != c.code || ds[0].Severity != Error {
					t.Errorf("at a start:\n%s", text(t, ds))
				}
				return
			}
			if len(ds) != 1 || ds[0].Code != codeLeftOut || ds[0].Severity != Warning || ds[0].Summary != said {
				t.Fatalf("at a start:\n%s", text(t, ds))
			}
			if relay := got.Publishers[0].Connectors[0]; relay.Unchecked != c.unchecked {
				t.Errorf("unchecked: %t", relay.Unchecked)
			}
		})
	}
}

// The listener for mail is there if it is written, with or without a certificate:
// who sends to it decides.
func TestMailListener(t *testing.T) {
	c := mustLoad(t, `
listener "mail" {
  address = "0.0.0.0:2525"
  limits { connections = 20 }
}
publisher "acme" {
  key "app" { id = "A" }
}`)
	l := c.Listener(Mail)
	if len(c.Listeners) != 4 || l.Address != "0.0.0.0:2525" || l.TLS != nil || l.Limits.Connections != 20 || l.Limits.AddressConnections != 64 {
		t.Errorf("%+v", l)
	}
}
