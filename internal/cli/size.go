package cli

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// sizeValue is the value of an option for one of the sizes.
type sizeValue struct {
	sizes *map[string]int64
	name  string
}

// units of sizes, largest first.
var units = []struct {
	suffix string
	bytes  int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}}

var errNoSize = errors.New("not a number of bytes, with or without the unit KiB, MiB, GiB or TiB")

// Set implements pflag.Value.
func (v *sizeValue) Set(text string) error {
	for _, unit := range units {
		number, found := strings.CutSuffix(text, unit.suffix)
		if !found {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n <= 0 || n > math.MaxInt64/unit.bytes {
			return errNoSize
		}
		if *v.sizes == nil {
			*v.sizes = map[string]int64{}
		}
		(*v.sizes)[v.name] = n * unit.bytes
		return nil
	}
	return errNoSize
}

// String implements pflag.Value.
func (v *sizeValue) String() string {
	if v.sizes == nil || (*v.sizes)[v.name] == 0 {
		return ""
	}
	return sizeText((*v.sizes)[v.name])
}

// Type implements pflag.Value.
func (*sizeValue) Type() string { return "size" }

// sizeText returns a size with the largest unit of which it is a multiple.
func sizeText(bytes int64) string {
	for _, unit := range units {
		if bytes%unit.bytes == 0 {
			return strconv.FormatInt(bytes/unit.bytes, 10) + unit.suffix
		}
	}
	return ""
}
