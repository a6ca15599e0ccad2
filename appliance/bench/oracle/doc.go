// Package oracle compares Cloister's answers with those of the same questions
// as SQL on DuckDB: over generated events, and over the real sets that lie
// beside the checkout. The SQL is made from the question contract alone, by a
// translation of its own; it imports the engine only to ask it. Its tests need
// cgo and run by `make oracle`.
package oracle
