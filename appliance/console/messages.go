package console

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/delivery"
)

// listMessages gives what failed or is unknown.
func (c *Console) listMessages(r *request) error {
	if err := known(r, "state", "campaign", "connector", "from", "to", "cursor", "limit"); err != nil {
		return err
	}
	limit, err := number(r, "limit", 100, 1, delivery.MaxList)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	l := delivery.Listing{State: q.Get("state"), Campaign: q.Get("campaign"), Connector: q.Get("connector"), After: q.Get("cursor"), Limit: int(limit)}
	if l.State != delivery.Failed && l.State != delivery.Lost {
		return badValue("state", "failed or unknown")
	}
	for name, bound := range map[string]*time.Time{"from": &l.From, "to": &l.To} {
		us, err := instantParam(q.Get(name), name)
		if err != nil {
			return err
		}
		if us != 0 {
			*bound = time.UnixMicro(us)
		}
	}
	if err := c.record(r, "messages.list", "", l.State); err != nil {
		return err
	}
	page, err := r.publisher.Messages().List(r.Context(), l)
	if errors.Is(err, delivery.ErrList) {
		return badValue("cursor", "not one that a page ended with")
	}
	if err != nil {
		return err
	}
	return ok(r, struct {
		Messages []delivery.Decision `json:"messages"`
		Next     string              `json:"next"`
	}{list(page.Messages), page.Next})
}

// replayed is what became of the wish to replay one message.
type replayed struct {
	Message string   `json:"message"`
	As      string   `json:"as,omitempty"`
	Error   *problem `json:"error,omitempty"`
}

// replayMessages has messages sent again. That one of them may come twice is an
// action of its own in the audit.
func (c *Console) replayMessages(r *request) error {
	var in struct {
		Messages     []string `json:"messages"`
		PerhapsTwice bool     `json:"perhaps_twice"`
	}
	if err := decode(r.body, &in); err != nil {
		return err
	}
	if len(in.Messages) == 0 || len(in.Messages) > delivery.MaxReplay {
		return badValue("messages", fmt.Sprintf("from 1 to %d ids", delivery.MaxReplay))
	}
	for n, m := range in.Messages {
		if len(m) != 32 || strings.Trim(m, "0123456789abcdef") != "" {
			return badValue(fmt.Sprintf("messages[%d]", n), "a message's id has 32 hexadecimal digits")
		}
	}
	action := "message.replay"
	if in.PerhapsTwice {
		action = "message.replay_perhaps_twice"
	}
	out := make([]replayed, 0, len(in.Messages))
	err := c.change(r, action, "message "+strings.Join(in.Messages, " "), func() error {
		all, err := r.publisher.Messages().Replay(in.Messages, in.PerhapsTwice)
		if err != nil {
			return err
		}
		for _, one := range all {
			out = append(out, replayed{one.Message, one.As, notReplayed(one.Err)})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return ok(r, map[string]any{"messages": out})
}

// notReplayed says why a message was not replayed.
func notReplayed(err error) *problem {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, delivery.ErrUnknown):
		return &problem{Code: "not_found", Message: "there is no such message"}
	case errors.Is(err, delivery.ErrGone):
		return &problem{Code: "erased", Message: "its recipient was erased"}
	case errors.Is(err, delivery.ErrPerhapsSent):
		return &problem{Code: "perhaps_sent", Message: "it was perhaps sent: say that it may come twice", status: http.StatusConflict}
	}
	return &problem{Code: "state", Message: "it neither failed nor is unknown"}
}
