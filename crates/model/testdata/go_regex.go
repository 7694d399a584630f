//go:build ignore

// Writes what Go's own regexp package says of generated patterns, one JSON object a line: the golden
// file of crates/model/src/regex. Standard library only:
//
//	go run go_regex.go -seed 1 -n 600 > go_regex.jsonl
//
// As Prometheus does, a pattern is first parsed alone, printed, and then compiled as ^(?s:printed)$.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"regexp"
	"regexp/syntax"
	"runtime"
	"strings"
	"unicode"
	"unicode/utf8"
)

type line struct {
	Pattern string   `json:"p"`
	Error   string   `json:"err,omitempty"`
	Yes     []string `json:"yes,omitempty"`
	No      []string `json:"no,omitempty"`
}

// Patterns that are always in the file, each for one rule of the syntax.
var fixed = []string{
	``, `a`, `abc`, `.*`, `.+`, `.`, `.?`, `a|b`, `a||b`, `|`, `(|a)*`, `(a|)+`, `(?:)`, `()`, `a)(b`, `(`, `)`, `a|)`, `(a`,
	`a**`, `a*+`, `a+*`, `a??`, `a???`, `a*?`, `a*??`, `a{2}{3}`, `a{2}*`, `a{2}?`, `a{2}??`, `(?:a{2}){3}`, `*`, `+a`, `?`, `|*`, `(*)`, `(?:+)`,
	`^*`, `$*`, `\b+`, `\B?`, `(?i)*`, `a(?i)*`, `a*(?i)*`, `a\Q\E*`, `\Q\E*`, `a*\Q\E*`, `(?i`, `(?`, `(?)`, `(?-)`, `(?i-)`, `(?-i)`, `(?--i)`, `(?-i-s)`,
	`(?imsU)a`, `(?x)a`, `(?u)a`, `(?R)a`, `(?-u)a`, `(?i-s:.a)`, `(?-s:.)`, `(?-s).`, `(?s-s:.)`, `(?-s-:.)`, `(?:a(?i)b)c`, `a(?i)b|c`, `(a(?i)b)c`, `(?i)(?-i)a`,
	`(?P<n>a)`, `(?<n>a)`, `(?P<n>a)(?P<n>b)`, `(?P<n>a)(?<n>b)`, `(?P<>a)`, `(?<>a)`, `(?P<n`, `(?P<`, `(?<`, `(?P=n)`, `(?P>n)`, `(?P<n!>a)`, `(?P<é>a)`, `(?P<1_a>a)`, `(?'n'a)`, `(?=a)`, `(?!a)`, `(?<=a)`, `(?<!a)`, `(?>a)`, `(?#a)`,
	`a{`, `a{}`, `a{,}`, `a{,2}`, `a{1`, `a{1,`, `a{1,2`, `a{1,x}`, `a{01}`, `a{1,02}`, `a{0}`, `a{0,0}`, `a{1}`, `a{2,1}`, `a{1000}`, `a{1001}`, `a{0,1001}`, `a{1001,}`, `a{99999999999}`, `a{1,99999999999}`, `{`, `{2}`, `{,2}`, `a{2}{`, `(a{30}){30}`, `(a{40}){30}`, `((a{100}){10}){1}`, `((a{100}){10}){2}`, `((a{100}){0}){1000}`, `(a{0,1000}b?){0,2}`, `(a{1000})*`, `(a{500}|b{2}){2,}`,
	`\d`, `\D`, `\s`, `\S`, `\w`, `\W`, `\d+`, `(?i)\w`, `(?i)\W`, `(?i)[[:word:]]`, `[\d]`, `[^\d]`, `[\d-z]`, `[a-\d]`, `[\w-]`, `[\W\d]`, `\dx`, `[\s\v]`,
	`\b`, `\B`, `a\b`, `\ba`, `\bé`, `é\b`, `a\bé`, `\Aa\z`, `\Z`, `\z\A`, `a\A`, `\za`, `\C`, `\G`, `\K`, `\R`, `\X`, `\h`, `\N`, `\u0041`, `\U00000041`, `\cA`, `\e`, `\E`, `\q`, `\_`, `\-`, `\é`, `\<`, `\>`, `\/`, `\@`, `\ `, "\\\n", `\`, `a\`, `[\]`, `[a\`,
	`\0`, `\00`, `\000`, `\0000`, `\1`, `\7`, `\8`, `\9`, `\12`, `\101`, `\1010`, `\18`, `\377`, `\777`, `\x`, `\x4`, `\x41`, `\x4g`, `\x{}`, `\x{41}`, `\x{1F600}`, `\x{10FFFF}`, `\x{110000}`, `\x{4 1}`, `\x{41`, `\x{0000000000041}`, `\x{FFFFFFFFFFFFF}`, `.*\x{D800}`, `[\x{D7FF}-\x{E000}]`, `[\x{D800}-\x{DFFF}]`, `[^\x{D800}]`, `\a\f\n\r\t\v`, `[\a\f\n\r\t\v]`, `[\b]`, `\b{start}`,
	`\Qa.b\E`, `\Qa.b`, `\Qa.b\E*`, `\Q*\E*`, `(\Q)\E)`, `\Q\Q\E\E`, `\Qa\E\Qb\E`, `[\Qa\E]`, `(?i)\QaK\E`, `\Q\`, `\Qa\\E`,
	`[]`, `[^]`, `[]a]`, `[^]a]`, `[]-a]`, `[a`, `[a-`, `[a-]`, `[-a]`, `[^-a]`, `[a-c-e]`, `[--a]`, `[a--]`, `[+--]`, `[z-a]`, `[a-a]`, `[a&&b]`, `[a~~b]`, `[a--b]`, `[a||b]`, `[[a]`, `[a[b]`, `[[a]]`, `[a]]`, `[^^]`, `[^^a]`, `[a^]`, `[ ]`, `[.]`, `[*]`, `[(]`, `[|]`, `[$]`, `[\^]`, `[\]]`, `[\-a]`, `[a\-z]`, `[\\]`, "[\n]", "[^\n]", `[^a]`, `[^\x00-\x{10FFFF}]`, `[\x00-\x{10FFFF}]`, `[\x00-\x{10FFFF}]*`, `[^\x00-\x{10FFFF}]*`, `a|[^\x00-\x{10FFFF}]`,
	`[[:alpha:]]`, `[[:^alpha:]]`, `[^[:alpha:]]`, `[[:word:]]`, `[[:foo:]]`, `[[:^foo:]]`, `[[:alpha:]`, `[[:alpha]]`, `[[:alpha:]-z]`, `[a-[:alpha:]]`, `[:alpha:]`, `[[:^^alpha:]]`, `[[:]`, `[[::]]`, `[[:space:]]`, `[[:punct:]]`, `[[:print:]]`, `[[:graph:]]`, `[[:cntrl:]]`, `[[:blank:]]`, `[[:ascii:]]`, `[[:xdigit:]]`, `[[:alnum:]]`, `[[:lower:]]`, `[[:upper:]]`, `(?i)[[:lower:]]`, `(?i)[[:^lower:]]`, `(?i)[^[:lower:]]`, `[[:digit:]]`, `[[.a.]]`, `[[:a][[:b]`, `[[:a]b:]`, `[[:a][[:alpha:]]`, `[[=a=]]`,
	`\pL`, `\PL`, `\pN`, `\p{L}`, `\p{Lu}`, `\P{Lu}`, `\p{^Lu}`, `\P{^Lu}`, `\p{^^Lu}`, `\p^L`, `\p{Greek}`, `\p{greek}`, `\p{GREEK}`, `\p{Old_Italic}`, `\p{old italic}`, `\p{Grek}`, `\p{sc=Greek}`, `\p{Script=Greek}`, `\p{IsGreek}`, `\p{IsL}`, `\p{Letter}`, `\p{letter}`, `\p{Uppercase_Letter}`, `\p{uppercase letter}`, `\p{Any}`, `\P{Any}`, `\p{ASCII}`, `\P{ascii}`, `\p{Assigned}`, `\p{Cn}`, `\p{C}`, `\p{Cs}`, `\P{Cs}`, `\p{LC}`, `\p{L&}`, `\p{Alphabetic}`, `\p{White_Space}`, `\p{}`, `\p{`, `\p`, `\pl`, `\pé`, `\p{Lu`, `[\pL]`, `[^\pL]`, `[\p{Lu}\d]`, `[\p{Zl}]`, `\p{Zl}`, `(?i)\p{Lu}`, `(?i)\P{Lu}`, `(?i)\p{Ll}`, `(?i)[^\p{Lu}]`, `(?i)[\P{Lu}]`, `(?i)\p{Greek}`, `(?i)\p{ASCII}`, `(?i)\P{ASCII}`, `[\p]`, `[\pL-z]`, `[a-\pL]`, `\p{Lu}\p{Ll}*`, `\p{ Lu }`, `\p{L-u}`, `\p{digit}`, `\p{punct}`, `\p{Combining_Mark}`,
	`(?i)k`, `(?i)K`, "(?i)\u212a", `(?i)s`, `(?i)ß`, `(?i)ẞ`, `(?i)ı`, `(?i)İ`, `(?i)i`, `(?i)é`, `(?i)σ`, `(?i)µ`, `(?i)ǆ`, `(?i)ͅ`, `(?i)[a-z]`, `(?i)[^a-z]`, `(?i)[k]`, `(?i)[^k]`, `(?i)abc`, `(?i)a-1`, `(?i:a)b`, `a(?i:b)c`, `(?i)ﬅ`, `(?i)ſt`, `(?i)Ω`, `(?i)[à-ý]`, `(?i)Ꭰ`,
	`^a$`, `^^a$$`, `(^a$)`, `(^a|b$)`, `a^b`, `a$b`, `$^`, `^$`, `(?m)^a$`, `(?m)a$\nb`, `(?m)a\n^b`, "(?m)a$.^b", `(?m:^)a`, `a(?m:$)`, `(?m)\Aa\z`, `.*^a`, `a$.*`, `(a|^)b`, `a(b|$)`, `(^)*a`, `(\b)*`, `(?m)(^a$\n?)*`, `(^|,)a($|,)`,
	`foo.*`, `.*foo`, `.*foo.*`, `.+foo.+`, `foo.+bar`, `.*foo.*bar.*`, `foo|bar|baz`, `fo(o|x)b`, `(foo|bar).*`, `.*(foo|bar).*`, `.*foo.*|.*bar.*`, `foo.*|bar`, `.+|`, `(.+)?`, `|.+`, `(.*)`, `.*.*`, `.+.+`, `.{2,}`, `.{3}.*`, `.{2}`, `a.b`, `a.*a`, `ab.*ba`, `(ab|abb)c`, `[ab]x`, `[ab][cd]`, `colou?r`, `x{3}`, `(ab){2}`, `(a|b){3}`, `a?b?c?`, `(?i)ab|cd`, `é.*`, `.*é`, `.*é.*`, `.+é`, `(aba|abba)x?`, `(aba|abba)`, `(ab.*|abba)ba`, `prod-.*-[0-9]+`, `(ab){2}x.*[yz]x`, `.*-.*-.*`, `[^/]+/[^/]+`, `10\.0\..*`, `http_(requests|errors)_total`, `.*_(sum|count|bucket)`, `(?s).*`, `(?-s).*`, `(?-s).+`, `(?-s)a.*`,
}

var atoms = []string{
	"a", "b", "ab", "k", "s", "K", "é", "1", "_", "-", " ", "x", "foo", "bar", ".", ".*", ".+", ".*?", "[ab]", "[^a]", "[a-c]", "[^-b]", "[a-]",
	`\d`, `\w`, `\W`, `\s`, `\S`, `\b`, `\B`, `\A`, `\z`, "^", "$", `\pL`, `\PL`, `\p{Lu}`, `\p{Greek}`, `\P{^Greek}`, `[[:alpha:]]`, `[[:^digit:]]`, `\x41`, `\x{e9}`, `\101`, `\0`, `\n`, "\n", `\.`, `\Q.*\E`, `\Qk\E`, "{", "}", "]", ",", `\{`, `{,2}`, "[k-s]", `[\d-]`, `[^\W]`, "é", "σ", "ſ", "\u212a", "😀", "\ufffd",
}
var repeats = []string{"*", "+", "?", "*?", "+?", "??", "{2}", "{0}", "{0,1}", "{1,2}", "{2,}", "{0,2}?", "{,2}", "{", "{3,2}"}
var groups = []string{"(", "(", "(?:", "(?:", "(?i:", "(?-s:", "(?m:", "(?i-m:", "(?P<n>", "(?<m>", "(?U:", "(?s-i:"}
var switches = []string{"(?i)", "(?m)", "(?-s)", "(?s)", "(?-i)", "(?im-s)", "(?U)"}
var garbage = []string{"(", ")", "[", "]", "*", "+", "?", "{", "}", "|", "^", "$", `\`, "(?", "(?i", "[^", "[:", ":]", "-", "a-", `\p`, `\p{`, `\Q`, `\E`, `\x`, `\x{`, "{1", ",", "{1001}", "&&", `\1`, "[[:alpha:]", "(?P<"}
var words = []string{"prod", "stage", "api", "web-1", "web-2", "node", "a", "ab", "", "é", "10.0.", "_total", "k8s"}

type generator struct{ *rand.Rand }

func (g generator) pick(from []string) string { return from[g.Intn(len(from))] }

func (g generator) pattern() string {
	switch g.Intn(10) {
	case 0:
		return g.broken(g.tree(3))
	case 1:
		return g.soup()
	case 2, 3, 4:
		return g.selector()
	default:
		return g.tree(4)
	}
}

// tree is a pattern that is mostly valid.
func (g generator) tree(depth int) string {
	var b strings.Builder
	for n := g.Intn(4) + 1; n > 0; n-- {
		switch k := g.Intn(12); {
		case k < 3 && depth > 0:
			b.WriteString(g.pick(groups) + g.tree(depth-1))
			for g.Intn(3) == 0 {
				b.WriteString("|" + g.tree(depth-1))
			}
			b.WriteString(")")
		case k == 3:
			b.WriteString(g.pick(switches))
		case k == 4 && depth > 0:
			b.WriteString("|")
		case k == 5:
			b.WriteString(g.class())
		default:
			b.WriteString(g.pick(atoms))
		}
		if g.Intn(3) == 0 {
			b.WriteString(g.pick(repeats))
		}
	}
	return b.String()
}

func (g generator) class() string {
	parts := []string{"a", "b-d", "k", "s", "-", "^", "]", "[", "&&", "~~", `\d`, `\W`, `\S`, `\pL`, `\P{Lu}`, `\p{^Greek}`, "[:alpha:]", "[:^space:]", `\x41-\x{17f}`, `\n`, "é-ü", `\]`, `\\`, "--", "0-9", ".", "Z", "σ"}
	s := "["
	if g.Intn(3) == 0 {
		s += "^"
	}
	for n := g.Intn(4) + 1; n > 0; n-- {
		s += g.pick(parts)
	}
	return s + "]"
}

// selector is what dashboards are full of.
func (g generator) selector() string {
	pieces := []string{".*", ".+", "(" + g.pick(words) + "|" + g.pick(words) + ")", "[0-9]+", "[ab]", "", "", "?", ".{2,}", ".", `\.`}
	branch := func() string {
		s := ""
		for n := g.Intn(4) + 1; n > 0; n-- {
			s += g.pick(words) + g.pick(pieces)
		}
		return s
	}
	s := branch()
	for g.Intn(2) == 0 {
		s += "|" + branch()
	}
	switch g.Intn(8) {
	case 0:
		return "(?i)" + s
	case 1:
		return "^" + s + "$"
	case 2:
		return ".*(" + s + ").*"
	case 3:
		return "^(" + s + ")$"
	}
	return s
}

func (g generator) soup() string {
	s := ""
	for n := g.Intn(8) + 1; n > 0; n-- {
		if g.Intn(2) == 0 {
			s += g.pick(garbage)
		} else {
			s += g.pick(atoms)
		}
	}
	return s
}

func (g generator) broken(s string) string {
	runes := []rune(s)
	at := g.Intn(len(runes) + 1)
	switch {
	case g.Intn(2) == 0 && at < len(runes):
		return string(runes[:at]) + string(runes[at+1:])
	default:
		return string(runes[:at]) + g.pick(garbage) + string(runes[at:])
	}
}

var alphabet = []rune("abcdefkKsSxAZz019_-.,{}[]()*+?|^$\\&~/: \n\t\v\x00éÉσςΣſ\u212aßẞıİ😀\ufffdµμῼǅ")

func (g generator) noise() string {
	var b strings.Builder
	for n := g.Intn(5); n > 0; n-- {
		if g.Intn(5) == 0 {
			b.WriteString(g.pick(words))
		} else {
			b.WriteRune(alphabet[g.Intn(len(alphabet))])
		}
	}
	return b.String()
}

// old says whether a character has been in Unicode for long: tables of different versions agree on it.
func old(r rune) bool {
	return r < 0x530 || r >= 0x1E00 && r < 0x2000 || r >= 0x3040 && r < 0x3100 || r >= 0x4E00 && r < 0x9FA0 ||
		r >= 0x1F600 && r < 0x1F640 || r >= 0x10400 && r < 0x10450 || r >= 0xFB00 && r < 0xFB07 || r == 0xFFFD || r == 0x212A || r == 0x212B || r == 0x2126
}

// sample appends something that the tree might match.
func (g generator) sample(b *strings.Builder, re *syntax.Regexp) {
	if b.Len() > 200 {
		return
	}
	switch re.Op {
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			if re.Flags&syntax.FoldCase != 0 {
				for n := g.Intn(4); n > 0; n-- {
					r = unicode.SimpleFold(r)
				}
			}
			b.WriteRune(r)
		}
	case syntax.OpCharClass:
		for try := 0; try < 20 && len(re.Rune) > 0; try++ {
			i := g.Intn(len(re.Rune)/2) * 2
			r := re.Rune[i+g.Intn(2)]
			if g.Intn(2) == 0 {
				r = re.Rune[i] + rune(g.Intn(min(int(re.Rune[i+1]-re.Rune[i])+1, 300)))
			}
			if old(r) {
				b.WriteRune(r)
				break
			}
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteRune(alphabet[g.Intn(len(alphabet))])
	case syntax.OpAlternate:
		g.sample(b, re.Sub[g.Intn(len(re.Sub))])
	case syntax.OpConcat, syntax.OpCapture:
		for _, sub := range re.Sub {
			g.sample(b, sub)
		}
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		lo, hi := 0, 2
		switch re.Op {
		case syntax.OpPlus:
			lo = 1
		case syntax.OpQuest:
			hi = 1
		case syntax.OpRepeat:
			lo, hi = re.Min, re.Max
			if hi < 0 {
				hi = lo + 2
			}
		}
		for n := lo + g.Intn(min(hi-lo, 3)+1); n > 0; n-- {
			g.sample(b, re.Sub[0])
		}
	}
}

func (g generator) subjects(re *syntax.Regexp) []string {
	var all []string
	for n := 0; n < 8; n++ {
		var b strings.Builder
		g.sample(&b, re)
		s := b.String()
		all = append(all, s)
		if g.Intn(2) == 0 {
			runes := []rune(s)
			at := g.Intn(len(runes) + 1)
			all = append(all, string(runes[:at])+g.noise()+string(runes[at:]))
			if at < len(runes) {
				all = append(all, string(runes[:at])+string(runes[at+1:]))
			}
		}
		if g.Intn(4) == 0 {
			all = append(all, s+"\n", "\n"+s, strings.ToUpper(s))
		}
	}
	all = append(all, "", g.noise(), g.noise(), g.noise())
	return all
}

func (g generator) judge(pattern string) line {
	parsed, err := syntax.Parse(pattern, syntax.Perl|syntax.DotNL)
	if err != nil {
		return line{Pattern: pattern, Error: strings.TrimPrefix(err.Error(), "error parsing regexp: ")}
	}
	whole, err := regexp.Compile("^(?s:" + parsed.String() + ")$")
	if err != nil {
		return line{Pattern: pattern, Error: strings.TrimPrefix(err.Error(), "error parsing regexp: ")}
	}
	// As written, an open \Q would swallow the bracket.
	plain, _ := regexp.Compile("^(?s:" + pattern + ")$")
	out := line{Pattern: pattern}
	seen := map[string]bool{}
	for _, s := range g.subjects(parsed) {
		if seen[s] || !utf8.ValidString(s) {
			continue
		}
		seen[s] = true
		yes := whole.MatchString(s)
		if plain != nil && yes != plain.MatchString(s) {
			fmt.Fprintf(os.Stderr, "Go differs from itself when printed: %q %q\n", pattern, s)
		}
		if yes {
			out.Yes = append(out.Yes, s)
		} else {
			out.No = append(out.No, s)
		}
	}
	return out
}

func main() {
	seed := flag.Int64("seed", 1, "of the generator")
	n := flag.Int("n", 600, "generated patterns, besides the fixed ones")
	flag.Parse()
	g := generator{rand.New(rand.NewSource(*seed))}
	w := bufio.NewWriter(os.Stdout)
	defer w.Flush()
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.Encode(map[string]any{"go": runtime.Version(), "unicode": unicode.Version, "seed": *seed, "n": *n})
	for _, p := range fixed {
		enc.Encode(g.judge(p))
	}
	seen := map[string]bool{}
	for i := 0; i < *n; i++ {
		if p := g.pattern(); utf8.ValidString(p) && !seen[p] {
			seen[p] = true
			enc.Encode(g.judge(p))
		}
	}
}
