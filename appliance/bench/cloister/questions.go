package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cloisterhq/cloister/appliance/bench/engine"
	"github.com/cloisterhq/cloister/appliance/bench/mix"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/query"
)

const span = `"from":"2026-08-03","to":"2026-10-31"`

// questions are the mix; Q9 is a timeline.
var questions = map[string]string{
	"Q1": `{"kind":"trend",` + span + `,"series":[{"event":"Product Viewed","measure":"unique"}]}`,
	"Q2": `{"kind":"trend",` + span + `,"series":[{"event":"Product Viewed"}],"breakdown":{"property":"country","limit":50}}`,
	"Q3": `{"kind":"trend",` + span + `,"series":[{"event":"Charged","measure":"sum","property":"amount"}],"breakdown":{"property":"platform"}}`,
	"Q4": `{"kind":"segment","now":"2026-11-01T00:00:00Z","people":{"all":[{"did":{"event":"Added to Cart"},"in":{"last":{"n":30,"unit":"day"}},"count":{"op":">=","value":3}},
		{"did_not":{"event":"Charged"},"in":{"last":{"n":7,"unit":"day"}}},{"profile":{"property":"country","op":"=","value":"IN"}}]}}`,
	"Q5": `{"kind":"funnel",` + span + `,"window":{"n":7,"unit":"day"},"steps":[{"event":"App Launched"},{"event":"Product Viewed"},{"event":"Added to Cart"},{"event":"Charged"}]}`,
	"Q6": `{"kind":"retention","mode":"first_time","interval":"week","first":"2026-08-03","buckets":12,"start":{"event":"App Launched"},"return":{"event":"Product Viewed"}}`,
	"Q7": `{"kind":"trend",` + span + `,"series":[{"name":"DAU","measure":"unique"},{"name":"WAU","measure":"unique","trailing":{"n":7,"unit":"day"}},
		{"name":"MAU","measure":"unique","trailing":{"n":30,"unit":"day"}}]}`,
	"Q8": `{"kind":"paths",` + span + `,"start":{"event":"App Launched"},"depth":4,"within":{"n":30,"unit":"minute"},"collapse":false,"limit":10}`,
}

// asking is what stays the same between questions.
type asking struct{ someone string }

func askingOf(r *engine.Request) asking {
	return asking{someone: mix.User(r.Someone)}
}

// asked is what can be asked: a store or a house.
type asked interface {
	Ask(ctx context.Context, body []byte) (*query.Answer, error)
	Timeline(ctx context.Context, identity string, before int64, limit int, asc bool) ([]history.Row, error)
}

// ask answers one question of the mix, timed up to the bytes of the answer.
func (a asking) ask(of asked, r *engine.Request) (engine.Reply, error) {
	if r.Question == "Q9" {
		return a.timeline(of, r)
	}
	began := time.Now()
	answer, err := of.Ask(context.Background(), []byte(questions[r.Question]))
	if wrong := new(query.Error); errors.As(err, &wrong) && wrong.Code == query.CodeNotYet {
		return engine.Reply{NotYet: true}, err
	}
	if err != nil {
		return engine.Reply{}, err
	}
	body, err := json.Marshal(answer)
	reply := engine.Reply{Nanos: time.Since(began).Nanoseconds(), Rows: answer.Rows}
	if err == nil && r.Lines {
		reply.Lines, err = linesOf(r.Question, body)
	}
	return reply, err
}

// timeline asks for the last 100 events of one person, as their page shows them.
func (a asking) timeline(of asked, r *engine.Request) (engine.Reply, error) {
	began := time.Now()
	rows, err := of.Timeline(context.Background(), a.someone, 0, 100, false)
	if err != nil {
		return engine.Reply{}, err
	}
	var body []byte
	for i := range rows {
		body = append(event.OfObject(rows[i].Props).AppendJSON(body), '\n')
	}
	reply := engine.Reply{Nanos: time.Since(began).Nanoseconds(), Rows: int64(len(rows))}
	var l engine.Lines
	for i := range rows {
		p := rows[i].Props
		amount, _ := event.Lookup(p, "amount").Number()
		l.Add(fmt.Sprint(rows[i].Name, "/", event.Lookup(p, "country"), "/", event.Lookup(p, "platform"), "/", event.Lookup(p, "plan")),
			float64(rows[i].Time/1000), amount)
	}
	if r.Lines {
		reply.Lines = l.Sorted()
	}
	return reply, nil
}

// result is what the mix needs of an answer, of any kind.
type result struct {
	Buckets []string
	Series  []struct {
		Name      string
		Breakdown []string
		Values    []float64
	}
	Count float64
	Steps []struct{ People float64 }
	Rows  []struct {
		Bucket string
		Values []float64
	}
	Paths []struct {
		Nodes []string
		Count float64
	}
}

// linesOf brings an answer into the form in which engines are compared.
func linesOf(question string, body []byte) ([]string, error) {
	var answer struct{ Result result }
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	var l engine.Lines
	r := answer.Result
	switch question {
	case "Q4":
		l.Add("people", r.Count)
	case "Q7":
		for i, b := range r.Buckets {
			l.Add(b, r.Series[0].Values[i], r.Series[1].Values[i], r.Series[2].Values[i])
		}
	default:
		for _, s := range r.Series {
			for i, b := range r.Buckets {
				l.Add(fmt.Sprint(b, s.Breakdown), math.Round(s.Values[i]*100)/100)
			}
		}
	}
	for i, s := range r.Steps {
		l.Add(fmt.Sprint("step ", i+1), s.People)
	}
	for _, row := range r.Rows {
		for k, v := range row.Values {
			l.Add(fmt.Sprint(row.Bucket, " +", k), v)
		}
	}
	for _, p := range r.Paths {
		l.Add(fmt.Sprint(p.Nodes), p.Count)
	}
	return l.Sorted(), nil
}
