package event

import "strings"

// Placeholder says whether an id is what programs write where they have none:
// "undefined", "null", "[object Object]", an all-zero UUID. Taken for an id it
// would join strangers into one person. PostHog and Mixpanel refuse these too.
func Placeholder(id string) bool {
	if strings.Trim(id, "0-_") == "" {
		return id != ""
	}
	if len(id) > 24 {
		return false
	}
	switch strings.ToLower(strings.TrimSpace(id)) {
	case "", "undefined", "null", "nil", "<nil>", "none", "nan", "n/a", "na", "unknown", "anonymous", "anon", "guest",
		"true", "false", "[object object]", "{}", "[]", "id", "distinct_id", "distinctid", "email", "not_authenticated":
		return id != ""
	}
	return false
}
