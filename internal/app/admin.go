package app

import (
	"fmt"
	"net/http"
	"os"

	"github.com/hookturn/hookturn/internal/adminapi"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/channel"
	"github.com/hookturn/hookturn/internal/secret"
	"github.com/hookturn/hookturn/internal/store"
)

// startAdmin starts the admin listener before the connections, so that an orchestrator sees a live process while NATS or
// Temporal is not available.
func startAdmin(cfg Config, state *adminapi.Readiness, p *parts) (*adminapi.Server, error) {
	s, err := adminapi.Start(cfg.AdminAddr, cfg.Metrics, state, p.log)
	if s != nil {
		p.add("admin listener", s.Stop)
	}
	return s, err
}

// administration returns the admin API, nil when no operator token is configured.
func administration(cfg Config, b *base) (http.Handler, error) {
	if cfg.Gateway.OperatorToken == "" {
		return nil, nil
	}
	text, err := os.ReadFile(cfg.Gateway.OperatorToken)
	if err != nil {
		return nil, fmt.Errorf("operator token: %w", err)
	}
	value, err := secret.Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("operator token: %w", err)
	}
	token, err := adminapi.ReadOperatorToken([]byte(value.Reveal()))
	if err != nil {
		return nil, err
	}
	return adminapi.Channels{
		Administration: &channel.Administration{Registry: b.channels, Store: store.NewChannels(b.streams), Licences: cfg.Licences},
		Token:          token, Advise: bus.NewPubSub(b.js).Advise, Log: cfg.Log,
	}.Handler(), nil
}
