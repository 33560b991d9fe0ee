// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// maxDepth bounds the nesting of brackets. The parser calls itself at each
// level, and a Go program whose stack overflows cannot be saved.
const maxDepth = 32

// source is one file of the policy.
type source struct {
	name string
	text []byte
	body *hclsyntax.Body
}

// parse reads the file's blocks. Its two checks come before the parser sees the
// text: they leave only what the static subset of HCL is made of, so that the
// parser's expression language is never reached.
func (s *source) parse() error {
	if err := s.checkText(); err != nil {
		return err
	}
	if err := s.checkTokens(); err != nil {
		return err
	}
	file, diags, err := parseConfig(s)
	if err != nil {
		return err
	}
	if len(diags) > 0 {
		at := span{}
		if subject := diags[0].Subject; subject != nil {
			at = spanOf(*subject)
		}
		return s.errorAt(at, "%s: %s", strings.ToLower(diags[0].Summary), strings.Join(strings.Fields(diags[0].Detail), " "))
	}
	body, ok := file.Body.(*hclsyntax.Body)
	if !ok {
		return &LoadError{File: s.name, Problem: fmt.Sprintf("cannot be read: the parser returned a %T", file.Body)}
	}
	s.body = body
	return nil
}

// parseConfig is the parser, with its panics made errors: a broken file must not
// end a daemon that serves by another policy.
func parseConfig(s *source) (file *hcl.File, diags hcl.Diagnostics, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &LoadError{File: s.name, Problem: fmt.Sprintf("cannot be read: the parser failed: %v", v)}
		}
	}()
	file, diags = hclsyntax.ParseConfig(s.text, s.name, hcl.InitialPos)
	return file, diags, nil
}

func spanOf(r hcl.Range) span { return span{r.Start.Byte, r.End.Byte} }

// checkText allows UTF-8 that looks like what it is: no byte order mark, no
// control characters, none of the invisible characters that reorder a line.
func (s *source) checkText() error {
	for i, r := range string(s.text) {
		at := span{i, i + utf8.RuneLen(r)}
		switch {
		case r == utf8.RuneError && !bytes.HasPrefix(s.text[i:], []byte("\uFFFD")):
			return s.errorAt(span{i, i + 1}, "the byte 0x%02x is not valid UTF-8; save the file as UTF-8", s.text[i])
		case r == '\uFEFF' && i == 0:
			return s.errorAt(at, "the file starts with a byte order mark; save it as UTF-8 without one")
		case r == '\n' || r == '\t' || r == '\r' && bytes.HasPrefix(s.text[i+1:], []byte("\n")):
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp):
			return s.errorAt(at, "the character %U cannot be seen and is not allowed in a policy; delete it", r)
		}
	}
	return nil
}

// number is a whole number in its only form; "010" would be 10 here and 8 elsewhere.
var number = regexp.MustCompile(`\A(0|[1-9][0-9]{0,14})\z`)

// checkTokens allows the tokens of blocks and literals, and no others.
func (s *source) checkTokens() error {
	tokens, _ := hclsyntax.LexConfig(s.text, s.name, hcl.InitialPos) // its complaints come again from the parser
	depth := 0
	for _, t := range tokens {
		at := spanOf(t.Range)
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack:
			if depth++; depth > maxDepth {
				return s.errorAt(at, "brackets are nested more than %d deep; a policy needs no more than 3", maxDepth)
			}
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack:
			depth--
		case hclsyntax.TokenNumberLit:
			if !number.Match(t.Bytes) {
				return s.errorAt(at, "this is not a whole number such as 0 or 512 (no fraction, no exponent, no leading zero, at most 15 digits)")
			}
		case hclsyntax.TokenQuotedLit:
			if bytes.ContainsRune(t.Bytes, '\\') {
				return s.errorAt(at, "backslashes are not allowed in a policy's strings; write the characters themselves")
			}
		case hclsyntax.TokenIdent, hclsyntax.TokenEqual, hclsyntax.TokenComma, hclsyntax.TokenNewline,
			hclsyntax.TokenComment, hclsyntax.TokenOQuote, hclsyntax.TokenCQuote, hclsyntax.TokenEOF:
		default:
			return s.errorAt(at, "%s", refusal(t))
		}
	}
	return nil
}

// refusal says why a token is not allowed, and what to write instead.
func refusal(t hclsyntax.Token) string {
	switch t.Type {
	case hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
		return "templates are not allowed in a policy; write the value out"
	case hclsyntax.TokenOHeredoc:
		return `heredocs are not allowed in a policy; write a string in double quotes`
	case hclsyntax.TokenOParen:
		return "functions and parentheses are not allowed in a policy; write the value out"
	case hclsyntax.TokenApostrophe, hclsyntax.TokenBacktick:
		return `strings are written in double quotes`
	case hclsyntax.TokenQuotedNewline:
		return `the string does not end on its line; close it with a double quote`
	case hclsyntax.TokenMinus:
		return "negative numbers and arithmetic are not allowed in a policy"
	case hclsyntax.TokenSlash:
		return "this is not allowed in a policy; if it starts a comment, the comment does not end"
	case hclsyntax.TokenDot:
		return "variables are not allowed in a policy; write the value out, strings in double quotes"
	}
	return fmt.Sprintf("%q is not allowed in a policy, which holds only blocks, strings, whole numbers, true, false and lists", t.Bytes)
}
