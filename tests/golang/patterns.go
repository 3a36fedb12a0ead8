// What Go makes of regular expressions: a table of patterns with, for each text, whether it is found
// there; null where Go refuses the pattern. Texts are base64: some are not UTF-8.
//
//	go run patterns.go -sample > patterns.ndjson
package main

import (
	"encoding/json"
	"flag"
	"math/rand"
	"os"
	"regexp"
	"strings"
)

var written = []string{
	// Anchors and flags.
	`^foo`, `foo$`, `\Afoo`, `foo\z`, `foo\Z`, `(?m)foo$`, `(?m)^bar`, `(?m:foo$)`, `(?m:x)|foo$`, `(?m)^$`,
	`(?i)FOO`, `a(?i)b`, `(?i:A)b`, `(?-i)A`, `(?i)(?-i)A`, `(?s)a.b`, `a.b`, `(?s:.)`, `(?U)a+`, `(?U)a+?b`, `(?x)a b`, `(?im-s)^b.`,
	`(?i)k`, `(?i)ſ`, `(?i)S`, `(?i)σ`, `(?i)ß`, `(?i)İ`, `(?i)[k-s]`, `(?i)[^k]`, `(?i)é`, `(?i)\x{212A}`, `(?i)[[:upper:]]`, `(?i)\p{Lu}`, `(?i)\P{Lu}`,
	`\bfoo\b`, `\Bo`, `\bé`, `(?i-s)`, `(?)`, `(?i`, `(?i:`, `(?P<`, `(?z)a`,
	// Groups.
	`(?P<name>a)b`, `(?<name>a)b`, `(?P<a>x)(?P<a>y)`, `(?<a>x)(?<a>y)`, `(?P<1a>x)`, `(?P<é>x)`, `(?P<>x)`, `(?P=name)`, `(?P<a-b>x)`, `(?'n'a)`,
	`(?:a|b)+`, `()`, `(|a)`, `(a|)b`, `(?=a)`, `(?!a)`, `(?<=a)b`, `(?<!a)b`, `(?>a)`, `(?#c)a`, `\1`, `(a)\1`, `a)`, `(`, `((a)`,
	// Repetition.
	`a**`, `a*+`, `a+*`, `a??`, `a???`, `a{2}`, `a{2,}`, `a{2,3}`, `a{,3}`, `a{`, `a{}`, `a{x}`, `a{2,1}`, `a{1000}`, `a{1001}`, `a{0}`, `a{0,0}b`, `a{01}`, `a{2}{3}`, `(a{2}){3}`,
	`(a{10}){100}`, `(a{10}){101}`, `((a{10}){10}){11}`, `(a{0,10}){0,101}`, `(?:a{1000}){0}`, `a{99999999999999999999}`, `*a`, `+`, `?`, `a|*`, `^*`, `$+`, `\b*`, `(?:^)*a`, `(?i)*`, `{2}`, `a|{2}`, `x{2}?`, `x{2,3}?y`,
	`(a*)*`, `(a*)+`, `(a+)*b`, `(a|a)*b`, `(?:(?:a*)*)*b`, `((((((((((a))))))))))`, `a{2}**`, `(a*)**`,
	// Classes.
	`[a`, `[]a]`, `[^]a]`, `[]`, `[^]`, `[a-]`, `[-a]`, `[a-c-e]`, `[c-a]`, `[a\]b]`, `[$]`, `[.]`, `[a[b]`, `[[a]]`, `[\d-z]`, `[a-\d]`, `[\w.]`, `[^\d]`, `[^\W]`, `[\b]`, `[\Qa]\E]`, `[é-ü]`, `[^é]`, `[\x00-\x{10FFFF}]`, `[^\x00-\x{10FFFF}]`, `[^a]`, `[^\n]`, `[&&a]`, `[a&&b]`, `[a--b]`,
	`[[:alpha:]]`, `[[:^alpha:]]`, `[^[:alpha:]]`, `[[:alpha:]_]+[[:digit:]]`, `[[:word:]]`, `[[:nope:]]`, `[:alpha:]`, `[[:alpha]]`, `[[:upper:]]`, `[[:space:]]`, `[[:blank:]]`, `[[:cntrl:]]`, `[[:graph:]]`, `[[:print:]]`, `[[:punct:]]`, `[[:xdigit:]]`, `[[:alnum:]]`, `[[:lower:]]`, `[[:ascii:]]`, `[[:^ascii:]]`, `[[=a=]]`, `[[.a.]]`,
	`\d`, `\D`, `\s`, `\S`, `\w`, `\W`, `\v`, `\h`, `\R`, `\X`, `\K`, `\G`, `\N`,
	`\pL`, `\pN`, `\PN`, `\pZ`, `\p{L}`, `\p{Lu}`, `\p{^Lu}`, `\P{^Lu}`, `\p{Greek}`, `\p{greek}`, `\p{Han}`, `\p{Cyrillic}`, `\p{Letter}`, `\p{letter}`, `\p{Any}`, `\p{ASCII}`, `\p{Cn}`, `\p{LC}`, `\p{Co}`, `\p{Cs}`, `\p{C}`, `\p{Zl}`, `\p{Nope}`, `\p{`, `\p{}`, `\p`, `[\pN]`, `[^\pL]`, `\p{L`, `\pé`, `\p{IsGreek}`, `\p{Script=Greek}`, `\p{Assigned}`, `\p{sc}`, `\p{Lowercase_Letter}`, `\p{Zs}`, `\p{Sm}`, `\p{Unknown}`,
	// Escapes.
	`\C`, `a\Cb`, `[\C]`, `\\C`, `\Q\C\E`, `\Qa.b\E+`, `\Qa.b`, `\Qab\E+`, `\E`, `a\E`, `\Q\E`, `\Qa\Eb\Qc`, `\Q\\E`, `\Qa\`,
	`\a`, `\f`, `\t`, `\n`, `\r`, `\e`, `\cA`, `\0`, `\00`, `\012`, `\101`, `\18`, `\8`, `\x41`, `\x4`, `\xZZ`, `\x{41}`, `\x{1F600}`, `\x{110000}`, `\x{D800}`, `\x{DFFF}`, `\x{}`, `\x{`, `\u0041`, `\U00000041`, `\o{101}`, `\-`, `\_`, `\%`, `\"`, `\é`, `\ `, `\/`, `\`, `a\`, `\$`, `\x{FFFD}`, `\x{0}`, "\x00", "a\nb", `\z`, `\y`, `\<`, `\>`, `\j`, `\i`,
	// What is not ASCII, or no UTF-8.
	`é`, `é+`, `^.$`, `^..$`, `^...$`, `^.{3}$`, `^[^a]$`, `^\W$`, `^\D$`, `^\PL$`, `^\x{FFFD}+$`, "\uFFFD", `日本`, `日+`, `😀`, `[😀-😂]`, `^(?s:.)$`, `^\p{So}$`, `^\p{C}$`, `a.*b`, `a[^x]*b`,
	// Empty, alternatives, order.
	``, `|`, `a|`, `|a`, `a||b`, `a|ab`, `^(a|ab)$`, `^(?:a|ab)(?:c|bcd)$`, `(?:)`, `.*`, `.+`, `.`, `^$`, `^`, `$`,
	`"arguments": "(/?[a-z0-9]+)+ --quiet"`, `^/(usr/)?(s?bin|lib)/[^/]+$`, `(\d+\.){3}\d+`,
}

var texts = []string{
	"", "a", "b", "ab", "abc", "aab", "aaaaaa", "foo", "a foobar", "foo\nbar", "foo\n", "FOO", "Foo fOO", "x", "xy", "xx", "bc", "A", "AB", "aB", "a\nb", "axb", "a.b", "a.bb",
	"k", "K", "\u212A", "s", "S", "\u017F", "σ", "ς", "Σ", "ß", "ẞ", "İ", "i", "ı", "é", "É", "ü", "日本語", "😀", "٣", "1", "ab_1", "_", "-", "]", "[", "$", "^", "{", "a{", "a{,3}", "{2}", "\\", "\\C", "\\E", "\"", "/", "%", " ", "\t", "\n", "\r", "\v", "\f", "\a", "\x00", "\x1b", "\x7f", "\u00A0", "\u2028", "\u0085", "Ω", "Ж", "ǅ", "ª", "½", "Ⅷ", "€", "\uE000", "\u0378", "\uFFFD", "\U0010FFFF",
	"\xff", "\xff\xff", "a\xffb", "\xc3", "\xe6\x97", "a\xe6\x97b", "\xed\xa0\x80", "\xed\xa0\x80x", "\xc0\x80", "\xf4\x90\x80\x80", "\xf0\x9f\x98", "é\x80", "\x80\x80\x80", "\xe6\x97\xe6\x97\xa5",
	"abcd", "acd", "bcd", "10.0.0.1", "/usr/bin/cat", "/sbin/init", `"arguments": "/a0b1 --quiet"`, `"arguments": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"`, strings.Repeat("a", 1000), strings.Repeat("ab", 60), "a=b&c", "alpha:", "ASCII ~",
}

// Pieces that random patterns are made of.
var pieces = []string{
	"a", "b", "é", "日", "k", "S", ".", "^", "$", "|", "(", ")", "(?:", "(?i:", "(?s:", "(?m:", "(?i)", "(?s)", "(?U)", "*", "+", "?", "*?", "{2}", "{0,3}", "{1,}", "[ab]", "[^a]", "[a-z]", "[[:alpha:]]", "[^[:space:]\\d]",
	`\d`, `\W`, `\s`, `\b`, `\B`, `\pL`, `\P{Lu}`, `\p{Greek}`, `\.`, `\x{FFFD}`, `\n`, `\x41`, `\Q.\E`, `\z`, `\A`, "]", "[", "{", "}", "-", "\\",
}

func main() {
	sample := flag.Bool("sample", false, "fewer patterns, for patterns.ndjson")
	flag.Parse()
	random := rand.New(rand.NewSource(1))
	more := 8000
	if *sample {
		more = 400
	}
	patterns := written
	for range more {
		var made strings.Builder
		for range 1 + random.Intn(9) {
			made.WriteString(pieces[random.Intn(len(pieces))])
		}
		patterns = append(patterns, made.String())
	}
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	if err := out.Encode(bytes(texts)); err != nil {
		panic(err)
	}
	for _, pattern := range patterns {
		compiled, err := regexp.Compile(pattern)
		if err != nil {
			_ = out.Encode([]any{pattern, nil})
			continue
		}
		// One digit for each text: 1 where the pattern is found.
		found := make([]byte, len(texts))
		for index, text := range texts {
			found[index] = '0'
			if compiled.MatchString(text) {
				found[index] = '1'
			}
		}
		_ = out.Encode([]any{pattern, string(found)})
	}
}

func bytes(texts []string) [][]byte {
	made := make([][]byte, len(texts))
	for index, text := range texts {
		made[index] = []byte(text)
	}
	return made
}
