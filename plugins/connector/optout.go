package connector

import (
	"strings"
	"unicode"
)

// OptOut knows what people write to have no more messages, and to have them
// again. The zero value knows nothing. It may be used concurrently.
type OptOut struct{ stop, start map[string]bool }

// StopWords and StartWords are the usual ones, in the languages that networks
// and regulators ask for; CTIA's list is among them.
var (
	StopWords = []string{
		"STOP", "STOPALL", "STOP ALL", "UNSUBSCRIBE", "END", "QUIT", "CANCEL", "OPTOUT", "OPT OUT", "REVOKE", // English
		"ARRET", "ARRÊT", "ARRÊTER", "STOPP", "ABMELDEN", "ABBESTELLEN", "BAJA", "ALTO", "PARAR", "CANCELAR", "SAIR", "FERMA", "DISATTIVA",
		"AFMELDEN", "AVSLUTA", "STOPI", "IPTAL", "İPTAL", "DUR", "RED", "BERHENTI", "СТОП", "ОТПИСАТЬСЯ", "توقف", "إلغاء", "الغاء",
		"बंद", "रोको", "रोकें", "বন্ধ", "நிறுத்து", "ఆపు", "बंद करा", "退订", "TD", "停止", "解約", "수신거부",
	}
	StartWords = []string{"START", "UNSTOP", "SUBSCRIBE", "OPTIN", "OPT IN", "ALTA", "ANMELDEN", "СТАРТ", "शुरू", "订阅"}
)

// NewOptOut makes one of words, nil meaning StopWords and StartWords. Capitals,
// punctuation and space in them do not matter; what holds no letter or digit is
// no word.
func NewOptOut(stop, start []string) OptOut {
	if stop == nil {
		stop = StopWords
	}
	if start == nil {
		start = StartWords
	}
	return OptOut{keywords(stop), keywords(start)}
}

// Stops says whether there is a word by which people can have no more messages.
func (o OptOut) Stops() bool { return len(o.stop) > 0 }

// Asks says what a text asks for: Unsubscribed, also by a text of up to three
// words that begins with the word ("STOP ACME please"), Subscribed, or nothing
// of the kind, which is Replied.
func (o OptOut) Asks(text string) ReceiptKind {
	if len(text) > 1000 {
		return Replied
	}
	text = keyword(text)
	words := strings.Fields(text)
	switch {
	case o.stop[text], len(words) > 0 && len(words) <= 3 && o.stop[words[0]]:
		return Unsubscribed
	case o.start[text]:
		return Subscribed
	}
	return Replied
}

func keywords(words []string) map[string]bool {
	set := map[string]bool{}
	for _, w := range words {
		if w = keyword(w); w != "" {
			set[w] = true
		}
	}
	return set
}

// keyword is a text as words are compared: upper case, without what stands
// around them.
func keyword(text string) string {
	words := strings.FieldsFunc(strings.ToUpper(text), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r)
	})
	return strings.Join(words, " ")
}
