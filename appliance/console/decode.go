package console

import (
	"errors"
	"net/http"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/cloisterhq/cloister/appliance/event"
)

// decode reads a body strictly: nothing twice, nothing unknown, nothing behind
// it, letters in the case that the API has.
func decode(body []byte, into any) error {
	// First the syntax and the depth, so that what follows has bounds.
	if _, err := event.ParseJSON(body); err != nil {
		return err
	}
	err := jsonv2.Unmarshal(body, into, jsonv2.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	p := &problem{status: http.StatusBadRequest, Code: "wrong_type", Message: "a value of another type is needed here"}
	var semantic *jsonv2.SemanticError
	if errors.As(err, &semantic) {
		p.Path = dotted(semantic.JSONPointer)
		if errors.Is(err, jsonv2.ErrUnknownName) {
			p.Code, p.Message = "unknown_field", "there is no such field"
		} else if inner := new(problem); errors.As(semantic.Err, &inner) {
			p.Code, p.Message = inner.Code, inner.Message
		}
	}
	return p
}

// dotted is a JSON pointer as the API writes paths.
func dotted(p jsontext.Pointer) string {
	out := ""
	for token := range p.Tokens() {
		if out != "" {
			out += "."
		}
		out += token
	}
	return clip(out, 160)
}
