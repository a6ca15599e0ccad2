package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/bench/engine"
)

// tries is how often a form is tried before the fastest is chosen.
const tries = 2

// ask asks a question, in the form that was the fastest when it was first
// asked: which one that is changes with the order of the rows.
func (b *bench) ask(r *engine.Request) (engine.Reply, error) {
	if b.db == nil {
		return engine.Reply{}, errors.New("nothing is open")
	}
	form, known := b.fastest[r.Question]
	if !known {
		best := time.Duration(1 << 62)
		for i := range questions[r.Question] {
			for range tries {
				_, took, err := b.query(r.Question, i)
				if err != nil {
					return engine.Reply{}, err
				}
				if took < best {
					best, form = took, i
				}
			}
		}
		b.fastest[r.Question] = form
	}
	rows, took, err := b.query(r.Question, form)
	reply := engine.Reply{Nanos: took.Nanoseconds(), Form: form + 1}
	if err == nil && r.Lines {
		reply.Lines, err = linesOf(r.Question, rows)
	}
	return reply, err
}

// query asks in one form and reads the whole answer.
func (b *bench) query(question string, form int) (list [][]any, took time.Duration, err error) {
	text := strings.ReplaceAll(questions[question][form], "$SOMEONE", strconv.Itoa(int(b.someone)))
	began := time.Now()
	rows, err := b.db.Query(text)
	if err != nil {
		return nil, 0, fmt.Errorf("form %d: %w", form+1, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, 0, err
	}
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, 0, err
		}
		list = append(list, values)
	}
	return list, time.Since(began), rows.Err()
}

// linesOf brings an answer into the form in which engines are compared.
func linesOf(question string, rows [][]any) ([]string, error) {
	var l engine.Lines
	for _, row := range rows {
		var numbers []float64
		var words []string
		for _, v := range row {
			switch v := v.(type) {
			case string:
				words = append(words, v)
			case nil:
			default:
				n, err := strconv.ParseFloat(fmt.Sprint(v), 64)
				if err != nil {
					return nil, fmt.Errorf("an answer to %s has a %T", question, v)
				}
				numbers = append(numbers, n)
			}
		}
		switch question {
		case "Q1", "Q2", "Q3":
			l.Add(dayName(numbers[0])+fmt.Sprint(words), numbers[1])
		case "Q4":
			l.Add("people", numbers[0])
		case "Q5":
			for i, n := range numbers {
				l.Add(fmt.Sprint("step ", i+1), n)
			}
		case "Q6":
			l.Add(fmt.Sprint(dayName(7*numbers[0]), " +", int(numbers[1])), numbers[2])
		case "Q7":
			l.Add(dayName(numbers[0]), numbers[1:]...)
		case "Q8":
			l.Add(fmt.Sprint(words), numbers[0])
		case "Q9":
			if len(numbers) == 1 {
				numbers = append(numbers, 0) // no amount
			}
			l.Add(strings.Join(words, "/"), numbers...)
		}
	}
	return l.Sorted(), nil
}
