package liquid

import (
	"fmt"
	"strings"
)

// lexeme is a word of an expression.
type lexeme struct {
	kind byte // 'i' name, 's' text, 'n' number, 'o' sign, 0 end
	text string
	glue bool // no white space before it
}

func lex(s string) ([]lexeme, error) {
	var out []lexeme
	glue := true
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case strings.IndexByte(spaces, c) >= 0:
			i++
			glue = false
			continue
		case c == '"' || c == '\'':
			end := strings.IndexByte(s[i+1:], c)
			if end < 0 {
				return nil, fmt.Errorf("a text is never closed with %c", c)
			}
			out = append(out, lexeme{'s', s[i+1 : i+1+end], glue})
			i += end + 2
		case c >= '0' && c <= '9' || c == '-' && i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '9':
			j := i + 1
			for j < len(s) && s[j] >= '0' && s[j] <= '9' {
				j++
			}
			if j+1 < len(s) && s[j] == '.' && s[j+1] >= '0' && s[j+1] <= '9' {
				j++
				for j < len(s) && s[j] >= '0' && s[j] <= '9' {
					j++
				}
			}
			out = append(out, lexeme{'n', s[i:j], glue})
			i = j
		case isWord(c):
			j := i + 1
			for j < len(s) && (isWord(s[j]) || s[j] == '-') {
				j++
			}
			if j < len(s) && s[j] == '?' {
				j++
			}
			out = append(out, lexeme{'i', s[i:j], glue})
			i = j
		default:
			sign := s[i : i+1]
			if i+1 < len(s) {
				switch two := s[i : i+2]; two {
				case "==", "!=", "<>", "<=", ">=", "..":
					sign = two
				}
			}
			if strings.IndexByte(".[]()|:,=<>!", sign[0]) < 0 {
				return nil, fmt.Errorf("%q cannot stand here", sign)
			}
			if sign == "!" {
				return nil, fmt.Errorf("%q cannot stand here", sign)
			}
			out = append(out, lexeme{'o', sign, glue})
			i += len(sign)
		}
		glue = true
	}
	return out, nil
}
