package strictjson_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/strictjson"
)

func TestScanner_Duplicates(t *testing.T) {
	t.Parallel()
	var wide strings.Builder
	for i := range 40 {
		fmt.Fprintf(&wide, `"n%d":0,`, i)
	}
	for text, pointer := range map[string]string{
		`{"a":1,"a":2}`:                          "/a",
		`{"a":{"b":[{"c":1,"\u0063":2}]}}`:       "/a/b/0/c",
		"{" + wide.String() + `"n39":1}`:         "/n39",
		`{"a/b":{"~":[0,{"":1,"x":2,"":3}]}}`:    "/a~1b/~0/1/",
		`{"a":{"x":1},"b":{"x":1},"x":1}`:        "",
		"{" + wide.String() + `"m":{"n1":1}}`:    "",
		`{"a":1,"A":2,"\u0061b":3,"ab ":4}`:      "",
		`[{"a":1},{"a":1},{"b":{"a":{}},"a":1}]`: "",
	} {
		_, err := strictjson.Read([]byte(text))
		require.NoError(t, err, text)
		err = strictjson.NewScanner([]byte(text), strictjson.DuplicatesRejected).Skip()
		if pointer == "" {
			require.NoError(t, err, text)
			continue
		}
		require.ErrorIs(t, err, strictjson.ErrDuplicate, text)
		var at *strictjson.Error
		require.ErrorAs(t, err, &at)
		require.Equal(t, pointer, at.Pointer)
	}
}

// FuzzScanner_Syntax holds that Read and encoding/json agree about the syntax.
func FuzzScanner_Syntax(f *testing.F) {
	for _, text := range []string{
		`{"a":[1,-0.5e+3,"\ud83d\ude00",true,false,null]}`, ` [] `, `"\u0000"`, `{"a":1,"a":2}`, `01`, `1.`, `"`, `[1,]`, `{"a" 1}`, "\uFEFF1",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		bare := strictjson.WithoutBOM(text)
		value, err := strictjson.Read(text)
		if err == nil {
			require.True(t, json.Valid(bare) && utf8.Valid(bare))
			require.True(t, json.Valid(value))
			return
		}
		for _, rule := range []error{strictjson.ErrDepth, strictjson.ErrNUL, strictjson.ErrSurrogate, strictjson.ErrUTF8} {
			if errors.Is(err, rule) {
				return
			}
		}
		require.False(t, json.Valid(bare), "%v", err)
	})
}
