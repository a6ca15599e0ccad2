package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// suggest finds what was probably meant: `Did you mean "title"? `, or nothing.
func suggest(given string, allowed []string) string {
	best, distance := "", 3
	for _, a := range allowed {
		// A short word is near to everything.
		if d := levenshtein.Distance(given, a, nil); d < distance && d < len(a) && d < len(given) {
			best, distance = a, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("Did you mean %q? ", best)
}

// enumerate joins words: "a, b or c".
func enumerate(words []string, last string) string {
	switch len(words) {
	case 0:
		return "none"
	case 1:
		return words[0]
	}
	n := len(words) - 1
	return strings.Join(words[:n], ", ") + " " + last + " " + words[n]
}

// quoted is enumerate of texts as they are typed.
func quoted(words []string, last string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = fmt.Sprintf("%q", w)
	}
	return enumerate(out, last)
}

// allowedHere says what may stand in a block.
func allowedHere(arguments, blocks []string) string {
	arguments, blocks = slices.Sorted(slices.Values(arguments)), slices.Sorted(slices.Values(blocks))
	switch {
	case len(arguments) == 0 && len(blocks) == 0:
		return "Nothing may stand here."
	case len(blocks) == 0:
		return "Allowed here: " + strings.Join(arguments, ", ") + "."
	case len(arguments) == 0:
		return "Allowed here are the blocks " + strings.Join(blocks, ", ") + "."
	}
	return "Allowed here: " + strings.Join(arguments, ", ") + "; and the blocks " + strings.Join(blocks, ", ") + "."
}
