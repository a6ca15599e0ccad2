// Package oracle holds a naive evaluator of the question contract, written
// from the contract alone, and the tests that compare the engine with it on
// random questions over random events. It imports the engine only to ask it.
package oracle
