package parcel

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/cloisterhq/cloister/plugins/connectorpb"
)

var identifier = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// Block is what an operator writes to use a connector: its first channel, its
// checksum, and the settings that must be there, to be filled in.
func (m *Manifest) Block() (string, error) {
	reply, err := m.Describe()
	if err != nil {
		return "", err
	}
	channel := "email"
	if all := reply.GetDescription().GetChannels(); len(all) > 0 && identifier.MatchString(all[0]) {
		channel = all[0]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "connector %q \"main\" {\n  plugin = %q\n  sha256 = %q\n\n  settings {\n", channel, m.Name, m.SHA256)
	m.settings(&b, "    ", "", reply.GetSchema().GetSettings())
	for _, block := range reply.GetSchema().GetBlocks() {
		if block.GetRequired() && identifier.MatchString(block.GetName()) {
			fmt.Fprintf(&b, "\n    %s {\n", block.GetName())
			m.settings(&b, "      ", block.GetName()+".", block.GetSettings())
			b.WriteString("    }\n")
		}
	}
	b.WriteString("  }\n}\n")
	return b.String(), nil
}

func (m *Manifest) settings(b *strings.Builder, indent, prefix string, all []*connectorpb.Setting) {
	for _, s := range all {
		if !s.GetRequired() || !identifier.MatchString(s.GetName()) {
			continue
		}
		value := map[string]string{"number": "0", "bool": "false", "duration": `"30s"`, "list(string)": "[]", "map(string)": "{}"}[s.GetType()]
		switch {
		case s.GetSensitive():
			value = fmt.Sprintf("file(\"/etc/cloister/%s.%s%s\")", m.Name, prefix, s.GetName())
		case value == "":
			value = `""`
		}
		fmt.Fprintf(b, "%s%s = %s # %s\n", indent, s.GetName(), value, oneLine(s.GetDoc()))
	}
}

// oneLine is an author's words within a comment.
func oneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 }), " ")
	if r := []rune(s); len(r) > 200 {
		s = string(r[:200]) + "…"
	}
	return s
}
