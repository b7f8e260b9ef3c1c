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
		var deny []string
		if user.SparesEngines {
			for _, engine := range engines {
				deny = append(deny, engineConsumers(engine.Tenant)...)
			}
		}
		writeUser(&b, user, password(user.Name), deny)
	}
	if c.Unlimited != "" {
		fmt.Fprintf(&b, "            { user: %s, password: %s }\n", c.Unlimited, password(c.Unlimited))
	}
	b.WriteString("        ]\n        exports: [\n")
	for _, engine := range engines {
		for _, export := range EngineExports(engine.Tenant) {
			many := ""
			if export.Many {
				many = ", response_type: stream"
			}
			fmt.Fprintf(&b, "            { %s: %q, accounts: [%q]%s }\n",
				export.kind(), export.Subject, EngineAccount(engine.Tenant), many)
		}
	}
	b.WriteString("        ]\n    }\n")
	for _, engine := range engines {
		writeEngine(&b, engine, password(engine.User))
	}
	b.WriteString("}\n")
	return b.String()
}

// local is the subject under which an engine knows an export: the JetStream API of hookturn's account is a domain to it,
// for $JS.API is the one of its own account, which has no JetStream.
func (e Export) local() string {
	if rest, isAPI := strings.CutPrefix(e.Subject, "$JS.API."); isAPI {
		return "$JS." + Domain + ".API." + rest
	}
	return e.Subject
}

func (e Export) kind() string {
	if e.Stream {
		return "stream"
	}
	return "service"
}

func writeUser(b *strings.Builder, user User, password string, deny []string) {
	fmt.Fprintf(b, "            # %s\n            {\n                user: %s\n                password: %s\n"+
		"                permissions: {\n", user.Purpose, user.Name, password)
	writeList(b, "publish", user.Publish, deny)
	writeList(b, "subscribe", append([]string{InboxPrefix(user.Name) + ".>"}, user.Subscribe...), nil)
	if user.Responds {
		b.WriteString("                    allow_responses: true\n")
	}
	b.WriteString("                }\n            }\n")
}

func writeList(b *strings.Builder, name string, allow, deny []string) {
	fmt.Fprintf(b, "                    %s: { allow: [\n", name)
	writeSubjects(b, allow)
	if len(deny) > 0 {
		b.WriteString("                    ], deny: [\n")
		writeSubjects(b, deny)
	}
	b.WriteString("                    ] }\n")
}

func writeSubjects(b *strings.Builder, subjects []string) {
	for _, subject := range subjects {
		fmt.Fprintf(b, "                        %s\n", strconv.Quote(subject))
	}
}

func writeEngine(b *strings.Builder, engine Engine, password string) {
	fmt.Fprintf(b, "    # The engine of tenant %s.\n    %s {\n", engine.Tenant, EngineAccount(engine.Tenant))
	fmt.Fprintf(b, "        users: [ { user: %s, password: %s } ]\n        imports: [\n", engine.User, password)
	for _, export := range EngineExports(engine.Tenant) {
		to := ""
		if local := export.local(); local != export.Subject {
			to = fmt.Sprintf(", to: %q", local)
		}
		fmt.Fprintf(b, "            { %s: { account: %s, subject: %q }%s }\n", export.kind(), Account, export.Subject, to)
	}
	b.WriteString("        ]\n    }\n")
}
