package main

import (
	"bufio"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// reply is an answer of the relay's.
type reply struct {
	code     int
	enhanced [3]int // 0.0.0 = none
	text     string // may hold addresses: never passed on
}

func (r reply) ok() bool { return r.code/100 == 2 }

// String is without the relay's text, which may hold addresses.
func (r reply) String() string {
	if r.enhanced[0] == 0 {
		return strconv.Itoa(r.code)
	}
	return fmt.Sprintf("%d %d.%d.%d", r.code, r.enhanced[0], r.enhanced[1], r.enhanced[2])
}

// maxAnswer bounds one answer of the relay's, in bytes.
const maxAnswer = 64 << 10

// read reads one answer, of whatever number of lines.
func (k *conn) read() (reply, error) {
	var r reply
	var lines []string
	size := 0
	for {
		line, err := readLine(k.text.R)
		if err != nil {
			return reply{}, err
		}
		if size += len(line); size > maxAnswer {
			return reply{}, errors.New("an answer without end")
		}
		if len(line) < 3 {
			return reply{}, errors.New("an answer that is not SMTP")
		}
		code, err := strconv.Atoi(line[:3])
		if err != nil || code < 200 || code > 599 || (len(lines) > 0 && code != r.code) {
			return reply{}, errors.New("an answer that is not SMTP")
		}
		r.code = code
		more := len(line) > 3 && line[3] == '-'
		rest := ""
		if len(line) > 4 {
			rest = line[4:]
		}
		if e, after, ok := enhancedCode(rest, code); ok {
			r.enhanced, rest = e, after
		}
		lines = append(lines, rest)
		if !more {
			r.text = strings.Join(lines, "\n")
			return r, nil
		}
	}
}

// readLine reads a line of at most maxAnswer bytes.
func readLine(in *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			return strings.TrimRight(string(line), "\r\n"), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return "", err
		}
		if len(line) > maxAnswer {
			return "", errors.New("an answer without end")
		}
	}
}

// enhancedCode reads "5.1.1 text". It must be of the answer's own class.
func enhancedCode(s string, code int) (e [3]int, rest string, ok bool) {
	word, rest, _ := strings.Cut(s, " ")
	parts := strings.Split(word, ".")
	if len(parts) != 3 {
		return e, "", false
	}
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 || n > 999 || len(p) > 3 {
			return e, "", false
		}
		e[i] = n
	}
	if e[0] != code/100 || e[0] == 3 {
		return [3]int{}, "", false
	}
	return e, rest, true
}
