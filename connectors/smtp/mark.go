package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"regexp"
	"strings"
)

// marks are the addresses to which mail about a message comes back: one for its
// bounces and complaints, one for unsubscribing by mail. They hold the message's
// id and a code that only this connector can make, so that a bounce cannot be
// forged, and they survive being made lower case, which some relays do.
type marks struct {
	domain string
	key    []byte
}

// What an address is for.
const (
	markBounce      = 'b'
	markUnsubscribe = 'u'
)

// markable are the ids that fit: an address has at most 64 bytes before its @.
var markable = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,42}$`)

// markForm finds what may be one anywhere in a text.
var markForm = regexp.MustCompile(`(?i)\b[bu]-[a-z0-9][a-z0-9-]{0,42}-[a-z2-7]{16}\b`)

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// local is what stands before the @; without an id that fits, it is of no message.
func (k *marks) local(what byte, id string) string {
	if !markable.MatchString(id) {
		return string(what)
	}
	mac := hmac.New(sha256.New, k.key)
	mac.Write([]byte{what, '-'})
	mac.Write([]byte(id))
	return string(what) + "-" + id + "-" + lowerBase32.EncodeToString(mac.Sum(nil)[:10])
}

func (k *marks) address(what byte, id string) string { return k.local(what, id) + "@" + k.domain }

// read says what a mark is for and of which message; ok is false if it is not
// of ours.
func (k *marks) read(local string) (what byte, id string, ok bool) {
	local = strings.ToLower(local)
	end := strings.LastIndexByte(local, '-')
	if end < 3 || local[1] != '-' || len(local) > 64 {
		return 0, "", false
	}
	what, id = local[0], local[2:end]
	if what != markBounce && what != markUnsubscribe || !markable.MatchString(id) {
		return 0, "", false
	}
	return what, id, hmac.Equal([]byte(local), []byte(k.local(what, id)))
}

// readAddress is read of a whole address.
func (k *marks) readAddress(address string) (what byte, id string, ok bool) {
	local, domain, _ := strings.Cut(strings.Trim(address, "<>"), "@")
	if !strings.EqualFold(domain, k.domain) {
		return 0, "", false
	}
	return k.read(local)
}

// find gives the message of the first mark in a text.
func (k *marks) find(text string) (id string, ok bool) {
	for _, m := range markForm.FindAllString(text, 64) {
		if _, id, ok := k.read(m); ok {
			return id, true
		}
	}
	return "", false
}
