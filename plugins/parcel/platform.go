package parcel

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"runtime"
)

// Platform says what a program runs on, by its first bytes.
func Platform(program []byte) (string, error) {
	if bytes.HasPrefix(program, []byte("#!/")) {
		return "linux/any", nil
	}
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return "", errors.New("neither a program for Linux nor a script that begins with #!/")
	}
	defer f.Close()
	switch {
	case f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN:
		return "", fmt.Errorf("not a program: %s", f.Type)
	case f.OSABI != elf.ELFOSABI_NONE && f.OSABI != elf.ELFOSABI_LINUX:
		return "", fmt.Errorf("not for Linux: %s", f.OSABI)
	case f.Machine == elf.EM_X86_64 && f.Class == elf.ELFCLASS64:
		return "linux/amd64", nil
	case f.Machine == elf.EM_AARCH64 && f.Class == elf.ELFCLASS64:
		return "linux/arm64", nil
	}
	return "", fmt.Errorf("for a processor that is not served: %s", f.Machine)
}

// RunsHere says whether a platform is this machine's.
func RunsHere(platform string) bool {
	return platform == "linux/any" || platform == runtime.GOOS+"/"+runtime.GOARCH
}
