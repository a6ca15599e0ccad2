package appliance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cloisterhq/cloister/appliance/audit"
	"github.com/cloisterhq/cloister/appliance/clevertap"
	"github.com/cloisterhq/cloister/appliance/console"
	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/guide"
	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/appliance/ingest"
	"github.com/cloisterhq/cloister/appliance/links"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/publisher"
	"github.com/cloisterhq/cloister/appliance/receipts"
	"github.com/cloisterhq/cloister/config"
)

// The admin socket: in the data directory, and where systemd wants such things
// if that is there.
const (
	adminSocket = "admin.sock"
	runtimeDir  = "/run/cloister"
)

func (a *appliance) openConsole() (err error) {
	if a.guide, err = guide.New([]guide.Document{
		{Name: "connect", Title: "Connecting an app", Files: ingest.Documents, File: "DEVELOPERS.md"},
		{Name: "dialects", Title: "Dialects", Files: ingest.Documents, File: "DIALECTS.md"},
		{Name: "identity", Title: "Who is one person", Files: people.Documents, File: "IDENTITY.md"},
		{Name: "http", Title: "Plain HTTP", Files: ingest.Documents, File: "API.md"},
		{Name: "clevertap", Title: "CleverTap's server API", Files: clevertap.Documents, File: "API.md"},
	}); err != nil {
		return err
	}
	a.console, err = console.New(console.Options{Appliance: a, Access: a.access, Audit: a.audit, Guide: a.guide, Logger: a.log})
	return err
}

// developers serves the documents for developers beside the doors that they are
// about. ?key=ID fills in a key that is known; they hold no secrets.
func (a *appliance) developers(w http.ResponseWriter, r *http.Request) {
	fill := guide.Fill{URL: strings.TrimSuffix(publicURL(a.cfg.Load()), "/")}
	if id := r.URL.Query().Get("key"); id != "" {
		if k, ok := a.houses.key(id); ok {
			fill.Key = k.ID
		}
	}
	name := r.PathValue("name")
	if name == "" {
		name = a.guide.Documents()[0].Name
	}
	a.guide.ServePage(w, name, "/developers", fill)
}

// openProviders makes the door for what connectors hear, which is collected from
// them as soon as their publisher is open.
func (a *appliance) openProviders() {
	a.providers = receipts.New(receipts.Options{Find: a.source, Mail: a.sourcesOfMail,
		PublicURL: func() string { return strings.TrimSuffix(publicURL(a.cfg.Load()), "/") }, Board: a.board, Logger: a.log})
}

func (a *appliance) openListeners(cfg *config.Config) error {
	most := cfg.Listener(config.Collect).Limits
	a.apps = ingest.New(ingest.Options{Key: a.houses.key, Logger: a.log, Ready: a.disk.ready,
		PerAddress: ingest.Bound{Requests: most.AddressRequests, Rate: most.AddressRate}})
	p := newPressure(a.apps.Limited, a.board)
	a.closes(p.close)
	servers := clevertap.New(clevertap.Options{Key: a.houses.server, Audit: a.audit, Ready: a.disk.ready, Logger: a.log})
	recipients := links.New(links.Options{Publisher: a.recipients, Logger: a.log})
	for _, l := range []struct {
		name string
		h    http.Handler
	}{
		{config.Collect, bounded(collect(a.apps, servers, recipients, a.providers, http.HandlerFunc(a.developers)))},
		{config.Console, a.console.Handler()},
		{config.Metrics, a.metrics()},
	} {
		s, err := listen(cfg.Listener(l.name), cfg.Appliance.DataDir, l.h, a.log)
		if err != nil {
			return err
		}
		a.servers = append(a.servers, s)
	}
	if l := cfg.Listener(config.Mail); l.Name != "" {
		s, err := a.listenMail(l)
		if err != nil {
			return err
		}
		a.servers = append(a.servers, s)
	}
	return a.openAdmin(cfg.Appliance.DataDir)
}

// collect serves recipients' links, providers' webhooks, servers that ask, and
// what developers read, beside the doors for apps.
func collect(apps http.Handler, servers *clevertap.Door, recipients, providers, developers http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(receipts.Path, providers)
	mux.Handle("GET /developers", developers)
	mux.Handle("GET /developers/{name}", developers)
	mux.Handle("/", apps)
	mux.Handle("/1/", servers)
	mux.Handle("/1/upload", servers.Upload(apps))
	for _, path := range links.Paths {
		mux.Handle(path, recipients)
	}
	return mux
}

// recipients finds a publisher for the door of links.
func (a *appliance) recipients(name string) (links.Publisher, bool) {
	one := a.houses.find(name)
	if one == nil {
		return nil, false
	}
	p := one.rooms.now.Load()
	if p == nil {
		return nil, false
	}
	return recipient{one, p}, true
}

// openAdmin serves the admin socket for root and the service's own user.
func (a *appliance) openAdmin(dir string) error {
	paths := []string{filepath.Join(dir, adminSocket)}
	if info, err := os.Stat(runtimeDir); err == nil && info.IsDir() && a.o.Demo == nil && strings.HasPrefix(dir, "/var/lib/") {
		paths = append(paths, filepath.Join(runtimeDir, adminSocket))
	}
	for _, path := range paths {
		// Nobody serves it any more: the data directory is locked by now.
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("the admin socket: %w", err)
		}
		ln, err := net.Listen("unix", path)
		if err != nil {
			return fmt.Errorf("the admin socket: %w", err)
		}
		if err := os.Chmod(path, 0o660); err != nil {
			return errors.Join(fmt.Errorf("the admin socket: %w", err), ln.Close())
		}
		s := serve("admin", ln, a.console.AdminHandler(), a.log, console.ConnContext, nil)
		a.servers = append(a.servers, s)
	}
	return nil
}

// Publishers gives the publishers by name, as the console knows them.
func (a *appliance) Publishers() []console.Publisher {
	all := a.houses.list()
	slices.SortFunc(all, func(x, y *house) int { return strings.Compare(x.cfg.Name, y.cfg.Name) })
	out := make([]console.Publisher, 0, len(all))
	for _, one := range all {
		out = append(out, one.desk())
	}
	return out
}

// Publisher gives one.
func (a *appliance) Publisher(name string) (console.Publisher, bool) {
	one := a.houses.find(name)
	if one == nil {
		return nil, false
	}
	return one.desk(), true
}

// Problems are what is wrong now.
func (a *appliance) Problems() []health.Problem { return a.board.Problems() }

// Status is what `cloister status` shows.
func (a *appliance) Status() console.Status {
	cfg := a.cfg.Load()
	out := console.Status{Name: cfg.Appliance.Name, Version: a.o.Version, Demo: a.o.Demo != nil, Started: a.started, Problems: a.board.Problems()}
	for _, s := range a.servers {
		out.Listeners = append(out.Listeners, console.Listener{Name: s.name, Address: s.ln.Addr().String()})
	}
	for _, one := range a.houses.list() {
		d := one.desk()
		persons, rows := d.Size()
		out.Publishers = append(out.Publishers, console.PublisherStatus{
			Name: one.cfg.Name, People: persons, Rows: rows, PerSecond: d.Rate(), Waiting: waiting(d.Messages().Stats()),
		})
	}
	return out
}

func waiting(s delivery.Stats) (n int) {
	for _, c := range s.Waiting {
		n += c
	}
	return n
}

func (a *appliance) auditAppliance(action, detail string) error {
	err := a.audit.Append(context.Background(), audit.Entry{Actor: "appliance", Action: action, Detail: detail})
	if err != nil {
		return fmt.Errorf("writing the audit: %w", err)
	}
	return nil
}

// recipient is a publisher as the door of links knows it.
type recipient struct {
	*house
	*publisher.Publisher
}

func (r recipient) Name() string  { return r.cfg.Name }
func (r recipient) Title() string { return r.cfg.Title }

func (r recipient) Append(ctx context.Context, facts []event.Fact) error {
	return r.Publisher.Append(ctx, facts)
}

func (r recipient) Message(id string) (delivery.Message, error) { return r.Delivery().Message(id) }

func (r recipient) Purposes() []links.Purpose {
	var out []links.Purpose
	for _, u := range r.cfg.Purposes {
		out = append(out, links.Purpose{Name: u.Name, Title: u.Title, Contract: u.Basis == config.BasisContract, Channels: u.Channels})
	}
	return out
}
