package egress

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"

	"github.com/hookturn/hookturn/internal/tenantcache"
)

// Identity is the TLS configuration of a tenant's endpoint: a client certificate, a private CA, or both. Two identities
// never share connections, and never share them with requests without an identity.
type Identity struct {
	tenant      string
	certificate *tls.Certificate
	roots       *x509.CertPool
	fingerprint [sha256.Size]byte
}

// NewIdentity returns a new Identity of a tenant and of PEM texts: certificate and key belong together; that pair or the CA
// may be empty. No error contains any part of them.
func NewIdentity(tenant string, certificate, key, ca []byte) (*Identity, error) {
	i := &Identity{tenant: tenant}
	if len(certificate) > 0 || len(key) > 0 {
		pair, err := tls.X509KeyPair(certificate, key)
		if err != nil {
			return nil, errors.New("certificate and key are not a matching pair of PEM texts")
		}
		i.certificate = &pair
	}
	if len(ca) > 0 {
		i.roots = x509.NewCertPool()
		if !i.roots.AppendCertsFromPEM(ca) {
			return nil, errors.New("the CA does not contain a certificate in PEM")
		}
	}
	hash := sha256.New()
	for _, text := range [][]byte{certificate, key, ca} {
		part := sha256.Sum256(text)
		hash.Write(part[:])
	}
	hash.Sum(i.fingerprint[:0])
	return i, nil
}

// apply configures a transport with this identity.
func (i *Identity) apply(t *http.Transport) {
	if i.certificate != nil {
		t.TLSClientConfig.Certificates = []tls.Certificate{*i.certificate}
		t.TLSClientConfig.GetClientCertificate = nil
	}
	if i.roots != nil {
		t.TLSClientConfig.RootCAs = i.roots
	}
	t.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(identitySessionsMax)
	t.MaxIdleConns = min(t.MaxIdleConns, identityIdleMax)
	t.MaxIdleConnsPerHost = min(t.MaxIdleConnsPerHost, identityIdleMax)
}

const (
	// identitiesMax bounds the transports that are kept for identities, of which a tenant that uses the most loses the one
	// that was unused for longest.
	identitiesMax = 256
	// identityIdleMax bounds the idle connections of one identity, which is that of few endpoints.
	identityIdleMax = 64
	// identitySessionsMax bounds the TLS sessions of one identity.
	identitySessionsMax = 16
)

// identities caches the transports of endpoints with an identity, by tenant.
type identities = tenantcache.Cache[identityKey, *http.Transport]

type identityKey struct {
	class       int
	fingerprint [sha256.Size]byte
}

func newIdentities() *identities {
	return tenantcache.NewWith[identityKey](identitiesMax, tenantcache.Options[*http.Transport]{
		Removed: func(t *http.Transport) { t.CloseIdleConnections() },
	})
}
