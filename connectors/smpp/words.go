package main

import (
	"strings"
	"unicode"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// stopWords and startWords are what people write to have no more messages, and
// to have them again, where the settings say nothing else.
var (
	stopWords = []string{
		"STOP", "STOPALL", "STOP ALL", "UNSUBSCRIBE", "END", "QUIT", "CANCEL", "OPTOUT", "OPT OUT", "REVOKE", // English; CTIA's list among them
		"ARRET", "ARRÊT", "ARRÊTER", "STOPP", "ABMELDEN", "ABBESTELLEN", "BAJA", "ALTO", "PARAR", "CANCELAR", "SAIR", "FERMA", "DISATTIVA",
		"AFMELDEN", "AVSLUTA", "STOPI", "IPTAL", "İPTAL", "DUR", "RED", "BERHENTI", "СТОП", "ОТПИСАТЬСЯ", "توقف", "إلغاء", "الغاء",
		"बंद", "रोको", "रोकें", "বন্ধ", "நிறுத்து", "ఆపు", "बंद करा", "退订", "TD", "停止", "解約", "수신거부",
	}
	startWords = []string{"START", "UNSTOP", "SUBSCRIBE", "OPTIN", "OPT IN", "ALTA", "ANMELDEN", "СТАРТ", "शुरू", "订阅"}
)

// keywords are words as they are compared: upper case, without what stands
// around them.
func keywords(words []string) map[string]bool {
	set := map[string]bool{}
	for _, w := range words {
		if w = keyword(w); w != "" {
			set[w] = true
		}
	}
	return set
}

func keyword(text string) string {
	words := strings.FieldsFunc(strings.ToUpper(text), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r)
	})
	return strings.Join(words, " ")
}

// asks says what a text asks for: the end of messages, also by a text of up to
// three words that begins with the word ("STOP ACME please"), their return, or
// nothing of the kind.
func (c *config) asks(text string) connector.ReceiptKind {
	if len(text) > 1000 {
		return connector.Replied
	}
	text = keyword(text)
	words := strings.Fields(text)
	switch {
	case c.stop[text], len(words) > 0 && len(words) <= 3 && c.stop[words[0]]:
		return connector.Unsubscribed
	case c.start[text]:
		return connector.Subscribed
	}
	return connector.Replied
}

// person is a number that a message came from as +E.164; "" if it cannot be one.
// country is the code of numbers that come without one.
func person(a address, country string) string {
	digits := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" -().", r) {
			return -1
		}
		return r
	}, a.digits)
	plus := strings.HasPrefix(digits, "+")
	digits = strings.TrimPrefix(digits, "+")
	if strings.HasPrefix(digits, "00") && !plus {
		plus, digits = true, digits[2:]
	}
	national := !plus && a.ton != 1 && country != "" && (a.ton == 2 || digits[:min(1, len(digits))] == "0" || !strings.HasPrefix(digits, country) || len(digits) <= 10)
	if national {
		digits = country + strings.TrimPrefix(digits, "0")
	}
	if !number.MatchString("+" + digits) {
		return ""
	}
	return "+" + digits
}
