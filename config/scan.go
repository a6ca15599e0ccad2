package config

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Bounds of what is given to the parser. It is recursive, and in Go a stack
// that overflows ends the process: no recover helps. Brackets, blocks and
// templates nest; operators make the tree deep without any bracket.
const (
	maxDepth     = 64
	maxOperators = 10_000
)

// closers are what ends each thing that nests.
var closers = map[hclsyntax.TokenType]hclsyntax.TokenType{
	hclsyntax.TokenOBrace:          hclsyntax.TokenCBrace,
	hclsyntax.TokenOBrack:          hclsyntax.TokenCBrack,
	hclsyntax.TokenOParen:          hclsyntax.TokenCParen,
	hclsyntax.TokenOQuote:          hclsyntax.TokenCQuote,
	hclsyntax.TokenOHeredoc:        hclsyntax.TokenCHeredoc,
	hclsyntax.TokenTemplateInterp:  hclsyntax.TokenTemplateSeqEnd,
	hclsyntax.TokenTemplateControl: hclsyntax.TokenTemplateSeqEnd,
}

// scan looks at a file's tokens and says what keeps it from the parser. The
// scanner itself keeps no stack in calls.
func scan(path string, src []byte) *Diagnostic {
	// An error of the scanner is also one of the parser, which tells it better.
	tokens, _ := hclsyntax.LexConfig(src, path, hcl.InitialPos)
	open, depth, operators := map[hclsyntax.TokenType]int{}, 0, 0
	for _, t := range tokens {
		if closer, ok := closers[t.Type]; ok {
			open[closer]++
			depth++
		} else if open[t.Type] > 0 { // what closes nothing must not hide what opens
			open[t.Type]--
			depth--
		}
		switch t.Type {
		case hclsyntax.TokenStar, hclsyntax.TokenSlash, hclsyntax.TokenPlus, hclsyntax.TokenMinus,
			hclsyntax.TokenPercent, hclsyntax.TokenEqualOp, hclsyntax.TokenNotEqual,
			hclsyntax.TokenLessThan, hclsyntax.TokenLessThanEq, hclsyntax.TokenGreaterThan,
			hclsyntax.TokenGreaterThanEq, hclsyntax.TokenAnd, hclsyntax.TokenOr,
			hclsyntax.TokenBang, hclsyntax.TokenQuestion, hclsyntax.TokenTemplateControl:
			operators++
		}
		if depth > maxDepth {
			return tooDeep(t.Range, "nested too deep", fmt.Sprintf("Blocks, lists and texts may lie in each other up to %d times.", maxDepth))
		}
		if operators > maxOperators {
			return tooDeep(t.Range, "too many operators", fmt.Sprintf("A file may have up to %d.", maxOperators))
		}
	}
	return nil
}

func tooDeep(at hcl.Range, summary, detail string) *Diagnostic {
	return &Diagnostic{Severity: Error, Code: codeTooBig, Summary: summary, Detail: detail, Place: Place{Range: at}}
}
