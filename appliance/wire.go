package appliance

import (
	"slices"
	"time"

	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/ingest"
	"github.com/cloisterhq/cloister/appliance/ingest/detect"
	"github.com/cloisterhq/cloister/appliance/publisher"
	"github.com/cloisterhq/cloister/config"
)

// This file says what each block of the configuration means to the rooms.

// roomsOf are the options of a publisher's rooms that its block decides.
func roomsOf(p *config.Publisher) publisher.Options {
	o := publisher.Options{
		Name: p.Name, Title: p.Title, Location: p.Location, Merge: p.Identity.Merge,
		Personal: p.Profile.Personal, MaxJournal: p.Limits.Journal,
	}
	o.Retention = history.Retention{Events: p.Retention.Events, Names: keptOf(p)}
	if q := p.QuietHours; q != nil {
		o.Quiet = delivery.QuietHours{From: q.From, To: q.To}
	}
	o.Rate = p.Rate
	o.Probe = int(p.Probe / (24 * time.Hour))
	for _, u := range p.Purposes {
		one := publisher.Purpose{Name: u.Name, Title: u.Title, Basis: u.Basis, Channels: u.Channels}
		for _, c := range p.Caps {
			if c.Purpose == u.Name {
				one.Cap = publisher.Cap{Messages: c.Messages, Per: c.Per}
			}
		}
		o.Purposes = append(o.Purposes, one)
	}
	return o
}

// rulesOf are the rules at a publisher's door.
func rulesOf(p *config.Publisher) *ingest.Rules {
	r := &ingest.Rules{
		Events: map[string]*ingest.PropertyRules{}, Personal: p.Profile.Personal, Purposes: map[string][]string{},
		Retention: p.Retention.Events, Kept: keptOf(p), Limits: event.DefaultLimits(), Detect: detectorOf(p.Detect),
		IP:        map[string]ingest.IP{config.CollectCut: ingest.CutIP}[p.Collect.IP],
		UserAgent: map[string]ingest.Agent{config.CollectReduce: ingest.ReduceAgent, config.CollectKeep: ingest.KeepAgent}[p.Collect.UserAgent],
	}
	for _, e := range p.Properties {
		r.Events[e.Event] = schemaOf(&e)
	}
	for _, u := range p.Purposes {
		r.Purposes[u.Name] = slices.Clone(u.Channels)
	}
	return r
}

// schemaOf are the rules for the events of a name.
func schemaOf(e *config.Properties) *ingest.PropertyRules {
	out := &ingest.PropertyRules{
		Allow: e.Allow, Deny: e.Deny, Personal: e.Personal, Required: e.Required,
		State:     map[string]ingest.State{config.StateInactive: ingest.Inactive, config.StateDiscarded: ingest.Discarded}[e.State],
		Unknown:   map[string]ingest.Breach{config.UnknownDrop: ingest.Drop, config.UnknownRefuse: ingest.Refuse}[e.Unknown],
		Violation: map[string]ingest.Breach{config.ViolationDrop: ingest.Drop, config.ViolationRefuse: ingest.Refuse}[e.Violation],
	}
	for name, t := range e.Types {
		if out.Types == nil {
			out.Types = make(map[string]ingest.Type, len(e.Types))
		}
		out.Types[name] = map[string]ingest.Type{
			config.TypeString: ingest.String, config.TypeInteger: ingest.Integer, config.TypeFloat: ingest.Float, config.TypeBoolean: ingest.Boolean,
			config.TypeTime: ingest.Time, config.TypeList: ingest.List, config.TypeObject: ingest.Object,
		}[t]
	}
	return out
}

// purposesOf are the purposes as apps show them.
func purposesOf(p *config.Publisher) []ingest.Purpose {
	out := make([]ingest.Purpose, 0, len(p.Purposes))
	for _, u := range p.Purposes {
		out = append(out, ingest.Purpose{Name: u.Name, Title: u.Title, Contract: u.Basis == config.BasisContract, Channels: u.Channels})
	}
	return out
}

// detectorOf is what looks for what identifies somebody; nil = nothing does.
func detectorOf(c config.Detect) *ingest.Detector {
	actions := map[string]ingest.Action{
		config.DetectKeep: ingest.Keep, config.DetectMask: ingest.MaskIt, config.DetectHash: ingest.HashIt,
		config.DetectDrop: ingest.DropIt, config.DetectHold: ingest.HoldIt,
	}
	return ingest.NewDetector([detect.Kinds]ingest.Action{
		detect.Card: actions[c.Card], detect.NationalID: actions[c.NationalID], detect.IBAN: actions[c.IBAN],
		detect.Email: actions[c.Email], detect.Phone: actions[c.Phone],
	}, c.Except)
}

// keptOf says how long the events of a name are kept, where not all as long.
func keptOf(p *config.Publisher) map[string]time.Duration {
	var out map[string]time.Duration
	for _, e := range p.Retention.Names {
		if out == nil {
			out = make(map[string]time.Duration)
		}
		out[e.Event] = e.Keep
	}
	return out
}

// publicURL is where apps and links in messages find the appliance: what the
// configuration says, or the door for apps itself.
func publicURL(cfg *config.Config) string {
	if cfg.Appliance.PublicURL != "" {
		return cfg.Appliance.PublicURL
	}
	l := cfg.Listener(config.Collect)
	if l.TLS != nil {
		return "https://" + l.Address
	}
	return "http://" + l.Address
}
