package egress

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"sync"
)

// Identity is the TLS configuration of an endpoint: a client certificate, a private CA, or both. Two identities never share
// connections, and never share them with requests without an identity.
type Identity struct {
	certificate *tls.Certificate
	roots       *x509.CertPool
	fingerprint [sha256.Size]byte
}

// NewIdentity returns a new Identity of PEM texts: certificate and key belong together; that pair or the CA may be
// empty. No error contains any part of them.
func NewIdentity(certificate, key, ca []byte) (*Identity, error) {
	i := &Identity{}
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
}

// identitiesMax bounds the transports kept for identities. The transport of a rotated identity stays until it is the
// oldest.
const identitiesMax = 256

// identities caches the transports of endpoints with an identity, the most recently used last.
type identities struct {
	mu  sync.Mutex
	all []identified
}

type identityKey struct {
	class       int
	fingerprint [sha256.Size]byte
}

type identified struct {
	key       identityKey
	transport *http.Transport
}

// transport returns the transport of an identity for a class of addresses, creating it on first use.
func (s *identities) transport(class int, i *Identity, create func() *http.Transport) *http.Transport {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := identityKey{class: class, fingerprint: i.fingerprint}
	if at := slices.IndexFunc(s.all, func(known identified) bool { return known.key == key }); at >= 0 {
		known := s.all[at]
		s.all = append(slices.Delete(s.all, at, at+1), known)
		return known.transport
	}
	t := create()
	i.apply(t)
	s.all = append(s.all, identified{key: key, transport: t})
	if len(s.all) > identitiesMax {
		s.all[0].transport.CloseIdleConnections()
		s.all = slices.Delete(s.all, 0, 1)
	}
	return t
}

func (s *identities) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, known := range s.all {
		known.transport.CloseIdleConnections()
	}
}
