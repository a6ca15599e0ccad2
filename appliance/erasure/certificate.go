package erasure

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"
)

// domain is what certificates are signed for.
const domain = "erasure certificate"

// Certificate says that a person was forgotten: where, when, and what stays.
type Certificate struct {
	Body      []byte            `json:"body"`      // JSON, exactly as it was signed
	Signature []byte            `json:"signature"` // Ed25519
	Key       ed25519.PublicKey `json:"key"`       // the publisher's
}

// Verify says whether the certificate was signed with the private half of key,
// which must come from elsewhere than the certificate.
func (c Certificate) Verify(key ed25519.PublicKey) bool {
	if len(key) != ed25519.PublicKeySize {
		return false
	}
	// The domain, behind its length in four bytes, then the body.
	msg := binary.BigEndian.AppendUint32(nil, uint32(len(domain)))
	msg = append(append(msg, domain...), c.Body...)
	return ed25519.Verify(key, msg, c.Signature)
}

// statement is a certificate's body.
type statement struct {
	Version   int       `json:"version"`
	Publisher string    `json:"publisher"`
	Request   string    `json:"request"`
	Asked     time.Time `json:"asked"`
	Persons   []uint32  `json:"persons"` // internal numbers, never used again
	Within    []string  `json:"forgotten_at_once"`
	Steps     []Step    `json:"steps"`
	Kept      []string  `json:"kept"`
	Done      time.Time `json:"done"`
}

func (e *Erasure) body(r *record) ([]byte, error) {
	b, err := json.Marshal(statement{
		Version: 1, Publisher: e.o.Publisher, Request: r.Request, Asked: r.Asked, Persons: r.Persons,
		Within: e.o.Within, Steps: r.Steps, Kept: e.o.Kept, Done: *r.Done,
	})
	if err != nil {
		return nil, fmt.Errorf("writing a certificate: %w", err)
	}
	return b, nil
}

// Certificate gives a request's certificate: ErrUnknown if there is no such
// request, ErrPending if not every holder has reported.
func (e *Erasure) Certificate(request string) (Certificate, error) {
	r, err := e.find(request)
	if err != nil {
		return Certificate{}, err
	}
	if r.Done == nil {
		return Certificate{}, fmt.Errorf("erasure %q: %w", request, ErrPending)
	}
	return Certificate{Body: r.Body, Signature: r.Signature, Key: e.o.Keys.SigningKey()}, nil
}
