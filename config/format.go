package config

import (
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format gives the canonical form of a file: white space only, comments kept.
// A file that does not parse is not touched; the Diagnostics say why.
func Format(name string, src []byte) ([]byte, Diagnostics) {
	l := newLoader(LoadOptions{}.withDefaults())
	l.files = []string{name}
	if len(src) > maxFile {
		l.found = append(l.found, Diagnostic{Severity: Error, Code: codeTooBig, Summary: name + " is too large", Detail: "A configuration file has at most 1 MiB; split it into several."})
		return nil, l.finish()
	}
	l.sources[name] = src
	l.syntax(name, src)
	if ds := l.finish(); ds.HasErrors() {
		return nil, ds
	}
	return hclwrite.Format(src), nil
}

// Files gives the configuration files of paths: the files themselves, and the
// *.hcl of directories in lexical order; no paths means DefaultPaths.
func Files(paths []string) ([]string, Diagnostics) {
	if len(paths) == 0 {
		paths = DefaultPaths()
	}
	l := newLoader(LoadOptions{}.withDefaults())
	return l.find(paths), l.finish()
}
