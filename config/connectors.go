package config

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/cloisterhq/cloister/plugins/connector"
)

var (
	pluginPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)
	// domainPattern: in lower case, as addresses are compared.
	domainPattern = regexp.MustCompile(`^(\*|[a-z0-9_-]+(\.[a-z0-9_-]+)+)$`)
	hashPattern   = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

const domainForm = `It is a domain in lower case, such as "gmail.com", or "*" for each that no other block names.`

// platforms are the kinds of device that push goes to.
var platforms = []string{"fcm", "apns", "webpush"}

func (l *loader) connectors(rs []*reader) []Connector {
	var out []Connector
	names := map[string]*reader{}
	for _, r := range rs {
		c := l.connector(r)
		if first := names[c.Name]; first != nil {
			l.bad(codeTaken, r.n, r.n.labelAt(1), fmt.Sprintf("there is a connector %q already", c.Name),
				"A connector's name is unique in its publisher, over all channels. Give one of them another name.",
				Place{Range: first.n.labelAt(1), Note: "the other one"})
		}
		names[c.Name] = r
		out = append(out, c)
	}
	return out
}

func (l *loader) connector(r *reader) Connector {
	c := Connector{Range: r.n.at()}
	var channelOK bool
	c.Channel, channelOK = r.name(0, textRule{choice: Channels, what: "channel"})
	c.Name, _ = r.name(1, textRule{pattern: namePattern, form: nameForm})
	c.Plugin = r.text("plugin", textRule{need: true, max: 64, pattern: pluginPattern, example: `"smtp"`,
		form: "It is the name of the plugin's file, of lower case letters, digits, '-' and '_'."})
	c.SHA256 = r.text("sha256", textRule{max: 64, pattern: hashPattern, form: "It has 64 hexadecimal digits in lower case, as sha256sum prints them."})
	c.Rate, _ = measure(r, "rate", false, 0, `"100/s"`, rateForm, ParseRate)
	c.Platforms = r.texts("platforms", textRule{choice: platforms})
	c.Classes = r.texts("classes", textRule{choice: []string{"marketing", "transactional"}})
	c.Weight = r.whole("weight", false, 1, 1, 1000)
	c.Standby = r.flag("standby", false)
	c.Domains = l.domains(r.many("domain", "name"))
	c.Hosts = hosts(r)
	c.OwnNetwork = r.flag("own_network", false)
	c.Require, c.Bounds = l.sandbox.Require, l.sandbox.Bounds
	if b := r.one("sandbox"); b != nil {
		c.Bounds = bounds(b, c.Bounds)
		b.end()
	}
	settings := r.one("settings")
	r.end()
	if len(c.Domains) > 0 && channelOK && c.Channel != "email" {
		l.bad(codeTogether, r.n, c.Domains[0].Range, "only e-mail goes to domains", "Remove the block, or set a rate for the connector.")
	}
	if c.Standby && r.is("weight") {
		r.bad(codeTogether, "weight", "a connector that stands by has no share", "Remove weight, or standby.")
	}
	if r.is("platforms") && channelOK && c.Channel != "push" {
		r.bad(codeTogether, "platforms", "platforms are of push only", "Remove the line.")
	}
	l.settings(r, settings, channelOK, &c)
	return c
}

// bounds reads what a connector's process may take.
func bounds(r *reader, b Bounds) Bounds {
	b.Memory = r.size("memory", b.Memory, 64<<20, 1<<40)
	b.Threads = r.whole("threads", false, b.Threads, 32, 32768)
	share, ok := measure(r, "processor", false, b.Processor, `"150%"`, shareForm, ParseShare)
	if b.Processor = share; ok && (share < 0.01 || share > 1024) {
		r.bad(codeBounds, "processor", "processor is out of bounds", `It lies between "1%" and "102400%".`)
	}
	return b
}

// domains reads the rates of recipients' domains.
func (l *loader) domains(rs []*reader) []DomainRate {
	var out []DomainRate
	names := map[string]hcl.Range{}
	for _, r := range rs {
		d := DomainRate{Range: r.n.at()}
		name, ok := r.name(0, textRule{pattern: domainPattern, max: 253, form: domainForm})
		d.Names = append([]string{name}, r.texts("also", textRule{pattern: domainPattern, max: 253, form: domainForm})...)
		d.Rate, _ = measure(r, "rate", true, 0, `"20/s"`, rateForm, ParseRate)
		r.end()
		if name == "*" && len(d.Names) > 1 {
			r.bad(codeTogether, "also", `"*" is each domain by itself`, "Give these a block of their own.")
		}
		for _, n := range d.Names {
			if first, taken := names[n]; taken && ok {
				l.bad(codeTaken, r.n, r.n.labelAt(0), fmt.Sprintf("the domain %q has a rate already", n), "A domain has one rate.", Place{Range: first, Note: "the other one"})
			}
			names[n] = r.n.labelAt(0)
		}
		out = append(out, d)
	}
	return out
}

// hosts reads what a connector may reach beside what its settings name.
func hosts(r *reader) []connector.Host {
	var out []connector.Host
	for i, s := range r.texts("hosts", textRule{min: 1, max: 300, example: `"proxy.acme.example:3128"`}) {
		h, err := connector.ParseHost(s, 0)
		if err != nil {
			r.l.bad(codeMalformed, r.n, elementAt(r.n.args["hosts"], i), r.shown("hosts", s)+" cannot be reached: "+err.Error(),
				`Write HOST:PORT: "proxy.acme.example:3128", "10.0.0.0/8:443", "*.push.example:443"; "*:443" is every public address.`)
			continue
		}
		out = append(out, h)
	}
	return out
}

// settings fills in c.Settings: what the plugin allows, in the values it wants.
func (l *loader) settings(r, body *reader, channelOK bool, c *Connector) {
	var where *node
	if body != nil {
		where = body.n
	}
	s := &settings{l: l, connector: r.n, body: where}
	d, schema, ok := l.schema(r, c)
	if !ok {
		c.Settings, c.Unchecked = s.unchecked(where), true
		return
	}
	if channelOK && len(d.Channels) > 0 && !slices.Contains(d.Channels, c.Channel) {
		l.bad(codeChannel, r.n, r.n.labelAt(0), fmt.Sprintf("%s does not serve the channel %q", c.Plugin, c.Channel),
			"It serves "+quoted(d.Channels, "and")+".")
	}
	before := l.found.Count(Error)
	c.Settings = s.read(schema)
	if l.found.Count(Error) == before {
		s.reach(r, d, schema, c)
	}
	// What is known to be wrong already need not be said twice, in other words.
	if l.found.Count(Error) == before {
		l.validate(s, c)
	}
}

// reach looks at what a connector may connect to.
func (s *settings) reach(r *reader, d connector.Description, schema connector.Schema, c *Connector) {
	named, problems := connector.Reached(schema, c.Settings)
	for _, p := range problems {
		n, at := s.find(p.Path)
		s.l.bad(codeMalformed, n, at, p.Path[len(p.Path)-1]+": "+p.Summary, s.conceal(p.Detail)+".")
	}
	switch {
	case !d.Network && len(c.Hosts) > 0:
		r.bad(codeTogether, "hosts", c.Plugin+" uses no network", "Remove the line.")
	case d.Network && len(named)+len(c.Hosts)+len(problems) == 0:
		s.l.warn(codeNoHosts, r.n, r.n.at(), fmt.Sprintf("the connector %q reaches nothing", c.Name),
			`It uses the network, and its settings name no host. List what it needs: hosts = ["api.example:443"].`)
	}
}

// schema asks the plugin what may be set. A program that is not the one that was
// pinned is not even asked.
func (l *loader) schema(r *reader, c *Connector) (d connector.Description, schema connector.Schema, ok bool) {
	if l.o.Connectors == nil || c.Plugin == "" {
		return d, schema, false
	}
	if c.SHA256 != "" {
		if err := l.o.Connectors.Pinned(c.Plugin, c.SHA256); err != nil {
			l.cannotRun(codePinned, r.n, r.at("sha256"), "the connector "+strconv.Quote(c.Name)+" would not be the program that sha256 names", sentence(answer(err))+
				" Find out who changed it; then put the right one in its place, or its checksum here.")
			return d, schema, false
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), l.o.Patience)
	defer cancel()
	d, schema, err := l.o.Connectors.Describe(ctx, c.Plugin)
	if err != nil {
		l.cannotRun(codePlugin, r.n, r.at("plugin"), "the plugin "+r.shown("plugin", c.Plugin)+" cannot be used", "It was asked for its settings: "+answer(err)+".")
		return d, schema, false
	}
	return d, schema, true
}

// cannotRun tells what keeps a connector from running whatever is configured: a
// mistake, but at the daemon's start no reason to keep all else from running.
func (l *loader) cannotRun(code string, n *node, at hcl.Range, summary, detail string) {
	if l.o.Starting {
		l.warn(codeLeftOut, n, at, summary, detail+" The appliance runs without this connector, whose messages wait. Put it right and reload.")
		return
	}
	l.bad(code, n, at, summary, detail)
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] + "." }

// answer is an error's text as the end of a sentence.
func answer(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "it did not answer in time"
	}
	return strings.TrimRight(err.Error(), ".\n")
}

// validate asks the connector itself and puts what it says at the operator's
// own lines.
func (l *loader) validate(s *settings, c *Connector) {
	ctx, cancel := context.WithTimeout(context.Background(), l.o.Patience)
	defer cancel()
	problems, err := l.o.Connectors.Validate(ctx, c.Plugin, c.Settings, c.Require)
	if err != nil {
		l.cannotRun(codePlugin, s.connector, s.connector.at(), fmt.Sprintf("the plugin %q did not check its settings", c.Plugin), s.conceal(answer(err))+".")
		return
	}
	for _, p := range problems {
		severity, code := Error, codeRefused
		if p.Severity == connector.SeverityWarning {
			severity, code = Warning, codeAdvice
		}
		n, at := s.find(p.Path)
		if len(p.Path) == 0 {
			n, at = s.connector, s.connector.at()
			if severity == Error {
				l.cannotRun(code, n, at, c.Plugin+": "+s.conceal(p.Summary), s.conceal(p.Detail))
				continue
			}
		}
		l.say(severity, code, n, at, c.Plugin+": "+s.conceal(p.Summary), s.conceal(p.Detail))
	}
}
