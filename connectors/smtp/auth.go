package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"

	gomail "github.com/wneessen/go-mail/smtp"
)

// Ways to sign in, the best first. SCRAM shows the relay no password, which is
// worth something even behind encryption; CRAM-MD5 shows none either, and MD5
// is the reason why it comes last.
const (
	scramSHA256 = "SCRAM-SHA-256"
	plain       = "PLAIN"
	login       = "LOGIN"
	cramMD5     = "CRAM-MD5"
)

var mechanisms = []string{scramSHA256, plain, login, cramMD5}

// leastRounds is what RFC 7677 wants of a relay; mostRounds bounds the work that
// one can give.
const (
	leastRounds = 4096
	mostRounds  = 1_000_000
)

// mechanism is what signs in to a relay that offers these: the one that the
// operator named, or the best. "" = none.
func (c *config) mechanism(offered []string) string {
	for _, m := range mechanisms {
		if slices.Contains(offered, m) && (c.auth == "" || c.auth == m) {
			return m
		}
	}
	return ""
}

// auth signs in. Passwords cross an unencrypted connection to this machine only:
// that is the settings' to see to. After a refusal no other way is tried, since
// whoever made the first one fail would then choose the weakest.
func (k *conn) auth(c *config) error {
	fail := func(why string) error { return &stepError{step: "signing in", err: errors.New(why)} }
	m := c.mechanism(strings.Fields(strings.ToUpper(k.ext["AUTH"])))
	var way gomail.Auth
	switch m {
	case scramSHA256:
		way = gomail.ScramSHA256Auth(c.username, c.password)
	case plain:
		way = gomail.PlainAuth("", c.username, c.password, c.host, true)
	case login:
		way = gomail.LoginAuth(c.username, c.password, c.host, true)
	case cramMD5:
		way = gomail.CRAMMD5Auth(c.username, c.password)
	case "":
		if c.auth != "" {
			return fail("the relay does not offer " + c.auth + " here")
		}
		return fail("the relay offers none of " + strings.Join(mechanisms, ", ") + " here")
	}
	_, first, err := way.Start(&gomail.ServerInfo{Name: c.host, TLS: true})
	if err != nil {
		return fail("these name and password cannot be used with " + m)
	}
	line := "AUTH " + m
	if first != nil {
		line += " " + encode(first)
	}
	r, err := k.command(line)
	for range 4 {
		if err != nil || r.code != 334 {
			break
		}
		challenge, e := decode(r.text)
		if e != nil || m == scramSHA256 && !bearable(challenge) {
			return fail("the relay asks in a form that is not understood")
		}
		answer, e := way.Next(challenge, true)
		if e != nil {
			return fail("the relay asks for something unexpected") // in its words, which are nobody's to repeat
		}
		r, err = k.command(base64.StdEncoding.EncodeToString(answer)) // an empty line, where there is nothing to say
	}
	if err != nil || r.code != 235 {
		return &stepError{"signing in", r, err}
	}
	return nil
}

// bearable says whether the rounds that SCRAM is asked for are neither too few
// to keep the password nor more than a relay may have us work.
func bearable(challenge []byte) bool {
	for part := range bytes.SplitSeq(challenge, []byte(",")) {
		if text, ok := bytes.CutPrefix(part, []byte("i=")); ok {
			n, err := strconv.Atoi(string(text))
			return err == nil && n >= leastRounds && n <= mostRounds
		}
	}
	return true // not the message that says
}
