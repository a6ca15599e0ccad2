package config

import (
	"fmt"
	"slices"
)

var propertyRule = textRule{min: 1, max: 128, example: `"card_number"`}

func (l *loader) properties(r *reader) Properties {
	p := Properties{Range: r.n.at()}
	p.Event, _ = r.name(0, textRule{max: 128, form: `It is the name of an event, of at most 128 bytes; "*" stands for all events without rules of their own.`})
	p.State = r.text("state", textRule{missing: StateActive, choice: []string{StateActive, StateInactive, StateDiscarded}})
	p.Allow = r.texts("allow", propertyRule)
	p.Deny = r.texts("deny", propertyRule)
	p.Personal = r.texts("personal", propertyRule)
	p.Types = r.textMap("types", propertyRule, textRule{
		choice: []string{TypeAny, TypeString, TypeInteger, TypeFloat, TypeBoolean, TypeTime, TypeList, TypeObject}, example: `"string"`})
	p.Required = r.texts("required", propertyRule)
	p.Unknown = UnknownAllow
	if p.Allow != nil {
		p.Unknown = UnknownDrop
	}
	p.Unknown = r.text("unknown", textRule{missing: p.Unknown, choice: []string{UnknownAllow, UnknownDrop, UnknownRefuse}})
	p.Violation = r.text("violation", textRule{missing: ViolationRefuse, choice: []string{ViolationRefuse, ViolationDrop, ViolationMark}})
	r.end()
	for i, name := range p.Deny {
		_, typed := p.Types[name]
		if typed || slices.Contains(p.Allow, name) || slices.Contains(p.Personal, name) || slices.Contains(p.Required, name) {
			l.bad(codeTogether, r.n, elementAt(r.n.args["deny"], i), fmt.Sprintf("%q is denied, and taken as well", name), "What is denied is dropped at the door. Remove it from one of the lists.")
		}
	}
	if p.Allow != nil && p.Unknown == UnknownAllow && r.is("unknown") {
		l.bad(codeTogether, r.n, r.at("unknown"), "unknown names cannot be allowed beside a list of those that are", `Remove allow, or say unknown = "drop" or "refuse".`)
	}
	for _, name := range []string{"allow", "deny", "personal", "types", "required", "unknown", "violation"} {
		if p.State != StateActive && r.is(name) {
			l.bad(codeTogether, r.n, r.at("state"), fmt.Sprintf("events that are %s have no properties", p.State), "None of them is kept. Remove state, or the rules for properties.")
			break
		}
	}
	if r.is("violation") && !r.is("types") && !r.is("required") {
		l.bad(codeTogether, r.n, r.at("violation"), "nothing can be violated", "Add types or required, or remove violation.")
	}
	return p
}

// collect reads what is kept of where apps run; r is nil where there is no block.
func collect(r *reader) CollectRules {
	out := CollectRules{IP: CollectDrop, UserAgent: CollectDrop}
	if r == nil {
		return out
	}
	out.Range = r.n.at()
	out.IP = r.text("ip", textRule{missing: out.IP, choice: []string{CollectDrop, CollectCut}})
	out.UserAgent = r.text("user_agent", textRule{missing: out.UserAgent, choice: []string{CollectDrop, CollectReduce, CollectKeep}})
	r.end()
	return out
}

// detect reads what the detectors do; r is nil where there is no block.
func detect(r *reader) Detect {
	out := Detect{Card: DetectMask, NationalID: DetectKeep, IBAN: DetectKeep, Email: DetectKeep, Phone: DetectKeep}
	if r == nil {
		return out
	}
	out.Range = r.n.at()
	for _, one := range []struct {
		name string
		to   *string
	}{{"card", &out.Card}, {"national_id", &out.NationalID}, {"iban", &out.IBAN}, {"email", &out.Email}, {"phone", &out.Phone}} {
		*one.to = r.text(one.name, textRule{missing: *one.to, choice: []string{DetectKeep, DetectMask, DetectHash, DetectDrop, DetectHold}})
	}
	out.Except = r.texts("except", propertyRule)
	r.end()
	return out
}
