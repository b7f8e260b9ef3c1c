package permissions

import (
	"fmt"
	"strconv"
	"strings"
)

// Engine is one engine: its tenant, and the user with which it logs in.
type Engine struct{ Tenant, User string }

// Config describes the accounts of a NATS server.
type Config struct {
	Engines []Engine
	// Password returns the password of a user as it is to be written: quoted, or the name of a variable.
	Password func(user string) string
	// Unlimited is the name of one more user of hookturn's account, which may do everything there; "" = there is none. For
	// development only.
	Unlimited string
}

// Accounts returns the block "accounts" of a NATS server's configuration.
func Accounts(c Config) string {
	engines, password := c.Engines, c.Password
	var b strings.Builder
	fmt.Fprintf(&b, "accounts {\n    %s {\n        jetstream: enabled\n        users: [\n", Account)
	for _, user := range Users() {
		if !user.Apart {
			writeUser(&b, user, password(user.Name))
		}
	}
	if c.Unlimited != "" {
		fmt.Fprintf(&b, "            { user: %s, password: %s }\n", c.Unlimited, password(c.Unlimited))
	}
	b.WriteString("        ]\n        exports: [\n")
	writeExports(&b, engines)
	b.WriteString("        ]\n        imports: [\n")
	writeServed(&b)
	b.WriteString("        ]\n    }\n")
	for _, user := range Users() {
		if user.Apart {
			writeApart(&b, user, password(user.Name))
		}
	}
	for _, engine := range engines {
		writeEngine(&b, engine, password(engine.User))
	}
	b.WriteString("}\n")
	return b.String()
}

// exports returns what hookturn's account lends to the account of the user.
func (u User) exports() []Export {
	var exports []Export
	for _, subject := range u.Publish {
		rest, direct := strings.CutPrefix(subject, "$JS.API.DIRECT.GET.")
		exports = append(exports, Export{Subject: subject, Many: direct && !strings.Contains(rest, ".")})
	}
	return exports
}

// local is the subject under which the user knows one of hookturn's account.
func (u User) local(subject string) string {
	if u.Apart {
		return Export{Subject: subject}.local()
	}
	return subject
}

// writeExports writes what hookturn's account lends to others: each subject once, with the accounts that may import it.
func writeExports(b *strings.Builder, engines []Engine) {
	var order []Export
	accounts := map[Export][]string{}
	lend := func(account string, exports []Export) {
		for _, export := range exports {
			if accounts[export] == nil {
				order = append(order, export)
			}
			accounts[export] = append(accounts[export], account)
		}
	}
	for _, engine := range engines {
		lend(EngineAccount(engine.Tenant), EngineExports(engine.Tenant))
	}
	for _, user := range Users() {
		if user.Apart {
			lend(user.Account(), user.exports())
		}
	}
	for _, export := range order {
		many := ""
		if export.Many {
			many = ", response_type: stream"
		}
		fmt.Fprintf(b, "            { %s: %q, accounts: [\"%s\"]%s }\n",
			export.kind(), export.Subject, strings.Join(accounts[export], `", "`), many)
	}
}

// local is the subject under which another account knows an export: the JetStream API of hookturn's account is a domain to
// it, for $JS.API is the one of its own account, which has no JetStream. So are the keys of buckets: a client of a domain
// writes them below its API.
func (e Export) local() string {
	if rest, isAPI := strings.CutPrefix(e.Subject, "$JS.API."); isAPI {
		return "$JS." + Domain + ".API." + rest
	}
	if strings.HasPrefix(e.Subject, "$KV.") {
		return "$JS." + Domain + ".API." + e.Subject
	}
	if e.Subject == codeWorkers {
		return apart(e.Subject)
	}
	return e.Subject
}

func (e Export) kind() string {
	if e.Stream {
		return "stream"
	}
	return "service"
}

func writeUser(b *strings.Builder, user User, password string) {
	fmt.Fprintf(b, "            # %s\n            {\n                user: %s\n                password: %s\n"+
		"                permissions: {\n", user.Purpose, user.Name, password)
	var publish []string
	for _, subject := range user.Publish {
		publish = append(publish, user.local(subject))
	}
	writeList(b, "publish", append(publish, user.Local...))
	writeList(b, "subscribe", append([]string{InboxPrefix(user.Name) + ".>"}, user.Subscribe...))
	if user.Responds {
		b.WriteString("                    allow_responses: true\n")
	}
	b.WriteString("                }\n            }\n")
}

func writeList(b *strings.Builder, name string, allow []string) {
	fmt.Fprintf(b, "                    %s: { allow: [\n", name)
	writeSubjects(b, allow)
	b.WriteString("                    ] }\n")
}

func writeSubjects(b *strings.Builder, subjects []string) {
	for _, subject := range subjects {
		fmt.Fprintf(b, "                        %s\n", strconv.Quote(subject))
	}
}

// writeApart writes the account of a user that has one of its own. The list of subjects of the user is that of its imports:
// without it the server would not report what the user may not do.
func writeApart(b *strings.Builder, user User, password string) {
	fmt.Fprintf(b, "    %s {\n        users: [\n", user.Account())
	writeUser(b, user, password)
	b.WriteString("        ]\n        imports: [\n")
	writeImports(b, user.exports())
	b.WriteString("        ]\n")
	if len(user.Serves) > 0 {
		b.WriteString("        exports: [\n")
		for _, subject := range user.Serves {
			fmt.Fprintf(b, "            { service: %q, accounts: [%q], response_threshold: %q }\n", subject, Account, servedFor)
		}
		b.WriteString("        ]\n")
	}
	b.WriteString("    }\n")
}

// servedFor is how long the server waits for the answer to a request between accounts: longer than any script may run.
const servedFor = "15m"

// writeServed writes what hookturn's account imports of other accounts: the requests that their users serve.
func writeServed(b *strings.Builder) {
	for _, user := range Users() {
		for _, subject := range user.Serves {
			fmt.Fprintf(b, "            { service: { account: %s, subject: %q }, to: %q }\n", user.Account(), subject, apart(subject))
		}
	}
}

// apart is the subject of a request to a worker that runs scripts in another account. It is not the one of a request in the
// same account: where both have such workers, each would get it.
func apart(subject string) string {
	return "hookturn.apart." + strings.TrimPrefix(subject, "hookturn.")
}

func writeEngine(b *strings.Builder, engine Engine, password string) {
	fmt.Fprintf(b, "    # The engine of tenant %s.\n    %s {\n", engine.Tenant, EngineAccount(engine.Tenant))
	fmt.Fprintf(b, "        users: [ { user: %s, password: %s } ]\n        imports: [\n", engine.User, password)
	writeImports(b, EngineExports(engine.Tenant))
	b.WriteString("        ]\n    }\n")
}

func writeImports(b *strings.Builder, exports []Export) {
	for _, export := range exports {
		to := ""
		if local := export.local(); local != export.Subject {
			to = fmt.Sprintf(", to: %q", local)
		}
		fmt.Fprintf(b, "            { %s: { account: %s, subject: %q }%s }\n", export.kind(), Account, export.Subject, to)
	}
}
