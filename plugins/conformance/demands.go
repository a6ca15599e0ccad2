package conformance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/host"
)

func (s *suite) describes(ctx context.Context) (err error) {
	// The host ends what takes too long. To measure it here as well would measure
	// the machine: starting the process is in it.
	s.d, s.schema, err = s.h.Describe(ctx, s.plugin)
	return err
}

var (
	semver     = regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
	identifier = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	channels   = []string{"email", "sms", "push", "webhook"}
)

func (s *suite) description(context.Context) error {
	var errs []error
	if s.d.Name != s.plugin {
		errs = append(errs, fmt.Errorf("it calls itself %q and its file %q", s.d.Name, s.plugin))
	}
	if !semver.MatchString(s.d.Version) {
		errs = append(errs, fmt.Errorf("version %q is not like 1.2.3", s.d.Version))
	}
	if s.d.Summary == "" {
		errs = append(errs, errors.New("no summary"))
	}
	if len(s.d.Channels) == 0 {
		errs = append(errs, errors.New("no channels"))
	}
	for _, c := range s.d.Channels {
		if !slices.Contains(channels, c) {
			errs = append(errs, fmt.Errorf("channel %q is none of %s", c, strings.Join(channels, ", ")))
		}
	}
	return errors.Join(errs...)
}

func (s *suite) schemaSound(context.Context) error {
	errs := settingsSound("", s.schema.Settings)
	names := map[string]bool{}
	for _, k := range s.schema.Settings {
		names[k.Name] = true
	}
	for _, b := range s.schema.Blocks {
		if !identifier.MatchString(b.Name) || names[b.Name] {
			errs = append(errs, fmt.Errorf("block %q: not a lower-case name of its own", b.Name))
		}
		names[b.Name] = true
		if b.Doc == "" {
			errs = append(errs, fmt.Errorf("block %q: no doc", b.Name))
		}
		errs = append(errs, settingsSound(b.Name+".", b.Settings)...)
	}
	return errors.Join(errs...)
}

func settingsSound(prefix string, settings []connector.Setting) []error {
	var errs []error
	seen := map[string]bool{}
	for _, k := range settings {
		bad := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("setting %q: "+format, append([]any{prefix + k.Name}, args...)...))
		}
		if !identifier.MatchString(k.Name) || seen[k.Name] {
			bad("not a lower-case name of its own")
		}
		seen[k.Name] = true
		if k.Doc == "" {
			bad("no doc")
		}
		if k.Required && k.Default != nil {
			bad("required, and has a default")
		}
		if k.Sensitive && k.Default != nil {
			bad("sensitive, and has a default")
		}
		if (len(k.Enum) > 0 || k.Pattern != "" || k.Folder) && k.Type != connector.TypeString {
			bad("enum, pattern and folder are for strings")
		}
		if (k.Min != nil || k.Max != nil) && k.Type != connector.TypeNumber && k.Type != connector.TypeString {
			bad("min and max are for numbers and strings")
		}
		if k.Min != nil && k.Max != nil && *k.Min > *k.Max {
			bad("min is above max")
		}
		if k.Pattern != "" {
			if _, err := regexp.Compile(k.Pattern); err != nil {
				bad("the pattern is not RE2: %v", err)
			}
		}
		if v, ok := k.Default.(string); ok && len(k.Enum) > 0 && !slices.Contains(k.Enum, v) {
			bad("the default is not among what is allowed")
		}
		if v, ok := k.Default.(string); ok && k.Type == connector.TypeDuration {
			if _, err := time.ParseDuration(v); err != nil {
				bad("the default is not a duration")
			}
		}
	}
	return errs
}

// with gives f a process that is not configured yet.
func (s *suite) with(ctx context.Context, settings connector.Settings, f func(*host.Bare) error) error {
	b, err := s.h.Bare(ctx, s.plugin, settings)
	if err != nil {
		return err
	}
	defer b.Kill()
	if err := f(b); err != nil {
		return err
	}
	if err := b.Alive(ctx); err != nil {
		return fmt.Errorf("afterwards it is dead or hangs: %w", err)
	}
	return nil
}

// ready gives f a process with the good settings.
func (s *suite) ready(ctx context.Context, f func(*host.Bare) error) error {
	return s.with(ctx, s.t.Settings, func(b *host.Bare) error {
		problems, err := b.Configure(ctx, s.t.Settings)
		if err != nil {
			return fmt.Errorf("configuring: %w", err)
		}
		for _, p := range problems {
			if p.Severity == connector.SeverityError {
				return fmt.Errorf("configuring: %w", p)
			}
		}
		return f(b)
	})
}

func (s *suite) early(ctx context.Context) error {
	return s.with(ctx, s.t.Settings, func(b *host.Bare) error {
		if _, err := b.Send(ctx, s.batch(1)); err == nil {
			return errors.New("it sent")
		} else if !host.WasPrecondition(err) {
			return fmt.Errorf("the error must be FAILED_PRECONDITION, it is: %w", err)
		}
		return nil
	})
}

func (s *suite) empty(ctx context.Context) error {
	return s.with(ctx, nil, func(b *host.Bare) error {
		_, _ = b.Configure(ctx, connector.Settings{}) // any answer, but not the end of it
		return nil
	})
}

func (s *suite) wrong(ctx context.Context) error {
	if len(s.t.Wrong) == 0 {
		return unmade("no wrong settings were given")
	}
	for i, wrong := range s.t.Wrong {
		err := s.with(ctx, nil, func(b *host.Bare) error {
			problems, err := b.Configure(ctx, wrong)
			if err != nil {
				return fmt.Errorf("wrong settings %d: it failed instead: %w", i, err)
			}
			found := false
			for _, p := range problems {
				found = found || p.Severity == connector.SeverityError
				if p.Summary == "" {
					return fmt.Errorf("wrong settings %d: a problem without a summary", i)
				}
				if !s.known(p.Path) {
					return fmt.Errorf("wrong settings %d: path %v is not in the schema", i, p.Path)
				}
			}
			if !found {
				return fmt.Errorf("wrong settings %d: no complaint", i)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// known says whether a problem's path leads to a setting or block.
func (s *suite) known(path []string) bool {
	has := func(settings []connector.Setting, name string) bool {
		return slices.ContainsFunc(settings, func(k connector.Setting) bool { return k.Name == name })
	}
	if len(path) == 0 || (len(path) == 1 && has(s.schema.Settings, path[0])) {
		return true
	}
	for _, b := range s.schema.Blocks {
		if b.Name == path[0] && (len(path) == 1 || has(b.Settings, path[1])) {
			return true
		}
	}
	return false
}

func (s *suite) good(ctx context.Context) error {
	return s.ready(ctx, func(b *host.Bare) error {
		if _, err := b.Configure(ctx, s.t.Settings); err == nil {
			return errors.New("it can be configured twice")
		}
		return nil
	})
}

func (s *suite) checks(ctx context.Context) error {
	return s.ready(ctx, func(b *host.Bare) error {
		if err := b.Check(ctx); err != nil && s.t.Reachable {
			return err
		}
		return nil
	})
}

// batch makes messages of the connector's first channel.
func (s *suite) batch(n int) []connector.Message {
	var out []connector.Message
	for i := range n {
		out = append(out, s.message(fmt.Sprintf("conformance-%d-%d", time.Now().UnixNano(), i), first(s.d.Channels)))
	}
	return out
}

func (s *suite) message(id, channel string) connector.Message {
	m := connector.Message{
		ID: id, Channel: channel, To: s.t.To[channel], ToName: "Ana Müller", Text: "Grüße\r\nfrom the suite.\r\n.\r\n", Marketing: true,
		Unsubscribe: "https://engage.example.com/u/abc", Expires: time.Now().Add(time.Hour),
	}
	plausible := map[string]string{
		"email": "ana@example.com", "sms": "+4915112345678", "push": strings.Repeat("ab", 32), "webhook": "ana",
	}
	if m.To == "" {
		m.To = plausible[channel]
	}
	switch channel {
	case "email":
		m.Subject, m.HTML = "Grüße ☂", "<p>Grüße</p>"
	case "push":
		m.Subject, m.Platform, m.Extra, m.Link = "Grüße", s.t.Platform, s.t.Extra, "https://www.example.com/"
		if m.Platform == "" {
			m.Platform = "fcm"
		}
	}
	return m
}

// fits makes sure that outcomes are those of a batch, in order.
func fits(batch []connector.Message, outs []connector.Outcome) error {
	if len(outs) != len(batch) {
		return fmt.Errorf("%d outcomes for %d messages", len(outs), len(batch))
	}
	for i, o := range outs {
		if o.ID != batch[i].ID {
			return fmt.Errorf("outcome %d is of message %q, not %q", i, o.ID, batch[i].ID)
		}
		if o.Result == connector.Refused && o.Reason == "" {
			return fmt.Errorf("outcome %d: refused without a reason", i)
		}
		if strings.Contains(o.Reason, batch[i].To) {
			return fmt.Errorf("outcome %d: the reason holds the address", i)
		}
	}
	return nil
}

// send sends and looks at what every answer has in common.
func (s *suite) send(ctx context.Context, b *host.Bare, batch []connector.Message) ([]connector.Outcome, error) {
	outs, err := b.Send(ctx, batch)
	if err != nil {
		return nil, err
	}
	return outs, fits(batch, outs)
}

func (s *suite) sends(ctx context.Context) error {
	return s.ready(ctx, func(b *host.Bare) error {
		if outs, err := b.Send(ctx, nil); err != nil || len(outs) != 0 {
			return fmt.Errorf("an empty batch: %d outcomes, %w", len(outs), err)
		}
		for _, channel := range s.d.Channels {
			n := min(s.d.Batch, 50)
			batch := s.batch(n)
			for i := range batch {
				batch[i] = s.message(batch[i].ID, channel)
			}
			outs, err := s.send(ctx, b, batch)
			if err != nil {
				return fmt.Errorf("channel %s: %w", channel, err)
			}
			for i, o := range outs {
				if s.t.Reachable && o.Result != connector.Accepted {
					return fmt.Errorf("channel %s: message %d was not accepted: %s %s", channel, i, o.Result, o.Reason)
				}
				if !s.t.Reachable && o.Result == connector.Accepted {
					return fmt.Errorf("channel %s: message %d was accepted by nobody", channel, i)
				}
			}
		}
		return nil
	})
}

func (s *suite) otherChannel(ctx context.Context) error {
	return s.ready(ctx, func(b *host.Bare) error {
		m := s.batch(1)
		m[0].Channel = "carrier-pigeon"
		outs, err := s.send(ctx, b, m)
		if err != nil {
			return err
		}
		if outs[0].Result != connector.Refused {
			return fmt.Errorf("it is %s", outs[0].Result)
		}
		return nil
	})
}

func (s *suite) injection(ctx context.Context) error {
	const evil = "x\r\nBcc: eve@example.com\r\n\r\n"
	type change struct {
		of string
		do func(*connector.Message)
	}
	header := func(name, value string) func(*connector.Message) {
		return func(m *connector.Message) { m.Headers = []connector.Header{{Name: name, Value: value}} }
	}
	address := change{"the address", func(m *connector.Message) { m.To += evil }}
	headers := []change{
		address,
		{"a header's value", header("X-Campaign", evil)},
		{"a header's value, a line feed alone", header("X-Campaign", "x\nBcc: eve@example.com")},
		{"a header's name", header(evil, "x")},
	}
	changes := map[string][]change{
		"email": append(slices.Clone(headers),
			change{"the subject", func(m *connector.Message) { m.Subject = evil }},
			change{"the name", func(m *connector.Message) { m.ToName = evil }}),
		"webhook": headers,
		// What else is written there is text, or nothing.
		"sms":  {address},
		"push": {address},
	}
	return s.ready(ctx, func(b *host.Bare) error {
		for _, channel := range s.d.Channels {
			// One by one: Description.batch may be less.
			for i, c := range changes[channel] {
				m := s.message(fmt.Sprintf("conformance-evil-%s-%d-%d", channel, time.Now().UnixNano(), i), channel)
				c.do(&m)
				outs, err := s.send(ctx, b, []connector.Message{m})
				if err != nil {
					return fmt.Errorf("channel %s, a line break in %s: %w", channel, c.of, err)
				}
				// Again would come again for ever, and Unknown would say that it may
				// have been sent.
				if outs[0].Result != connector.Refused && (s.t.Reachable || outs[0].Result != connector.Again) {
					return fmt.Errorf("channel %s, a line break in %s: it is %s", channel, c.of, outs[0].Result)
				}
			}
		}
		return nil
	})
}

func (s *suite) text(ctx context.Context) error {
	return s.ready(ctx, func(b *host.Bare) error {
		batch := s.batch(4)
		batch[0].Text = strings.Repeat("long ", 200_000)
		batch[1].Text, batch[1].Subject = "नमस्ते 👋🏽 \u202eאבג\u202c", "नमस्ते 👋🏽"
		batch[2].Text = "a\x00b\x1b[31m"
		batch[3].ID = "id with spaces, <signs> and ünïcode/" + batch[3].ID
		_, err := s.send(ctx, b, batch)
		return err
	})
}

func (s *suite) concurrent(ctx context.Context) error {
	return s.ready(ctx, func(b *host.Bare) error {
		errs := make(chan error, 4)
		for range cap(errs) {
			go func() {
				_, err := s.send(ctx, b, s.batch(min(10, s.d.Batch)))
				errs <- err
			}()
		}
		var all []error
		for range cap(errs) {
			all = append(all, <-errs)
		}
		return errors.Join(all...)
	})
}

func (s *suite) deadline(ctx context.Context) error {
	return s.ready(ctx, func(b *host.Bare) error {
		ctx, cancel := context.WithTimeout(ctx, silence)
		defer cancel()
		_, err := s.send(ctx, b, s.batch(min(100, s.d.Batch)))
		return err
	})
}

// silence is how long a provider says nothing. A connector has a fifth less to
// answer, so much that a busy machine does not count.
const silence = 10 * time.Second

// silent puts a server that takes connections and says nothing in the place of
// all that the settings reach.
func (s *suite) silent(ctx context.Context) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	go func() {
		var held []net.Conn
		defer func() {
			for _, c := range held {
				c.Close()
			}
		}()
		for len(held) < 1000 {
			c, err := l.Accept()
			if err != nil {
				return
			}
			held = append(held, c)
		}
	}()
	settings, ok := s.redirected(l.Addr().String())
	if !ok {
		return unmade("no setting marked reach says where the provider is")
	}
	return s.with(ctx, settings, func(b *host.Bare) error {
		problems, err := b.Configure(ctx, settings)
		if err != nil {
			return fmt.Errorf("configuring: %w", err)
		}
		for _, p := range problems {
			if p.Severity == connector.SeverityError {
				return unmade("it does not take another host in its settings: " + p.Error())
			}
		}
		ctx, cancel := context.WithTimeout(ctx, silence)
		defer cancel()
		outs, err := s.send(ctx, b, s.batch(min(20, s.d.Batch)))
		if err != nil {
			return err
		}
		for i, o := range outs {
			if o.Result == connector.Accepted {
				return fmt.Errorf("message %d was accepted by a provider that said nothing", i)
			}
		}
		return nil
	})
}

// redirected are the good settings with all that they reach at another
// address; false if they reach nothing that could be elsewhere.
func (s *suite) redirected(addr string) (connector.Settings, bool) {
	host, port, _ := net.SplitHostPort(addr)
	number, _ := strconv.ParseFloat(port, 64)
	found := false
	var change func([]connector.Setting, connector.Settings) connector.Settings
	change = func(known []connector.Setting, in connector.Settings) connector.Settings {
		out := maps.Clone(in)
		for _, k := range known {
			v, written := in[k.Name].(string)
			if !written {
				v, _ = k.Default.(string)
			}
			if !k.Reach || v == "" {
				continue
			}
			if u, err := url.Parse(v); err == nil && u.Host != "" {
				u.Host = addr
				v = u.String()
			} else if _, _, err := net.SplitHostPort(v); err == nil {
				v = addr
			} else {
				beside := slices.ContainsFunc(known, func(k connector.Setting) bool {
					return k.Name == "port" && k.Type == connector.TypeNumber
				})
				if !beside {
					continue
				}
				v, out["port"] = host, number
			}
			out[k.Name], found = v, true
		}
		return out
	}
	out := change(s.schema.Settings, s.t.Settings)
	for _, b := range s.schema.Blocks {
		if inner := s.t.Settings.Block(b.Name); inner != nil {
			out[b.Name] = change(b.Settings, inner)
		}
	}
	return out, found
}

func (s *suite) drains(ctx context.Context) error {
	return s.ready(ctx, func(b *host.Bare) error {
		if err := b.Drain(ctx); err != nil {
			return err
		}
		if _, err := b.Send(ctx, s.batch(1)); err == nil {
			return errors.New("it sends afterwards")
		} else if !host.WasPrecondition(err) {
			return fmt.Errorf("sending afterwards: the error must be FAILED_PRECONDITION, it is: %w", err)
		}
		return nil
	})
}

func (s *suite) forgets(ctx context.Context) error {
	return s.ready(ctx, func(b *host.Bare) error {
		if !b.Forgets() {
			return unmade("it says that it keeps nothing")
		}
		return b.Forget(ctx, []string{"nobody@example.com", "+10000000000"})
	})
}

func (s *suite) webhook(ctx context.Context) error {
	return s.ready(ctx, func(b *host.Bare) error {
		if !b.Receives() {
			return unmade("it takes none")
		}
		if err := b.Receipts(ctx, connector.Webhook{Method: "POST", URL: "https://engage.example.com/r", Body: []byte("{}")}); err == nil {
			return errors.New("it took one")
		}
		return nil
	})
}

func first(channels []string) string {
	if len(channels) == 0 {
		return "email"
	}
	return channels[0]
}
