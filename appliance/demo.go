package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/appliance/access"
	"github.com/cloisterhq/cloister/appliance/demo"
	"github.com/cloisterhq/cloister/appliance/publisher"
	"github.com/cloisterhq/cloister/config"
)

const (
	demoDir       = "cloister-demo"
	demoFile      = "demo.hcl"
	demoPublisher = "demo"
	demoKey       = "DEMO-APP"
	demoOperator  = "demo"
	demoPast      = 14 // days
)

// demoHCL is the demo's configuration, written into its data directory where a
// newcomer can read and change it.
const demoHCL = `# The demo's configuration: a whole, working file. Change it and run
# bin/cloister reload --socket %[1]s/admin.sock
appliance {
  name       = "demo"
  data_dir   = %[1]q
  public_url = "http://127.0.0.1:8480"

  disk_reserve = "1GiB"
}
listener "collect" { address = "127.0.0.1:8480" }
listener "console" { address = "127.0.0.1:8481" }
listener "metrics" { address = "127.0.0.1:8482" }

publisher "demo" {
  title    = "Harbour Goods"
  timezone = "Europe/Berlin"

  key "app" { id = "DEMO-APP" }

  purpose "offers" {
    title    = "Offers and news"
    channels = ["email", "sms", "push"]
  }
  cap "offers" {
    messages = 5
    per      = "24h"
  }

  # What an app sends with an IBAN in it waits until somebody has looked at it:
  # in the console, Incoming, Held.
  detect { iban = "hold" }

  # Mailbox connectors keep messages in a folder instead of sending them.
  connector "email" "letters" {
    plugin = "mailbox"
    settings { dir = %[2]q }
  }
  connector "sms" "texts" {
    plugin = "mailbox"
    settings { dir = %[3]q }
  }
  connector "push" "taps" {
    plugin = "mailbox"
    settings { dir = %[4]q }
  }
}
`

func (a *appliance) demoPath() string { return filepath.Join(a.dataDir(), demoFile) }

// writeDemo makes the demo's data directory and configuration, if they are not
// there, and gives the configuration's path.
func (a *appliance) writeDemo() (string, error) {
	dir := a.dataDir()
	path := a.demoPath()
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", fmt.Errorf("making the demo's directory: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return path, nil
	}
	if err != nil {
		return "", fmt.Errorf("writing the demo's configuration: %w", err)
	}
	box := filepath.Join(dir, "mailbox")
	_, err = fmt.Fprintf(f, demoHCL, dir, filepath.Join(box, "email"), filepath.Join(box, "sms"), filepath.Join(box, "push"))
	if err = errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("writing the demo's configuration: %w", err)
	}
	return path, nil
}

// demoLink lets a newcomer in, without a password.
func (a *appliance) demoLink() (string, error) {
	if _, err := a.access.AddOperator(demoOperator, access.Grants{access.Everywhere: access.Admin}); err != nil && !errors.Is(err, access.ErrExists) {
		return "", err
	}
	token, _, err := a.access.Link(demoOperator)
	return token, err
}

// playDemo lets the demo's shop open.
func (a *appliance) playDemo() {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	a.closes(func() error { cancel(); wg.Wait(); return nil })
	wg.Go(func() {
		if err := a.runDemo(ctx); err != nil {
			a.log.Error("the demo has stopped", "error", err)
		}
	})
}

func (a *appliance) runDemo(ctx context.Context) error {
	one := a.houses.find(demoPublisher)
	if one == nil {
		return fmt.Errorf("there is no publisher %q in %s", demoPublisher, a.demoPath())
	}
	rooms := one.rooms.now.Load()
	if rooms == nil {
		return errAway
	}
	if err := rooms.CaughtUp(ctx); err != nil {
		return err
	}
	_, rows := rooms.Size()
	o := demo.Options{
		Collect: "http://" + a.cfg.Load().Listener(config.Collect).Address, Key: demoKey,
		People: a.o.Demo.People, Rate: a.o.Demo.Rate, Mail: newMail(one.mailboxes()),
		Seed: uint64(a.started.UnixNano()), Logger: a.log,
	}
	if rows == 0 {
		o.Past = demoPast
		if err := demoProgramme(ctx, rooms); err != nil {
			return fmt.Errorf("making the demo's campaigns: %w", err)
		}
	}
	return demo.Run(ctx, o)
}

// demoProgramme makes what a marketer would have made.
func demoProgramme(ctx context.Context, p *publisher.Publisher) error {
	for name, expression := range map[string]string{
		"Buyers":         `{"did":{"event":"Charged"},"in":{"last":{"n":30,"unit":"day"}}}`,
		"Just looking":   `{"all":[{"did":{"event":"Product Viewed"},"in":{"last":{"n":7,"unit":"day"}}},{"did_not":{"event":"Charged"}}]}`,
		"Club, in reach": `{"all":[{"profile":{"property":"plan","op":"=","value":"club"}},{"reachable":"email"},{"consent":{"purpose":"offers","channel":"email"}}]}`,
	} {
		if err := p.SaveSegment(ctx, publisher.Segment{Name: name, People: json.RawMessage(expression)}); err != nil {
			return fmt.Errorf("segment %q: %w", name, err)
		}
	}
	at := time.Now().Add(30 * time.Second).UTC().Format(time.RFC3339)
	for _, body := range []string{demoWelcome, demoLeftCart, fmt.Sprintf(demoOffer, at)} {
		c, err := p.Campaigns().Validate([]byte(body))
		if err != nil {
			return err
		}
		if err := p.SaveCampaign(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

const demoWelcome = `{"id":"welcome","name":"Welcome aboard","state":"running","channel":"email","purpose":"offers","class":"marketing",
"trigger":{"type":"event","event":{"event":"Signed Up"},"delay":"3s"},
"content":{"subject":"Welcome to Harbour Goods, {{ Profile.Name | split: ' ' | first }}",
"html":"<html><body><h1>Good to have you, {{ Profile.Name | split: ' ' | first }}</h1><p>You are on the {{ Event.plan }} plan. Three things that people like to see first are in our window.</p><p><a href=\"https://shop.example/window?from=welcome\">Look around</a></p><p><a href=\"{{ unsubscribe_url }}\">No more of these</a></p></body></html>"},
"limit":{"per_person":1},"goal":{"event":{"event":"Charged"},"within":"3d","revenue":"Amount"}}`

const demoLeftCart = `{"id":"left-cart","name":"A cart left behind","state":"running","channel":"email","purpose":"offers","class":"marketing",
"trigger":{"type":"inaction","event":{"event":"Added To Cart"},"without":{"event":"Charged"},"within":"30s"},
"content":{"subject":"{{ Event.product }} is still in your cart",
"html":"<html><body><p>Hello {{ Profile.Name | split: ' ' | first | default: 'there' }},</p><p>{{ Event.quantity }} × {{ Event.product }} at {{ Event.price }} EUR waits for you.</p><p><a href=\"https://shop.example/cart?sku={{ Event.sku }}\">Back to the cart</a></p><p><a href=\"{{ unsubscribe_url }}\">No more of these</a></p></body></html>"},
"control":20,"goal":{"event":{"event":"Charged"},"within":"7d","revenue":"Amount"}}`

const demoOffer = `{"id":"autumn-offer","name":"Autumn offer","state":"running","channel":"push","purpose":"offers","class":"marketing",
"trigger":{"type":"once","audience":{"segment":"Just looking"},"at":%q},
"content":{"title":"A tenth off, this week","text":"{{ Profile.Name | split: ' ' | first | default: 'Hello' }}, what you looked at is 10 %% off until Sunday.","link":"https://shop.example/offer"},
"control":10,"goal":{"event":{"event":"Charged"},"within":"7d","revenue":"Amount"}}`
