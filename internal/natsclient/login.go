package natsclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/natscontext"

	"github.com/hookturn/hookturn/schemas"
)

// Login is how a process connects to NATS. Every member may be empty. Files are read at each connection, so that they can be
// replaced while the process runs. The seed of NKey is the exception: the library names the user by the key of the start,
// and the server rejects a signature by another one until the process is restarted.
type Login struct {
	// URL is the address, or several with commas between them, with or without user and password. Empty: that of the
	// context, else nats://127.0.0.1:4222.
	URL string
	// Context is the name or the absolute path of a context of the NATS CLI. The other members win over what it holds.
	Context string
	Creds   string // credentials file: JWT and seed
	NKey    string // file with the seed of a user
	CA      string // PEM file of the authorities that the server's certificate may come from; empty: those of the system
	// Cert and Key are PEM files of the client's certificate and its key.
	Cert, Key string
	// Domain is the JetStream domain that has the streams; empty: that of the context, else the server's own.
	Domain string
	// InboxPrefix is the inbox prefix; empty: that of the context, else _INBOX.
	InboxPrefix string
}

// OptionError is the error of an option of the connection that is invalid, or names a file that cannot be read.
type OptionError struct{ err error }

func (e *OptionError) Error() string { return e.err.Error() }
func (e *OptionError) Unwrap() error { return e.err }

// badOption returns the error of an option with its flag, its variable and an example.
func badOption(flag, value string, reason error, example string) error {
	variable := "HOOKTURN_" + variableName(flag)
	if flag == "nats-context" {
		variable = "NATS_CONTEXT"
	}
	return &OptionError{fmt.Errorf("invalid --%s or %s %q: %w, for example --%s %s", flag, variable, value, reason, flag,
		example)}
}

// variableName returns the name of a flag's variable without its prefix.
func variableName(flag string) string { return strings.ToUpper(strings.ReplaceAll(flag, "-", "_")) }

// Check returns the first problem of the login that no connection could change: an invalid option, or a file that cannot be
// read.
func (l Login) Check() error {
	_, err := l.options()
	return err
}

// options returns the options of the connection, or the first problem of the login.
func (l Login) options() ([]nats.Option, error) {
	if isBadAddress(l.URL) {
		// The parser's own error would quote the address, password and all.
		return nil, &OptionError{errors.New("invalid nats address: check --nats-url or HOOKTURN_NATS_URL, " +
			"for example nats://user:password@nats.example:4222")}
	}
	if l.Domain != "" && !schemas.IsToken(l.Domain) {
		return nil, badOption("nats-domain", l.Domain, errors.New("expected [A-Za-z0-9_-]{1,64}"), "hub")
	}
	credentials, err := l.credentials()
	if err != nil {
		return nil, err
	}
	certificates, err := l.certificates()
	if err != nil {
		return nil, err
	}
	inbox, err := l.inboxPrefix()
	if err != nil {
		return nil, err
	}
	return append(append(credentials, certificates...), inbox, l.servers), l.checkContext()
}

// inboxPrefixMax bounds an inbox prefix, in bytes.
const inboxPrefixMax = 128

// inboxPrefix sets the inbox prefix, so that permissions can hide responses from other users. An empty one keeps the
// default.
func (l Login) inboxPrefix() (nats.Option, error) {
	if l.InboxPrefix == "" {
		return func(*nats.Options) error { return nil }, nil
	}
	if len(l.InboxPrefix) > inboxPrefixMax || checkSubject(l.InboxPrefix) != nil {
		return nil, fmt.Errorf("invalid inbox prefix: expected at most %d characters, words of A-Z a-z 0-9 _ - with dots "+
			"between them: check --nats-inbox-prefix or HOOKTURN_NATS_INBOX_PREFIX", inboxPrefixMax)
	}
	return nats.CustomInboxPrefix(l.InboxPrefix), nil
}

// servers sets the addresses: the library sets those of the context first.
func (l Login) servers(o *nats.Options) error {
	address := l.URL
	if address == "" && strings.Join(o.Servers, "") == "" {
		address = nats.DefaultURL
	}
	if address != "" {
		o.Servers = nil
		for one := range strings.SplitSeq(address, ",") {
			o.Servers = append(o.Servers, strings.TrimSpace(one))
		}
	}
	return nil
}

func (l Login) credentials() ([]nats.Option, error) {
	switch {
	case l.Creds != "" && l.NKey != "":
		return nil, errors.New("--nats-creds and --nats-nkey are both set: remove one " +
			"(HOOKTURN_NATS_CREDS, HOOKTURN_NATS_NKEY)")
	case l.Creds != "":
		if _, err := os.Stat(l.Creds); err != nil {
			return nil, badOption("nats-creds", l.Creds, fmt.Errorf("%w: expected a credentials file", err),
				"/etc/hookturn/user.creds")
		}
		return []nats.Option{anonymous, nats.UserCredentials(l.Creds)}, nil
	case l.NKey != "":
		option, err := nats.NkeyOptionFromSeed(l.NKey)
		if err != nil {
			return nil, badOption("nats-nkey", l.NKey, fmt.Errorf("%w: expected a file with the seed of a user, SU…", err),
				"/etc/hookturn/user.nk")
		}
		return []nats.Option{anonymous, option}, nil
	}
	return nil, nil
}

// anonymous removes the credentials of a context.
func anonymous(o *nats.Options) error {
	o.User, o.Password, o.Token, o.Nkey, o.UserJWT, o.SignatureCB = "", "", "", "", nil, nil
	return nil
}

func (l Login) certificates() (options []nats.Option, err error) {
	if l.CA != "" {
		pem, err := os.ReadFile(l.CA)
		if err == nil && !x509.NewCertPool().AppendCertsFromPEM(pem) {
			err = errors.New("no certificate found")
		}
		if err != nil {
			return nil, badOption("nats-ca", l.CA, fmt.Errorf("%w: expected a PEM file of certificates", err),
				"/etc/hookturn/ca.pem")
		}
		options = append(options, nats.RootCAs(l.CA))
	}
	if (l.Cert == "") != (l.Key == "") {
		return nil, errors.New("--nats-cert and --nats-key belong together: set both " +
			"(HOOKTURN_NATS_CERT, HOOKTURN_NATS_KEY), for example --nats-cert client.pem --nats-key client-key.pem")
	}
	if l.Cert != "" {
		if _, err := tls.LoadX509KeyPair(l.Cert, l.Key); err != nil {
			return nil, badOption("nats-cert", l.Cert,
				fmt.Errorf("%w: expected a PEM file of a certificate, and its key in --nats-key", err), "/etc/hookturn/client.pem")
		}
		options = append(options, nats.ClientCert(l.Cert, l.Key))
	}
	return options, nil
}

// errContextRead ends the connection that only reads a context.
var errContextRead = errors.New("context was read")

// checkContext reports whether the context can be read, so that a missing one is an error at once.
func (l Login) checkContext() error {
	if l.Context == "" {
		return nil
	}
	_, _, err := natscontext.Connect(l.Context, func(*nats.Options) error { return errContextRead })
	if errors.Is(err, errContextRead) {
		return nil
	}
	return badOption("nats-context", l.Context,
		fmt.Errorf("%w: expected a context of the NATS CLI, by name or absolute path", err), "production")
}

// dial connects once.
func (l Login) dial(options []nats.Option) (*nats.Conn, natscontext.Settings, error) {
	if l.Context != "" {
		return natscontext.Connect(l.Context, options...)
	}
	nc, err := nats.Connect(l.URL, options...)
	return nc, natscontext.Settings{}, err
}

// jetStream returns the JetStream context of the login's domain.
func (l Login) jetStream(nc *nats.Conn, found natscontext.Settings) (jetstream.JetStream, error) {
	timeout := jetstream.WithDefaultTimeout(APITimeout)
	domain := l.Domain
	if domain == "" {
		domain = found.JSDomain
	}
	switch {
	case domain != "":
		return jetstream.NewWithDomain(nc, domain, timeout)
	case found.JSAPIPrefix != "":
		return jetstream.NewWithAPIPrefix(nc, found.JSAPIPrefix, timeout)
	}
	return jetstream.New(nc, timeout)
}

// Address returns what log lines name the connection by: without user and password.
func (l Login) Address() string {
	switch {
	case l.URL != "":
		return redacted(l.URL)
	case l.Context != "":
		return "context " + l.Context
	}
	return nats.DefaultURL
}
