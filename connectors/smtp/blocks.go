package main

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"mime"
	"strings"

	"github.com/cloisterhq/cloister/plugins/connector"
)

func (c *config) readDKIM(d connector.Settings, bad complain) {
	if d == nil {
		return
	}
	domain := d.Text("domain")
	if c.from != nil && !under(domainOf(c.from.Address), domain) {
		bad("not the sender's domain", "Receivers only count a signature of "+domainOf(c.from.Address)+" or a domain above it.", "dkim", "domain")
	}
	key, err := privateKey(d.Text("key"))
	if err != nil {
		bad("not a key to sign with", sentence(err), "dkim", "key")
		return
	}
	c.dkim = []signer{{domain: domain, selector: d.Text("selector"), key: key}}
	second, selector := d.Text("ed25519_key"), d.Text("ed25519_selector")
	if second == "" && selector == "" {
		return
	}
	if second == "" || selector == "" || selector == d.Text("selector") {
		bad("half a second signature", "Write ed25519_key and ed25519_selector, which is another than selector, or neither.", "dkim", "ed25519_selector")
		return
	}
	if key, err = privateKey(second); err != nil {
		bad("not a key to sign with", sentence(err), "dkim", "ed25519_key")
		return
	}
	_, first := c.dkim[0].key.(*rsa.PrivateKey)
	if _, ok := key.(ed25519.PrivateKey); !ok || !first {
		bad("two keys of one kind", "A second signature is for receivers that know only one kind: write an RSA key in key and an Ed25519 key here.", "dkim", "ed25519_key")
		return
	}
	c.dkim = append(c.dkim, signer{domain: domain, selector: selector, key: key})
}

func (c *config) readBounces(s connector.Settings, bad complain) {
	b := s.Block("bounces")
	if b == nil {
		return
	}
	if s.Text("return_path") != "" {
		bad("two ways back", "With bounces every message has an address of its own for them: leave return_path out.", "return_path")
	}
	any, err := checkAddress("b@" + b.Text("domain"))
	if err != nil {
		bad("not a domain", "Write the domain whose mail comes to the appliance, such as bounce.acme.example.", "bounces", "domain")
		return
	}
	if len(strings.TrimSpace(b.Text("key"))) < 16 {
		bad("too short a key", "Make one with: openssl rand -hex 32", "bounces", "key")
	}
	c.marks = &marks{domain: strings.ToLower(domainOf(any)), key: []byte(strings.TrimSpace(b.Text("key")))}
}

// maxFiles is what a message's attachments may have unless more is allowed.
const maxFiles = 1 << 20

func (c *config) readFiles(a connector.Settings, bad complain) {
	if a == nil {
		return
	}
	c.files = &files{max: maxFiles}
	if n := int(a.Number("max_size")); n > 0 {
		c.files.max = n
	}
	types, _ := a["types"].([]string)
	for _, t := range types {
		kind, params, err := mime.ParseMediaType(t)
		if err != nil || len(params) > 0 || strings.Count(kind, "/") != 1 || strings.HasPrefix(kind, "multipart/") || strings.HasPrefix(kind, "message/") {
			bad("not a type of a file", "Write such as \"application/pdf\" or \"text/calendar\".", "attachments", "types")
			return
		}
		c.files.types = append(c.files.types, kind)
	}
	if len(types) == 0 {
		bad("no type is allowed", "Write such as [\"application/pdf\"], or leave the block out.", "attachments", "types")
	}
}

// privateKey reads a key to sign with. Its errors say nothing of the key.
func privateKey(text string) (crypto.Signer, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("it is no PEM: write file(\"/path/dkim.pem\") of a file with -----BEGIN PRIVATE KEY-----")
	}
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("a PEM block %q is not understood; make the key with openssl genpkey", block.Type)
	}
	if err != nil {
		return nil, errors.New("the PEM block does not hold what it says")
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() < 1024 {
			return nil, errors.New("an RSA key must have at least 1024 bits, better 2048")
		}
		return k, nil
	case ed25519.PrivateKey:
		return k, nil
	}
	return nil, errors.New("only RSA and Ed25519 keys sign mail")
}
