package people

import "github.com/cloisterhq/cloister/appliance/event"

// RefusedOptedOut is the reason that stands for Resolved.OptedOut in counts.
const RefusedOptedOut = "opted_out"

// optsOut says whether the person at hand does not want to be collected once
// the fact has been taken: an Identify may change that itself.
func (a *applying) optsOut() bool {
	if a.f.Kind == event.Identify {
		for i := len(a.f.Consents) - 1; i >= 0; i-- {
			if c := &a.f.Consents[i]; c.Purpose == event.PurposeCollection && c.Channel == "" {
				return !c.Granted
			}
		}
	}
	said := a.p.consent[consentKey{event.PurposeCollection, ""}]
	return said != nil && said.denied.has(a.person)
}

// OptedOut says whether the person with a device does not want to be collected,
// as of the last commit. A device that nobody has did not opt out. Identities
// are not looked for: they can be guessed, and doors answer to anybody.
func (p *People) OptedOut(device string) bool {
	n, ok := p.FindDevice(device)
	if !ok {
		return false
	}
	denied := p.view.Load().denied[consentKey{event.PurposeCollection, ""}]
	return denied != nil && denied.Contains(n)
}
