package console

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/people"
)

// Suppression is a publisher's list of addresses to which nothing is sent,
// whoever has them. It knows them by keyed hashes only.
type Suppression interface {
	SuppressionCounts(ctx context.Context) (map[string]int64, error) // by reason
	// Suppression says whether and why an address is on it.
	Suppression(channel, address string) (people.Suppression, bool, error)
	// Suppressions gives a page, people.ErrPage where the one before was none.
	Suppressions(ctx context.Context, reason, after string, limit int) (page []people.Suppression, next string, err error)
	// Suppress puts addresses on it, or takes them off. kept are those that are
	// on it for another reason.
	Suppress(ctx context.Context, remove bool, addresses []event.Address) (kept int, err error)
}

const suppressionPage = 1000

type suppressedJSON struct {
	Reason string     `json:"reason"`
	Since  *time.Time `json:"since"` // null: not kept
	// Of who has the address; empty if nobody has.
	Identity string `json:"identity"`
	Channel  string `json:"channel"`
	Address  string `json:"address"`
}

func (c *Console) suppression(r *request) error {
	counts, err := r.publisher.SuppressionCounts(r.Context())
	if err != nil {
		return err
	}
	return ok(r, map[string]any{"counts": counts})
}

func (c *Console) suppressed(r *request) error {
	if err := known(r, "reason", "cursor", "limit"); err != nil {
		return err
	}
	limit, err := number(r, "limit", 100, 1, suppressionPage)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	reason := q.Get("reason")
	if reason != "" && !slices.Contains(people.Reasons, reason) {
		return badValue("reason", strings.Join(people.Reasons, ", "))
	}
	if err := c.record(r, "suppression.list", "", reason); err != nil {
		return err
	}
	page, next, err := r.publisher.Suppressions(r.Context(), reason, q.Get("cursor"), int(limit))
	if errors.Is(err, people.ErrPage) {
		return badValue("cursor", "not one that a page ended with")
	}
	if err != nil {
		return err
	}
	out := make([]suppressedJSON, 0, len(page))
	for _, s := range page {
		out = append(out, suppressedJSON{s.Reason, stamp(s.Since), s.Identity, s.Address.Channel, s.Address.Value})
	}
	return ok(r, struct {
		Addresses []suppressedJSON `json:"addresses"`
		Next      string           `json:"next"`
	}{out, next})
}

// findSuppressed takes the address in the body, since addresses of pages end up
// in logs.
func (c *Console) findSuppressed(r *request) error {
	var in struct {
		Channel string `json:"channel"`
		Address string `json:"address"`
	}
	if err := decode(r.body, &in); err != nil {
		return err
	}
	a, err := suppressible(in.Channel, in.Address, "address")
	if err != nil {
		return err
	}
	if err := c.record(r, "suppression.find", "", a.Channel); err != nil {
		return err
	}
	s, on, err := r.publisher.Suppression(a.Channel, a.Value)
	if err != nil {
		return err
	}
	if !on {
		s = people.Suppression{}
	}
	return ok(r, struct {
		Suppressed bool       `json:"suppressed"`
		Reason     string     `json:"reason"`
		Since      *time.Time `json:"since"`
	}{on, s.Reason, stamp(s.Since)})
}

func (c *Console) addSuppressed(r *request) error    { return c.changeSuppressed(r, false) }
func (c *Console) removeSuppressed(r *request) error { return c.changeSuppressed(r, true) }

func (c *Console) changeSuppressed(r *request, remove bool) error {
	var in struct {
		Channel   string   `json:"channel"`
		Addresses []string `json:"addresses"`
	}
	if err := decode(r.body, &in); err != nil {
		return err
	}
	if len(in.Addresses) == 0 || len(in.Addresses) > people.MaxSuppress {
		return badValue("addresses", fmt.Sprintf("from 1 to %d addresses", people.MaxSuppress))
	}
	all := make([]event.Address, len(in.Addresses))
	for i, one := range in.Addresses {
		var err error
		if all[i], err = suppressible(in.Channel, one, fmt.Sprintf("addresses[%d]", i)); err != nil {
			return err
		}
	}
	action := "suppression.add"
	if remove {
		action = "suppression.remove"
	}
	kept := 0
	err := c.change(r, action, fmt.Sprintf("%d of %s", len(all), in.Channel), func() (err error) {
		kept, err = r.publisher.Suppress(r.Context(), remove, all)
		return err
	})
	if err != nil {
		return err
	}
	return ok(r, struct {
		Addresses int `json:"addresses"`
		Kept      int `json:"kept"`
	}{len(all), kept})
}

var phoneNumber = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// suppressible is an address in the form in which it is sent to. What is refused
// is not quoted.
func suppressible(channel, value, path string) (event.Address, error) {
	value = strings.TrimSpace(value)
	a := event.Address{Channel: channel, Value: value}
	switch channel {
	case "email":
		if at := strings.LastIndexByte(value, '@'); at < 1 || at == len(value)-1 || len(value) > 254 || strings.ContainsAny(value, " \t\r\n") {
			return a, badValue(path, "an e-mail address")
		}
	case "sms":
		a.Value = strings.NewReplacer(" ", "", "-", "", "(", "", ")", "", ".", "").Replace(value)
		if !phoneNumber.MatchString(a.Value) {
			return a, badValue(path, "a number with its country: +919812345678")
		}
	case "push":
		if value == "" || len(value) > 4096 {
			return a, badValue(path, "a device token")
		}
	default:
		return a, badValue("channel", "email, sms or push")
	}
	return a, nil
}
