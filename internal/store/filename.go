package store

import (
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// fileNameMax bounds the name of a file, in bytes.
const fileNameMax = 200

// fileTypes are the allowed media types of files: none that a browser would execute.
func fileTypes() []string {
	return []string{
		"application/json", "application/octet-stream", "application/pdf", "application/xml", "application/zip", "text/csv",
		"text/plain", "application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint",
	}
}

// FileTypeAllowed reports whether files of a media type are allowed: images, audio, video, documents, data; none that a
// browser would execute, because links to files have the gateway's own origin.
func FileTypeAllowed(media string) bool {
	family, kind, _ := strings.Cut(media, "/")
	switch family {
	case "image", "audio", "video":
		return !strings.Contains(kind, "svg") && kind != ""
	}
	return slices.Contains(fileTypes(), media) || strings.HasPrefix(media, "application/vnd.openxmlformats-officedocument.")
}

// FileName returns a safe file name: the last part of a path, without control characters, of a bounded length.
func FileName(name string) string {
	name = path.Base(strings.ReplaceAll(strings.ToValidUTF8(name, "_"), `\`, "/"))
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '"' {
			return '_'
		}
		return r
	}, name)
	for len(name) > fileNameMax {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	if name == "" || name == "." || name == "/" || name == ".." {
		return "file"
	}
	return name
}
