package gateway

import (
	"crypto/tls"
	"fmt"
	"log/slog"

	"github.com/hookturn/hookturn/internal/fresh"
)

// ReadCertificate makes the TLS side of the gateway out of two PEM files, which are read again when they change: a new
// certificate needs no restart. TLS 1.2 is the least.
func ReadCertificate(certificate, key string, log *slog.Logger) (*tls.Config, error) {
	file, err := fresh.Read(log, func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			return nil, fmt.Errorf("gateway certificate: %w", err)
		}
		return &pair, nil
	}, certificate, key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return file.Get(), nil },
	}, nil
}
