package clevertap

// cursor is an export under way.
type cursor struct{}
