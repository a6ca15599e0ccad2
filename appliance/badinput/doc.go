// Package badinput tries the catalogue of bad input over every door of a daemon
// that runs: TestBadInput prints one row a line of the catalogue, with how much
// was tried, what was refused as stated, and how often the daemon crashed or
// answered 5xx, which both have to be 0. It stands outside of the house.
package badinput
