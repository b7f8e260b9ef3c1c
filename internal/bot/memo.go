package bot

import "github.com/hookturn/hookturn/internal/secret"

// results keeps what a check found, by what was checked.
type results[K comparable, V any] map[K]V

// get returns what was found about a key, and checks it when nothing is known yet.
func (r results[K, V]) get(key K, check func() V) V {
	found, known := r[key]
	if !known {
		found = check()
		r[key] = found
	}
	return found
}

// memo keeps the results of the checks of one file that cost more than the place in the file that asks for them. By aliases
// and short names, thousands of steps can share one program, script, secret or certificate.
type memo struct {
	programs    results[string, error]      // by their text
	scripts     results[string, readScript] // by the names of their files
	tenants     results[string, bool]       // whether a directory is a tenant's
	pairs       results[[2]string, bool]    // whether a certificate and a key fit, by the names of their secrets
	authorities results[string, bool]       // whether a secret holds certificates
	headers     results[string, []error]    // of the values of a secret as headers
	keys        results[string, []error]    // of the values of a secret as signing keys of Standard Webhooks
}

func newMemo() memo {
	return memo{
		programs: results[string, error]{}, scripts: results[string, readScript]{}, tenants: results[string, bool]{},
		pairs: results[[2]string, bool]{}, authorities: results[string, bool]{}, headers: results[string, []error]{},
		keys: results[string, []error]{},
	}
}

// checkValues checks the values of a secret, each once for a file.
func (c *checker) checkValues(known results[string, []error], name string, check func(secret.Value) error) []error {
	return known.get(name, func() []error {
		found := make([]error, 0, len(c.bot.secrets[name]))
		for _, value := range c.bot.secrets[name] {
			found = append(found, check(value))
		}
		return found
	})
}
