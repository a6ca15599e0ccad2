package ingest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cloisterhq/cloister/appliance/event"
)

// ListLines reads lines of an uploaded list of people: an identity (or the
// anonymous id of somebody who has none) each, as it is or as {"user": ".."}.
// lines counts all, also empty ones; firstLine is the number of the first.
func ListLines(firstLine int64, body []byte) (ids []string, lines int64, refused []LineError) {
	text := strings.TrimSuffix(string(body), "\n")
	if len(body) == 0 {
		return nil, 0, nil
	}
	for line := range strings.SplitSeq(text, "\n") {
		number := firstLine + lines
		lines++
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		id, err := listID(line)
		if err == nil {
			err = event.Check(&event.Fact{Kind: event.Identify, User: id}, event.DefaultLimits())
		}
		if err != nil {
			refused = append(refused, LineError{number, err.Error()})
			continue
		}
		ids = append(ids, id)
	}
	return ids, lines, refused
}

func listID(line string) (string, error) {
	if line[0] != '{' {
		return line, nil
	}
	l := lineDecoder{}
	l.p.s = line
	id := ""
	err := l.members(func(key string) (err error) {
		if key != "user" {
			return fmt.Errorf("the key %q is unknown; user is allowed", clip(key))
		}
		id, err = l.idOf(key)
		return err
	})
	if err == nil && id == "" {
		err = errors.New("user is missing")
	}
	return id, err
}
