package config

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
